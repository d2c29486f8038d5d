//! How a device proves its key without a certificate: it signs a challenge.
//!
//! A challenge is kept nowhere. It carries its own end and a MAC over itself, the device and the
//! serial of the device's newest certificate: a renewal changes that serial, and so spends every
//! challenge that was given out before it, on every replica and across restarts.

use std::time::Duration;

use rcgen::{PublicKeyData as _, SubjectPublicKeyInfo};
use ring::{hmac, signature};
use slipway_trust::Sha256;

use crate::{limits, model::time::Timestamp};

/// What a device signs begins with this, so that its signature means nothing else.
const RENEWAL: &[u8] = b"slipway-renew/v1\n";
/// The same when a machine shows its manufacturer's certificate.
const ENROLMENT: &[u8] = b"slipway-enroll/v1\n";
/// What the secret of the challenges is derived for.
const PURPOSE: &[u8] = b"slipway-challenge/v1";

const RANDOM: usize = 16;
const END: usize = 8;

/// Gives out challenges and recognises them.
pub struct Challenger(hmac::Key);

impl Challenger {
    /// From a secret that every replica has.
    pub fn new(secret: &[u8]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), PURPOSE);
        Challenger(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// A challenge for `device_id`, whose newest certificate has that serial. Good for
    /// [`limits::CHALLENGE`].
    pub fn challenge(&self, device_id: &str, serial: &str, random: [u8; RANDOM], now: Timestamp) -> Vec<u8> {
        let mut nonce = random.to_vec();
        nonce.extend(now.after(limits::CHALLENGE).seconds().to_be_bytes());
        let mac = hmac::sign(&self.0, &covered(&nonce, device_id, serial));
        nonce.extend(mac.as_ref());
        nonce
    }

    /// Whether `nonce` is a challenge for that device that is still good.
    pub fn is_good(&self, nonce: &[u8], device_id: &str, serial: &str, now: Timestamp) -> bool {
        let Some((head, mac)) = nonce.split_at_checked(RANDOM + END) else { return false };
        let Some(end) = head.last_chunk::<END>() else { return false };
        let left = Timestamp::from_seconds(i64::from_be_bytes(*end)).since(now);
        hmac::verify(&self.0, &covered(head, device_id, serial), mac).is_ok() && left > Duration::ZERO
    }
}

impl std::fmt::Debug for Challenger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Challenger")
    }
}

/// The parts, so that none can be taken for another.
fn covered(head: &[u8], device_id: &str, serial: &str) -> Vec<u8> {
    [head, device_id.as_bytes(), b"\0", serial.as_bytes()].concat()
}

/// What a device signs to renew without a certificate. `server` is the id of the key of the authority
/// behind the server's own certificate: a challenge that another server gave out is worth nothing here.
pub fn renewal_message(server: &Sha256, nonce: &[u8], csr: &[u8]) -> Vec<u8> {
    message(RENEWAL, server, nonce, csr)
}

/// What the key of a manufacturer's certificate signs to enrol.
pub fn enrolment_message(server: &Sha256, nonce: &[u8], csr: &[u8]) -> Vec<u8> {
    message(ENROLMENT, server, nonce, csr)
}

fn message(what: &[u8], server: &Sha256, nonce: &[u8], csr: &[u8]) -> Vec<u8> {
    let server = server.to_string();
    [what, server.as_bytes(), b"\n", nonce, Sha256::of(csr).as_bytes()].concat()
}

/// A kind of key, and how its signatures are verified.
type Kind = (&'static rcgen::SignatureAlgorithm, &'static dyn signature::VerificationAlgorithm);

/// Kinds of keys that devices have.
const DEVICES: &[Kind] = &[
    (&rcgen::PKCS_ECDSA_P256_SHA256, &signature::ECDSA_P256_SHA256_ASN1),
    (&rcgen::PKCS_ED25519, &signature::ED25519),
];
/// Kinds of keys that manufacturers' certificates are for: what was burnt in cannot be chosen any more.
const MANUFACTURERS: &[Kind] = &[
    (&rcgen::PKCS_ECDSA_P256_SHA256, &signature::ECDSA_P256_SHA256_ASN1),
    (&rcgen::PKCS_ECDSA_P384_SHA384, &signature::ECDSA_P384_SHA384_ASN1),
    (&rcgen::PKCS_ED25519, &signature::ED25519),
    (&rcgen::PKCS_RSA_SHA256, &signature::RSA_PKCS1_2048_8192_SHA256),
];

