//! Writing a repository: bodies, signatures, and the check that a device would believe the result.
//!
//! The command line writes root, targets and product roles with keys that never leave the publisher;
//! the server writes snapshot, timestamp and assignments. Both build a body, [`sign`] it, and let
//! [`Repository::check`] be the judge before anybody else sees it.

mod build;
mod json;
mod signatures;

use std::collections::BTreeMap;

pub use build::{ReleaseRules, RoleSpec, RootKeys, assignment, root, snapshot, targets, timestamp};
pub use json::Body;
use serde_json::{Value, json};
pub use signatures::{Signatures, merge_signatures};

use crate::canon;
use crate::date::Date;
use crate::error::Error;
use crate::hex;
use crate::limits;
use crate::set::TrustedSet;
use crate::sign::{SignError, Signer};
use crate::signed::Envelope;

/// How long documents are valid, in days. The offline ones bound how long a compromised server can
/// keep a fleet from updates; the online ones bound how long a network can.
pub mod lifetime {
    /// Root: re-signed once a year, with a month to spare.
    pub const ROOT_DAYS: i64 = 400;
    /// Top-level targets and product roles.
    pub const TARGETS_DAYS: i64 = 365;
    /// Snapshot.
    pub const SNAPSHOT_DAYS: i64 = 30;
    /// Timestamp: re-signed daily.
    pub const TIMESTAMP_DAYS: i64 = 7;
    /// The director's empty base file.
    pub const DIRECTOR_DAYS: i64 = 30;
    /// One device's assignment: re-signed at half of its life when the device polls.
    pub const ASSIGNMENT_DAYS: i64 = 30;
}

/// The file of `body`, signed by all of `signers`: canonical JSON, ready to serve.
pub fn sign(body: &(impl Body + ?Sized), signers: &[&dyn Signer]) -> Result<Vec<u8>, SignError> {
    sign_value(body.to_json(), signers)
}

/// One more signature over the same body: for ceremonies with several keys. A signature of the same
/// key is replaced.
pub fn add_signature(bytes: &[u8], signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
    let name = "the draft";
    let envelope = Envelope::parse(name, bytes, limits::TARGETS_BYTES)?;
    let value = canon::parse(bytes).map_err(malformed)?;
    let key_id = signer.public_key().key_id();
    let others = value.get("signatures").and_then(Value::as_array).into_iter().flatten();
    let mut signatures: Vec<Value> =
        others.filter(|entry| entry.get("keyid").and_then(Value::as_str) != Some(&key_id)).cloned().collect();
    signatures.push(signature(envelope.canonical(), signer)?);
    let file = seal(envelope.signed().clone(), signatures)?;
    // A signature too many, or a file too long, would leave something that nobody can sign or read.
    Envelope::parse(name, &file, limits::TARGETS_BYTES)?;
    Ok(file)
}

pub(crate) fn sign_value(signed: Value, signers: &[&dyn Signer]) -> Result<Vec<u8>, SignError> {
    let message = canon::to_bytes(&signed).map_err(malformed)?;
    let signatures = signers.iter().map(|signer| signature(&message, *signer)).collect::<Result<_, _>>()?;
    seal(signed, signatures)
}

fn signature(message: &[u8], signer: &dyn Signer) -> Result<Value, SignError> {
    let sig = hex::encode(&signer.sign(message)?);
    Ok(json!({"keyid": signer.public_key().key_id(), "sig": sig}))
}

fn seal(signed: Value, signatures: Vec<Value>) -> Result<Vec<u8>, SignError> {
    Ok(canon::to_file(&json!({"signatures": signatures, "signed": signed})).map_err(malformed)?)
}

fn malformed(problem: canon::CanonError) -> Error {
    Error::Malformed { document: "the document to sign".to_owned(), problem }
}

/// Every file that a device may be fed, beside its own assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The whole chain, from the root that devices are enrolled with.
    pub roots: Vec<Vec<u8>>,
    /// `timestamp.json`.
    pub timestamp: Vec<u8>,
    /// `snapshot.json`.
    pub snapshot: Vec<u8>,
    /// `targets.json`.
    pub targets: Vec<u8>,
    /// Products and the director's base file, by role.
    pub delegated: BTreeMap<String, Vec<u8>>,
}

impl Repository {
    /// Believes it as a new device would, from the first root on, every role of it and every release
    /// of every product. What this refuses may not be published.
    pub fn check(&self, now: Date) -> Result<TrustedSet, Error> {
        let missing =
            |needs: &str| Error::Missing { document: "the repository".to_owned(), needs: needs.to_owned() };
        let first = self.roots.first().ok_or_else(|| missing("root 1"))?;
        self.check_after(&TrustedSet::from_root(first)?, now)
    }

    /// As [`check`](Self::check), for a device that already believes `held`: nothing may go back.
    pub fn check_after(&self, held: &TrustedSet, now: Date) -> Result<TrustedSet, Error> {
        let mut set = held.clone();
        let known = usize::try_from(set.root().body.version).unwrap_or(usize::MAX);
        for root in self.roots.iter().skip(known) {
            set.update_root(root)?;
        }
        set.finish_root(now)?;
        set.update_timestamp(&self.timestamp, now)?;
        set.update_snapshot(&self.snapshot, now)?;
        set.update_targets(&self.targets, now)?;
        self.check_delegated(&mut set, now)?;
        check_thresholds(&set)?;
        Ok(set)
    }

    fn check_delegated(&self, set: &mut TrustedSet, now: Date) -> Result<(), Error> {
        for (role, bytes) in &self.delegated {
            set.update_product(role, bytes, now)?;
            if role != crate::DIRECTOR {
                set.product(role).map(|held| held.body.releases(role)).transpose()?;
            }
        }
        let listed = set.snapshot().map(|held| held.body.meta.keys().cloned().collect::<Vec<_>>());
        for role in listed.unwrap_or_default() {
            if role != crate::TARGETS && !self.delegated.contains_key(&role) {
                return Err(Error::Missing {
                    document: "the repository".to_owned(),
                    needs: format!("role {role}"),
                });
            }
        }
        Ok(())
    }
}

/// A threshold above the number of keys is a slip of the pen that a device would take: it would then
/// believe nothing of that role until the owners publish again.
fn check_thresholds(set: &TrustedSet) -> Result<(), Error> {
    let root = &set.root().body;
    let top = [
        ("root", &root.root),
        ("targets", &root.targets),
        ("snapshot", &root.snapshot),
        ("timestamp", &root.timestamp),
    ];
    let delegations = set.targets().into_iter().flat_map(|held| &held.body.delegations.roles);
    let of_root = top.into_iter().map(|(role, keys)| ("root", role, keys));
    let of_targets = delegations.map(|delegated| ("targets", delegated.name.as_str(), &delegated.keys));
    for (document, role, keys) in of_root.chain(of_targets) {
        let (threshold, count) = (keys.threshold, keys.key_ids.len());
        if threshold > count as u64 {
            let (document, role) = (document.to_owned(), role.to_owned());
            return Err(Error::Threshold { document, role, threshold, keys: count });
        }
    }
    Ok(())
}
