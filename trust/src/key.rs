//! Public keys: ed25519, strictly verified; with the feature `p256` also ECDSA on that curve, for those
//! whose token or key service has no ed25519. Devices are built without it.
//!
//! Key ids are opaque names inside one file. What a threshold counts is distinct public keys, so
//! nothing depends on how an id was made. Keys of kinds that this crate does not know are kept out
//! of the count and are no error: a root may hold tomorrow's keys beside today's.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};

use crate::canon;
use crate::digest::{DigestError, Sha256};
use crate::error::Error;
use crate::hex;
use crate::read::Fields;

/// Key type and scheme of every key that this crate signs and verifies with.
pub const ED25519: &str = "ed25519";

/// A public key. Prints as 64 lower-case hex digits, a P-256 key as 66 with the leading 02 or 03 of its
/// compressed point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(Kind);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Ed25519([u8; 32]),
    #[cfg(feature = "p256")]
    P256(crate::p256::Point),
}

impl PublicKey {
    /// An ed25519 key. Whether it is a point is found out when it verifies.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Kind::Ed25519(bytes))
    }

    /// The key of a description in metadata; `None` for a kind that this crate does not know.
    pub(crate) fn read(description: &Fields<'_>) -> Result<Option<Self>, Error> {
        let public = || description.object("keyval")?.string("public");
        let kind = match (description.string("keytype")?, description.string("scheme")?) {
            (ED25519, ED25519) => hex::decode_array(public()?).map(Kind::Ed25519),
            #[cfg(feature = "p256")]
            (keytype, crate::p256::SCHEME) if crate::p256::is_keytype(keytype) => {
                crate::p256::Point::from_pem(public()?).map(Kind::P256)
            }
            _ => return Ok(None),
        };
        let key = kind.ok_or_else(|| description.error("keyval.public", "is not a key of that kind"))?;
        Ok(Some(Self(key)))
    }

    /// The id under which this crate lists the key: SHA-256 of its canonical description.
    pub fn key_id(&self) -> String {
        let bytes = canon::to_bytes(&self.to_json()).unwrap_or_default();
        Sha256::of(&bytes).to_string()
    }

    /// The description that goes into metadata.
    pub fn to_json(&self) -> Value {
        match &self.0 {
            Kind::Ed25519(bytes) => {
                json!({"keytype": ED25519, "keyval": {"public": hex::encode(bytes)}, "scheme": ED25519})
            }
            #[cfg(feature = "p256")]
            Kind::P256(point) => point.to_json(),
        }
    }

    /// Whether `signature` is this key's over `message`. Strict: small-order keys and non-canonical
    /// encodings verify nothing.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Kind::Ed25519(bytes) => verify_ed25519(bytes, message, signature),
            #[cfg(feature = "p256")]
            Kind::P256(point) => point.verify(message, signature),
        }
    }
}

fn verify_ed25519(key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(key) else { return false };
    let Ok(signature) = Signature::from_slice(signature) else { return false };
    key.verify_strict(message, &signature).is_ok()
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Ed25519(bytes) => f.write_str(&hex::encode(bytes)),
            #[cfg(feature = "p256")]
            Kind::P256(point) => f.write_str(&hex::encode(point.as_bytes())),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = DigestError;

    /// An ed25519 key.
    fn from_str(text: &str) -> Result<Self, DigestError> {
        hex::decode_array(text).map(Self::from_bytes).ok_or(DigestError::Text)
    }
}

/// The keys of one file by id; `None` where the kind is unknown and the key cannot count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keys(BTreeMap<String, Option<PublicKey>>);

impl Keys {
    /// The usable key of that id.
    pub fn get(&self, id: &str) -> Option<&PublicKey> {
        self.0.get(id).and_then(Option::as_ref)
    }

    /// Lists a key under its own id, which is returned.
    pub fn insert(&mut self, key: PublicKey) -> String {
        let id = key.key_id();
        self.0.insert(id.clone(), Some(key));
        id
    }

    /// Every usable key with its id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PublicKey)> {
        self.0.iter().filter_map(|(id, key)| Some((id.as_str(), key.as_ref()?)))
    }

    pub(crate) fn insert_read(&mut self, id: String, key: Option<PublicKey>) {
        self.0.insert(id, key);
    }

    #[cfg(feature = "keys")]
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|id, _| keep(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_id_is_the_one_other_tools_compute() {
        // sha256 of {"keytype":"ed25519","keyval":{"public":"00…00"},"scheme":"ed25519"}
        let text = format!(
            "{{\"keytype\":\"ed25519\",\"keyval\":{{\"public\":\"{}\"}},\"scheme\":\"ed25519\"}}",
            "00".repeat(32)
        );
        assert_eq!(PublicKey::from_bytes([0; 32]).key_id(), Sha256::of(text.as_bytes()).to_string());
    }

    #[test]
    fn small_order_keys_and_odd_lengths_verify_nothing() {
        // The identity point "signs" any message for a verifier that is not strict.
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!PublicKey::from_bytes(identity).verify(b"anything", &signature));
        assert!(!PublicKey::from_bytes([255; 32]).verify(b"", &[]));
        assert!(!PublicKey::from_bytes([0; 32]).verify(b"", &[0; 63]));
    }
}
