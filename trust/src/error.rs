//! Why a document is refused: one variant per attack, each with a stable code.

use thiserror::Error;

use crate::canon::CanonError;
use crate::date::Date;
use crate::digest::Sha256;

/// Writes the enum, its codes and the list of codes from one table, so that none can be forgotten.
macro_rules! errors {
    ($( $(#[$doc:meta])* $code:literal $text:literal $variant:ident { $( $field:ident : $type:ty ),* $(,)? } )*) => {
        /// Why a document is refused. `document` is its name for people: `root 3`, `timestamp`,
        /// `snapshot`, `targets`, `role pump`, `assignment`, `manifest`.
        #[derive(Debug, Clone, PartialEq, Eq, Error)]
        #[expect(missing_docs, reason = "the text of each variant says what its fields are")]
        pub enum Error {
            $( $(#[$doc])* #[error($text)] $variant { $( $field: $type ),* }, )*
        }

        impl Error {
            /// Every code that [`Error::code`] can answer.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// The stable reason, in SCREAMING_SNAKE_CASE; `docs/errors/` has a page for each.
            pub const fn code(&self) -> &'static str {
                match self { $( Self::$variant { .. } => $code, )* }
            }
        }
    };
}

errors! {
    // ---- reading -------------------------------------------------------------------------------

    /// Longer than its kind may be; nothing of it was read.
    "METADATA_TOO_LARGE" "{document} is {length} bytes long, the limit is {limit}"
    TooLarge { document: String, length: usize, limit: usize }

    /// No strict JSON: syntax, duplicate keys, floats, large integers, nesting.
    "METADATA_MALFORMED" "{document} is not a valid document: {problem}"
    Malformed { document: String, problem: CanonError }

    /// A field is missing, of another type or beyond a limit.
    "METADATA_FIELD_INVALID" "{document}: {field} {problem}"
    Field { document: String, field: String, problem: String }

    /// Signed as one kind of document and offered as another.
    "METADATA_TYPE_WRONG" "{document} says that it is a {found:?}, not a {expected:?}"
    WrongType { document: String, found: String, expected: &'static str }

    // ---- signatures ----------------------------------------------------------------------------

    /// The list of signatures names one key id twice.
    "SIGNATURE_REPEATED" "{document} carries two signatures of the key {key_id}"
    RepeatedSignature { document: String, key_id: String }

    /// Fewer distinct keys of the role signed it than the threshold asks for.
    "SIGNATURES_MISSING" "{document} is signed by {valid} of the {threshold} keys that it needs"
    Signatures { document: String, valid: usize, threshold: usize }

    /// A threshold of zero, or above the number of the role's keys.
    "THRESHOLD_INVALID" "{document}: the threshold {threshold} of {role} does not fit its {keys} keys"
    Threshold { document: String, role: String, threshold: u64, keys: usize }

    // ---- root chain ----------------------------------------------------------------------------

    /// Not the root that follows the trusted one: a step was skipped or repeated.
    "ROOT_VERSION_WRONG" "root {found} was offered where root {expected} has to follow"
    RootVersion { expected: u64, found: u64 }

    /// The keys that were trusted so far did not agree to the new root.
    "ROOT_NOT_SIGNED_BY_PREVIOUS" "root {version} is signed by {valid} of the {threshold} keys of the root before it that it needs"
    RootNotSignedByPrevious { version: u64, valid: usize, threshold: usize }

    /// The new root's own keys did not sign it, or too few of them.
    "ROOT_NOT_SIGNED_BY_ITSELF" "root {version} is signed by {valid} of the {threshold} of its own keys that it needs"
    RootNotSignedByItself { version: u64, valid: usize, threshold: usize }

    /// More roots in one walk than anybody has.
    "ROOT_CHAIN_TOO_LONG" "more than {limit} roots follow the trusted one"
    RootChainTooLong { limit: u32 }

    // ---- freshness and order -------------------------------------------------------------------

    /// Past its expiry: a freeze, or nobody signed in time.
    "METADATA_EXPIRED" "{document} expired at {expires}, and it is {now}"
    Expired { document: String, expires: Date, now: Date }

    /// Signed at a moment at which the root was no longer valid, or the document itself: a lie about
    /// the time. Believed, it would set the device's clock beyond everything that is ever signed.
    "METADATA_ISSUED_TOO_LATE" "{document} says that it was signed at {issued}, when {ended} had expired at {expires}"
    IssuedTooLate { document: String, issued: Date, ended: String, expires: Date }

    /// Offered before the document that vouches for it, or not held at all.
    "METADATA_MISSING" "{document} cannot be used without {needs}"
    Missing { document: String, needs: String }

    /// Older than one that was accepted before.
    "METADATA_ROLLED_BACK" "{document} {found} is older than {trusted}, which was accepted before"
    RolledBack { document: String, trusted: u64, found: u64 }

    /// A timestamp that names an older snapshot than the trusted timestamp does.
    "TIMESTAMP_NAMES_OLDER_SNAPSHOT" "timestamp {version} names snapshot {found}, older than snapshot {trusted}"
    OlderSnapshot { version: u64, trusted: u64, found: u64 }

    /// A snapshot without a file that the trusted one lists.
    "SNAPSHOT_DROPS_ROLE" "snapshot {version} no longer lists the role {role}"
    SnapshotDropsRole { version: u64, role: String }

    /// A snapshot that lists an older file than the trusted one does.
    "SNAPSHOT_LISTS_OLDER_ROLE" "snapshot {version} lists {role} {found}, older than {trusted}"
    SnapshotListsOlderRole { version: u64, role: String, trusted: u64, found: u64 }

    /// Another version than the document above it names.
    "METADATA_VERSION_MISMATCH" "{document} has version {found}, {named_by} names version {expected}"
    VersionMismatch { document: String, named_by: &'static str, expected: u64, found: u64 }

    /// Other bytes than the document above it names.
    "METADATA_DIGEST_MISMATCH" "{document} has the SHA-256 {found}, {named_by} names {expected}"
    DigestMismatch { document: String, named_by: &'static str, expected: Sha256, found: Sha256 }

    /// Another length than the document above it names.
    "METADATA_LENGTH_MISMATCH" "{document} is {found} bytes long, {named_by} names {expected}"
    LengthMismatch { document: String, named_by: &'static str, expected: u64, found: u64 }

    /// Not in the snapshot, so nobody vouches for its version.
    "ROLE_NOT_IN_SNAPSHOT" "the snapshot does not list {document}"
    NotInSnapshot { document: String }

    // ---- delegation ----------------------------------------------------------------------------

    /// Nobody gave that role any rights.
    "ROLE_NOT_DELEGATED" "{delegator} does not delegate to a role {role:?}"
    NotDelegated { delegator: String, role: String }

    /// A search that visits more roles than the limit.
    "TOO_MANY_DELEGATIONS" "the search for {path:?} visits more than {limit} roles"
    TooManyDelegations { path: String, limit: usize }

    /// A path that could leave its folder or has no single meaning.
    "TARGET_PATH_INVALID" "{path:?} is not a target path: {problem}"
    TargetPath { path: String, problem: &'static str }

    /// A product name that is none.
    "PRODUCT_NAME_INVALID" "{name:?} is not a product name: {problem}"
    ProductName { name: String, problem: &'static str }

    // ---- assignment: what the director says ----------------------------------------------------

    /// An assignment that was signed for another device.
    "ASSIGNMENT_FOREIGN" "the assignment is for the device {found:?}, this is {device:?}"
    ForeignAssignment { device: String, found: String }

    /// More than one target, or delegations: a director says one thing.
    "ASSIGNMENT_AMBIGUOUS" "the assignment {problem}"
    AmbiguousAssignment { problem: String }

    /// A path outside what the director may sign.
    "ASSIGNMENT_PATH_INVALID" "the assignment names {path:?}, which the director may not sign"
    AssignmentPath { path: String }

    /// Assigned by the server, signed by no publisher.
    "ASSIGNMENT_NOT_PUBLISHED" "the assignment names {path:?}, which no publisher signed"
    NotPublished { path: String }

    /// The server and the publisher mean different bytes.
    "ASSIGNMENT_MISMATCH" "the assignment and the publisher disagree about the {what} of {path:?}"
    AssignmentMismatch { path: String, what: &'static str }

    /// A release of another product.
    "ASSIGNMENT_FOREIGN_PRODUCT" "the assignment names {path:?}, this device is of the product {product:?}"
    ForeignProduct { path: String, product: String }

    // ---- release manifest ----------------------------------------------------------------------

    /// Not the bytes that the publisher listed.
    "MANIFEST_MISMATCH" "the manifest of {release} is not the one that was signed: its {what} differs"
    ManifestMismatch { release: String, what: &'static str }

    /// Two releases of a product with the same counter or version, or a counter that goes back.
    "RELEASE_NOT_NEWER" "the release {release} is not newer than {newest}: {problem}"
    NotNewer { release: String, newest: String, problem: String }
}
