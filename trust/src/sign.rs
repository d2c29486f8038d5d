//! Keys that sign. The private half stays behind [`Signer`], so that it may live elsewhere.

use ed25519_dalek::pkcs8::KeypairBytes;
use ed25519_dalek::{Signer as _, SigningKey};
use pkcs8::der::SecretDocument;
use pkcs8::pkcs5::{pbes2, scrypt};
use pkcs8::{
    DecodePrivateKey as _, EncodePrivateKey as _, EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef,
};
use thiserror::Error as ThisError;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::key::PublicKey;

/// scrypt's work: 2^14 blocks of 8, once. OpenSSL reads nothing dearer without being told to.
const SCRYPT: (u8, u32, u32) = (14, 8, 1);
const ENCRYPTED_LABEL: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// Something that signs with one ed25519 key: a file now, a token or a key service later.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public_key(&self) -> PublicKey;
    /// A signature over `message`.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}

/// Why nothing was signed or no key was read.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum SignError {
    /// The key file is encrypted and no passphrase was given.
    #[error("the key is encrypted: a passphrase is needed")]
    PassphraseRequired,
    /// The passphrase does not open the key file.
    #[error("the passphrase does not open the key")]
    PassphraseWrong,
    /// Not an ed25519 key in PKCS#8 PEM.
    #[error("this is not an ed25519 private key in PKCS#8 PEM: {0}")]
    KeyMalformed(String),
    /// The signer could not sign.
    #[error("the signer failed: {0}")]
    Signer(String),
    /// What was to be signed has no valid form.
    #[error(transparent)]
    Document(#[from] Error),
}

impl SignError {
    /// Every code that [`SignError::code`] can answer, beside those of [`Error`].
    pub const CODES: &'static [&'static str] =
        &["PASSPHRASE_REQUIRED", "PASSPHRASE_WRONG", "KEY_MALFORMED", "SIGNER_FAILED"];

    /// The stable reason, in SCREAMING_SNAKE_CASE.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PassphraseRequired => "PASSPHRASE_REQUIRED",
            Self::PassphraseWrong => "PASSPHRASE_WRONG",
            Self::KeyMalformed(_) => "KEY_MALFORMED",
            Self::Signer(_) => "SIGNER_FAILED",
            Self::Document(error) => error.code(),
        }
    }
}

/// An ed25519 private key in memory, wiped when dropped. Never printed.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key of a seed: 32 bytes from a cryptographic generator.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        Self(SigningKey::from_bytes(&seed))
    }

    /// PKCS#8 PEM in the clear.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, SignError> {
        self.to_der()?.to_pem("PRIVATE KEY", LineEnding::LF).map_err(malformed)
    }

    /// PKCS#8 PEM under a passphrase (scrypt, AES-256-CBC). `random` becomes salt and vector: 32 bytes
    /// from a cryptographic generator, used once.
    pub fn to_encrypted_pem(
        &self,
        passphrase: &[u8],
        random: [u8; 32],
    ) -> Result<Zeroizing<String>, SignError> {
        let (salt, iv) = random.split_at(16);
        let iv: [u8; 16] = iv.try_into().map_err(malformed)?;
        let (log_n, r, p) = SCRYPT;
        let work = scrypt::Params::new(log_n, r, p).map_err(malformed)?;
        let scheme = pbes2::Parameters::generate_scrypt_aes256cbc(work, salt, iv).map_err(malformed)?;
        let der = self.to_der()?;
        let key = PrivateKeyInfoRef::try_from(der.as_bytes()).map_err(malformed)?;
        let encrypted = key.encrypt_with_params(scheme, passphrase).map_err(malformed)?;
        encrypted.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).map_err(malformed)
    }

    /// Reads PKCS#8 PEM; a passphrase is only looked at when the key is encrypted.
    pub fn from_pem(pem: &str, passphrase: Option<&[u8]>) -> Result<Self, SignError> {
        if !Self::pem_is_encrypted(pem) {
            return SigningKey::from_pkcs8_pem(pem).map(Self).map_err(malformed);
        }
        let passphrase = passphrase.ok_or(SignError::PassphraseRequired)?;
        let (_, sealed) = SecretDocument::from_pem(pem).map_err(malformed)?;
        let sealed = EncryptedPrivateKeyInfoRef::try_from(sealed.as_bytes()).map_err(malformed)?;
        // A wrong passphrase may leave a valid padding: then what comes out is no key.
        let der = sealed.decrypt(passphrase).map_err(|_| SignError::PassphraseWrong)?;
        SigningKey::from_pkcs8_der(der.as_bytes()).map(Self).map_err(|_| SignError::PassphraseWrong)
    }

    /// Whether reading this PEM takes a passphrase.
    pub fn pem_is_encrypted(pem: &str) -> bool {
        pem.contains(ENCRYPTED_LABEL)
    }

    /// Without the public half: that is the form every tool reads.
    fn to_der(&self) -> Result<SecretDocument, SignError> {
        let pair = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        pair.to_pkcs8_der().map_err(malformed)
    }
}

