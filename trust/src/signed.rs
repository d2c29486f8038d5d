//! The envelope of every signed document, and the count of who signed it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::canon;
use crate::error::Error;
use crate::hex;
use crate::key::{Keys, PublicKey};
use crate::limits;
use crate::read::Fields;
use crate::role::RoleKeys;

/// A key id and its signature, if it is hex at all. Which length is right is known to the key.
type Entry = (String, Option<Vec<u8>>);

/// A document as it travels, read once: the canonical bytes that are signed, the value they stand
/// for, and the signatures, not yet checked.
#[derive(Debug, Clone)]
pub struct Envelope {
    document: String,
    signed: Value,
    canonical: Vec<u8>,
    signatures: Vec<Entry>,
}

impl Envelope {
    /// Reads an envelope of at most `limit` bytes; `document` names it in errors.
    pub fn parse(document: &str, bytes: &[u8], limit: usize) -> Result<Self, Error> {
        let malformed = |problem| Error::Malformed { document: document.to_owned(), problem };
        if bytes.len() > limit {
            return Err(Error::TooLarge { document: document.to_owned(), length: bytes.len(), limit });
        }
        let value = canon::parse(bytes).map_err(malformed)?;
        let fields = Fields::of(document, "", &value)?;
        let signatures = read_signatures(&fields)?;
        let signed = fields.object("signed")?.value().clone();
        let canonical = canon::to_bytes(&signed).map_err(malformed)?;
        Ok(Self { document: document.to_owned(), signed, canonical, signatures })
    }

    /// The body.
    pub fn signed(&self) -> &Value {
        &self.signed
    }

    /// The bytes that signatures cover.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// Key ids that signed, valid or not.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|(id, _)| id.as_str())
    }

    /// How many distinct public keys of `authority` signed it validly.
    pub fn count(&self, authority: &Authority) -> usize {
        self.signers(authority).len()
    }

    /// The distinct public keys of `authority` with a valid signature.
    pub fn signers(&self, authority: &Authority) -> BTreeSet<PublicKey> {
        let mut counted = BTreeSet::new();
        for (id, signature) in &self.signatures {
            let (Some(key), Some(signature)) = (authority.keys.get(id), signature) else { continue };
            if !counted.contains(key) && key.verify(&self.canonical, signature) {
                counted.insert(*key);
            }
        }
        counted
    }

    /// Refuses unless `authority` signed it.
    pub fn verify(&self, authority: &Authority) -> Result<(), Error> {
        let (valid, threshold) = (self.count(authority), authority.threshold);
        if valid < threshold {
            return Err(Error::Signatures { document: self.document.clone(), valid, threshold });
        }
        Ok(())
    }
}

/// A signature that is no signature (empty, odd, of an unknown scheme) is kept as `None`: it counts
/// for nothing and hinders nothing. The same id twice is refused: no honest tool writes that.
fn read_signatures(fields: &Fields<'_>) -> Result<Vec<Entry>, Error> {
    let list = fields.array("signatures")?;
    if list.len() > limits::SIGNATURES {
        return Err(fields.error("signatures", format!("has more than {} entries", limits::SIGNATURES)));
    }
    let mut seen = BTreeSet::new();
    let mut signatures = Vec::with_capacity(list.len());
    for item in list {
        let entry = Fields::of(fields.document(), "signatures[]", item)?;
        let key_id = entry.string("keyid")?;
        let signature = hex::decode(entry.string("sig")?);
        if !seen.insert(key_id) {
            let document = fields.document().to_owned();
            return Err(Error::RepeatedSignature { document, key_id: key_id.to_owned() });
        }
        signatures.push((key_id.to_owned(), signature));
    }
    Ok(signatures)
}

/// Who may sign a role: its usable keys by id, and how many distinct ones are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    keys: BTreeMap<String, PublicKey>,
    threshold: usize,
}

impl Authority {
    /// The keys of `role` that `keys` describes and this crate can use.
    pub fn new(keys: &Keys, role: &RoleKeys) -> Self {
        let known = role.key_ids.iter().filter_map(|id| Some((id.clone(), *keys.get(id)?)));
        let threshold = usize::try_from(role.threshold).unwrap_or(usize::MAX);
        Self { keys: known.collect(), threshold }
    }

    /// The distinct public keys.
    pub fn public_keys(&self) -> BTreeSet<PublicKey> {
        self.keys.values().copied().collect()
    }

    /// Signatures needed.
    pub fn threshold(&self) -> usize {
        self.threshold
    }
}
