//! Signed metadata: what is signed, by whom, and how a device comes to believe it.
//!
//! The format and the client workflow are TUF 1.0; the repository delegates one role to each
//! product's publishers, who sign releases offline, and one to the server's *director*, who signs
//! for each device which release it shall run. A device installs only what both say.
//!
//! Nothing here reads a file, a clock or a socket. [`TrustedSet`] is fed bytes and `now`; server,
//! agent and command line call the same methods. In reading order:
//!
//! - [`Sha256`], [`Version`], [`Date`], [`PublicKey`]: values with one spelling each.
//! - [`canon`], [`signed`]: the bytes that are signed, and the count of who signed them.
//! - [`Root`], [`Timestamp`], [`Snapshot`], [`Targets`], [`Assignment`], [`ReleaseEntry`],
//!   [`Manifest`]: the documents.
//! - [`TrustedSet`]: the workflow. [`check_release`]: whether a release fits this device.
//! - `repo` and `SecretKey`, with the feature `keys`: writing and signing all that.
//!
//! What it answers, one [`Error`] variant each: forged, replayed, rolled-back, frozen, mixed and
//! foreign metadata, releases for other hardware, and input that is too large, too deep or ambiguous.

mod assigned;
pub mod assignment;
pub mod canon;
mod date;
mod digest;
mod document;
mod error;
#[cfg(feature = "fake")]
pub mod fake;
mod floor;
mod hex;
mod key;
pub mod limits;
mod manifest;
#[cfg(feature = "p256")]
mod p256;
mod read;
mod release;
#[cfg(feature = "keys")]
pub mod repo;
mod role;
mod search;
mod set;
#[cfg(feature = "keys")]
mod sign;
pub mod signed;
mod stored;
mod targets;
mod version;

pub use assignment::{AssignedTarget, Assignment};
pub use date::{Date, DateError};
pub use digest::{DigestError, Hasher, Sha256};
pub use document::{Change, Document, RootStep, Versions};
pub use error::Error;
pub use floor::{DeviceFacts, Refusal, check_release};
pub use key::{ED25519, Keys, PublicKey};
pub use manifest::{Artifact, Manifest};
pub use release::{ReleaseEntry, plain_name, product_name, release_path};
pub use role::{MetaFile, RoleKeys, Root, Snapshot, Timestamp};
pub use search::Lookup;
pub use set::{DIRECTOR, TARGETS, TrustedSet};
#[cfg(feature = "keys")]
pub use sign::{SecretKey, SignError, Signer};
pub use stored::Stored;
pub use targets::{DelegatedRole, Delegations, Paths, SERVER_CA, Target, Targets, target_path};
pub use version::{Version, VersionError};