impl Signer for SecretKey {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let signature = self.0.try_sign(message).map_err(|error| SignError::Signer(error.to_string()))?;
        Ok(signature.to_bytes())
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey(of {})", self.public_key())
    }
}

fn malformed(error: impl std::fmt::Display) -> SignError {
    SignError::KeyMalformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{canon, hex, repo};

    #[test]
    fn a_key_survives_its_file() {
        let key = SecretKey::from_seed([7; 32]);
        let clear = key.to_pem().expect("encodes");
        assert!(clear.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(!SecretKey::pem_is_encrypted(&clear));
        let back = SecretKey::from_pem(&clear, None).expect("reads");
        assert_eq!(back.public_key(), key.public_key());

        let sealed = key.to_encrypted_pem(b"correct horse", [9; 32]).expect("encrypts");
        assert!(SecretKey::pem_is_encrypted(&sealed));
        let open =
            |passphrase: Option<&[u8]>| SecretKey::from_pem(&sealed, passphrase).map(|key| key.public_key());
        assert_eq!(open(Some(b"correct horse")), Ok(key.public_key()));
        assert_eq!(open(Some(b"wrong horse")), Err(SignError::PassphraseWrong));
        assert_eq!(open(None), Err(SignError::PassphraseRequired));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(
                SecretKey::from_pem(bad, None).map_err(|e| e.code()).err(),
                Some("KEY_MALFORMED"),
                "{bad}"
            );
        }
    }

    #[test]
    fn signs_what_verifies() {
        let key = SecretKey::from_seed([1; 32]);
        let signature = key.sign(b"message").expect("signs");
        assert!(key.public_key().verify(b"message", &signature));
        assert!(!key.public_key().verify(b"messagf", &signature));
        assert!(!format!("{key:?}").contains("01010101"));
    }

    /// The canonical form keeps control characters as they are, and JSON has none: found by the fuzzer.
    #[test]
    fn a_signed_file_is_json_whatever_its_strings_hold() {
        let key = SecretKey::from_seed([1; 32]);
        let body = serde_json::json!({"note": "two\nlines \u{1} \"quoted\" \\ \u{e9}"});
        let file = repo::sign_value(body.clone(), &[&key]).expect("signs");
        let twice = repo::add_signature(&file, &SecretKey::from_seed([2; 32])).expect("reads and signs");
        for bytes in [file, twice] {
            let value = canon::parse(&bytes).expect("a JSON file");
            assert_eq!(value["signed"], body);
            let sig: Vec<u8> =
                hex::decode(value["signatures"][0]["sig"].as_str().unwrap_or_default()).expect("hex");
            assert!(key.public_key().verify(&canon::to_bytes(&body).expect("a form"), &sig));
        }
    }
}
