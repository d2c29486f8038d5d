//! Keys that sign. The private half stays behind [`Signer`], so that it may live elsewhere.

use ed25519_dalek::SigningKey;
use ed25519_dalek::Signer as _;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::pem::{LineEnding, PemLabel as _};
use pkcs8::der::{Document as _Document, EncodePem as _, SecretDocument};
use pkcs8::pkcs5::pbes2;
use pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::key::PublicKey;

/// Something that signs with one key: a file now, a token or a key service later.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public_key(&self) -> PublicKey;
    /// An ed25519 signature over `message`.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}