/// Whether `signature` over `message` is by the key `spki` (DER): ECDSA with SHA-256 in DER on P-256,
/// or Ed25519.
pub fn is_signed(spki: &[u8], message: &[u8], signature: &[u8]) -> bool {
    is_signed_by(DEVICES, spki, message, signature)
}

/// The same for the key of a manufacturer's certificate, which may also be of P-384 (with SHA-384) or
/// RSA of 2,048 bits or more (PKCS#1 v1.5 with SHA-256).
pub fn is_signed_by_manufacturer(spki: &[u8], message: &[u8], signature: &[u8]) -> bool {
    is_signed_by(MANUFACTURERS, spki, message, signature)
}

fn is_signed_by(kinds: &[Kind], spki: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = SubjectPublicKeyInfo::from_der(spki) else { return false };
    let Some((_, algorithm)) = kinds.iter().find(|(kind, _)| *kind == key.algorithm()) else { return false };
    signature::UnparsedPublicKey::new(*algorithm, key.der_bytes()).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, SigningKey as _};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);

    #[test]
    fn a_challenge_is_for_one_device_one_renewal_and_five_minutes() {
        let here = Challenger::new(b"secret");
        let nonce = here.challenge("pump-1", "01", [7; 16], NOW);
        assert!(here.is_good(&nonce, "pump-1", "01", NOW));
        assert!(Challenger::new(b"secret").is_good(&nonce, "pump-1", "01", NOW), "every replica knows it");
        assert!(!here.is_good(&nonce, "pump-2", "01", NOW), "another device");
        assert!(!here.is_good(&nonce, "pump-1", "02", NOW), "spent");
        assert!(!here.is_good(&nonce, "pump-1\0", "01", NOW) && !here.is_good(&nonce, "pump-", "101", NOW));
        assert!(!here.is_good(&nonce, "pump-1", "01", NOW.after(limits::CHALLENGE)), "over");
        assert!(!Challenger::new(b"other").is_good(&nonce, "pump-1", "01", NOW), "another server's");
        for length in 0..nonce.len() {
            assert!(!here.is_good(&nonce[..length], "pump-1", "01", NOW), "{length} bytes");
        }
        for bit in 0..nonce.len() * 8 {
            let mut flipped = nonce.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!here.is_good(&flipped, "pump-1", "01", NOW), "bit {bit}");
        }
    }

    #[test]
    fn a_signature_is_by_the_key_and_over_the_message() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
            let (pair, other) =
                (KeyPair::generate_for(algorithm).unwrap(), KeyPair::generate_for(algorithm).unwrap());
            let message = renewal_message(&Sha256::of(b"server"), b"nonce", b"csr");
            let signature = pair.sign(&message).unwrap();
            let spki = pair.subject_public_key_info();
            assert!(is_signed(&spki, &message, &signature));
            assert!(!is_signed(&other.subject_public_key_info(), &message, &signature));
            for message in [
                renewal_message(&Sha256::of(b"another server"), b"nonce", b"csr"),
                renewal_message(&Sha256::of(b"server"), b"ecnon", b"csr"),
                renewal_message(&Sha256::of(b"server"), b"nonce", b"another"),
            ] {
                assert!(!is_signed(&spki, &message, &signature));
            }
        }
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let (spki, signature) = (p384.subject_public_key_info(), p384.sign(b"x").unwrap());
        assert!(!is_signed(&spki, b"x", &signature), "no key of a device");
        assert!(is_signed_by_manufacturer(&spki, b"x", &signature));
        assert!(!is_signed_by_manufacturer(&spki, b"y", &signature));
        let (server, nonce) = (Sha256::of(b"server"), b"nonce".as_slice());
        assert_ne!(enrolment_message(&server, nonce, b"csr"), renewal_message(&server, nonce, b"csr"));
        assert!(!is_signed(b"no key", b"x", b"y"));
    }
}
