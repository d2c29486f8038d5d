//! ECDSA on the curve P-256, as TUF writes it: a PEM key, DER signatures over SHA-256.

use p256::PublicKey;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{DerSignature, VerifyingKey};
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};

/// The scheme.
pub(crate) const SCHEME: &str = "ecdsa-sha2-nistp256";
/// Bytes of a compressed point: its sign and one coordinate.
const COMPRESSED: usize = 33;

/// Whether a key may call itself that. Repositories of before 2023 used the scheme's name for both.
pub(crate) fn is_keytype(name: &str) -> bool {
    name == "ecdsa" || name == SCHEME
}

/// A point of the curve: one spelling each, so that a key counts once however its PEM is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Point([u8; COMPRESSED]);

impl Point {
    pub(crate) fn from_pem(pem: &str) -> Option<Self> {
        let key = VerifyingKey::from_public_key_pem(pem).ok()?;
        key.to_sec1_point(true).as_bytes().try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn to_json(self) -> Value {
        let key = PublicKey::from_sec1_bytes(&self.0).ok();
        let pem = key.and_then(|key| key.to_public_key_pem(LineEnding::LF).ok()).unwrap_or_default();
        json!({"keytype": "ecdsa", "keyval": {"public": pem}, "scheme": SCHEME})
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(key) = VerifyingKey::from_sec1_bytes(&self.0) else { return false };
        let Ok(signature) = DerSignature::from_bytes(signature) else { return false };
        key.verify(message, &signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::Signer as _;

    use super::*;

    fn pem_and_signature(message: &[u8]) -> (String, Vec<u8>) {
        let key = SigningKey::from_slice(&[7; 32]).expect("a scalar");
        let public = PublicKey::from_sec1_bytes(key.verifying_key().to_sec1_point(false).as_bytes());
        let pem = public.expect("a point").to_public_key_pem(LineEnding::CRLF).expect("encodes");
        let signature: DerSignature = key.sign(message);
        (pem, signature.as_bytes().to_vec())
    }

    #[test]
    fn verifies_what_was_signed_and_nothing_else() {
        let (pem, signature) = pem_and_signature(b"message");
        let point = Point::from_pem(&pem).expect("a key");
        assert!(point.verify(b"message", &signature));
        assert!(!point.verify(b"messagf", &signature));
        for bad in [&signature[1..], &signature[..signature.len() - 1], &[], &[0; 64]] {
            assert!(!point.verify(b"message", bad), "{bad:?}");
        }
    }

    #[test]
    fn a_key_is_one_however_it_is_written() {
        let (pem, _) = pem_and_signature(b"");
        let point = Point::from_pem(&pem).expect("a key");
        let written = point.to_json();
        let again = written["keyval"]["public"].as_str().and_then(Point::from_pem);
        assert_eq!(again, Some(point));
        assert_ne!(written["keyval"]["public"].as_str(), Some(pem.as_str()), "the line ends differ");
        assert_eq!(Point::from_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), None);
    }
}
