//! A document on its way through several hands: who signed it so far, and whose turn it is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{malformed, seal};
use crate::canon;
use crate::error::Error;
use crate::key::PublicKey;
use crate::limits;
use crate::sign::SignError;
use crate::signed::{Authority, Envelope};

/// The signatures that a role asks for, beside those that a document has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signatures {
    /// Keys of the role with a valid signature.
    pub signed: BTreeSet<PublicKey>,
    /// Keys of the role without one.
    pub open: BTreeSet<PublicKey>,
    /// How many have to sign.
    pub threshold: usize,
}

impl Signatures {
    /// Counts them; `document` names it in errors.
    pub fn of(document: &str, bytes: &[u8], authority: &Authority) -> Result<Self, Error> {
        let envelope = Envelope::parse(document, bytes, limits::TARGETS_BYTES)?;
        let signed = envelope.signers(authority);
        let open = authority.public_keys().difference(&signed).copied().collect();
        Ok(Self { signed, open, threshold: authority.threshold() })
    }

    /// How many more keys have to sign; 0 when it is done.
    pub fn missing(&self) -> usize {
        self.threshold.saturating_sub(self.signed.len())
    }
}

/// One document with the signatures of both copies of it: two people signed at the same time. Where
/// both have one of the same key, that of `ours` stays. `None` when the copies do not say the same.
pub fn merge_signatures(ours: &[u8], theirs: &[u8]) -> Result<Option<Vec<u8>>, SignError> {
    let name = "the draft";
    let mine = Envelope::parse(name, ours, limits::TARGETS_BYTES)?;
    let other = Envelope::parse(name, theirs, limits::TARGETS_BYTES)?;
    if mine.canonical() != other.canonical() {
        return Ok(None);
    }
    let held: BTreeSet<&str> = mine.key_ids().collect();
    let mut signatures = entries(ours)?;
    let is_new = |entry: &Value| {
        entry.get("keyid").and_then(Value::as_str).is_some_and(|key_id| !held.contains(key_id))
    };
    signatures.extend(entries(theirs)?.into_iter().filter(is_new));
    seal(mine.signed().clone(), signatures).map(Some)
}

fn entries(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    let value = canon::parse(bytes).map_err(malformed)?;
    Ok(value.get("signatures").and_then(Value::as_array).cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use crate::{
        Date, SecretKey, Signer as _, Targets,
        repo::{self, RoleSpec},
    };

    use super::*;

    fn key(n: u8) -> SecretKey {
        SecretKey::from_seed([n; 32])
    }

    fn body(version: u64) -> Targets {
        let publishers = RoleSpec { keys: vec![key(6).public_key(), key(7).public_key()], threshold: 2 };
        let mut targets = Targets::empty(version, Date::from_unix(2_000_000_000));
        targets.delegate_product("pump", &publishers).expect("a delegation");
        targets
    }

    #[test]
    fn two_who_sign_at_the_same_time_meet() {
        let authority = body(1).authority("pump").expect("delegated");
        assert_eq!(RoleSpec::of(&authority).threshold, 2);
        let draft = repo::sign(&body(3), &[]).expect("no signature is needed");
        let count = |bytes: &[u8]| Signatures::of("the draft", bytes, &authority).expect("a document");
        assert_eq!((count(&draft).missing(), count(&draft).open.len()), (2, 2));

        let one = repo::add_signature(&draft, &key(6)).expect("signs");
        let other = repo::add_signature(&draft, &key(7)).expect("signs");
        let stranger = repo::add_signature(&one, &key(9)).expect("signs");
        assert_eq!(count(&stranger).missing(), 1);
        assert_eq!(count(&stranger).open, [key(7).public_key()].into());
        let both = merge_signatures(&one, &other).expect("documents").expect("the same");
        assert_eq!((count(&both).missing(), count(&both).open.len()), (0, 0));
        assert_eq!(merge_signatures(&both, &one).expect("documents"), Some(both));

        let another = repo::sign(&body(4), &[&key(7)]).expect("signs");
        assert_eq!(merge_signatures(&one, &another).expect("documents"), None);
    }
}
