//! Where the device's private key is kept, and everything that it is used for.
//!
//! The fleet knows a device by its key, so a store never replaces the one in force. While the device changes
//! its key there is a second one beside it. [`FileKeys`] keeps them in files; with the cargo feature `tpm`,
//! `TpmKeys` has them made in a TPM 2.0, which alone can use them.

mod file;
#[cfg(feature = "tpm")]
pub mod tpm;

use std::{cell::Cell, path::Path, sync::Arc};

use rcgen::{CertificateParams, KeyPair, PublicKeyData, SignatureAlgorithm, SigningKey};
use rustls::{pki_types::PrivateKeyDer, sign::SigningKey as TlsKey};

pub use self::file::FileKeys;
use crate::{
    config::{Config, StateDir},
    durable,
    identity::{IdentityError, io_error, read},
};

/// One of the two keys that a device can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The one in force.
    Current,
    /// The one that the device changes to.
    Next,
}

/// Keeps the device's key, and the next one while it changes them.
pub trait KeyStore {
    /// The key at `place`.
    ///
    /// # Errors
    /// [`IdentityError::Missing`], [`IdentityError::Damaged`], or why it could not be read.
    fn load(&self, place: Place) -> Result<Key, IdentityError>;

    /// Makes a key at `place`, instead of what is there. It is durable when this returns.
    ///
    /// # Errors
    /// I/O errors, and those of what makes the key.
    fn make(&self, place: Place) -> Result<Key, IdentityError>;

    /// The next key becomes the one in force as well. Without a next key nothing is done: a power cut came
    /// after it was done before.
    ///
    /// # Errors
    /// I/O errors; after them, as after a power cut, it is called again.
    fn adopt_next(&self) -> Result<(), IdentityError>;

    /// Removes the next key, if there is one.
    ///
    /// # Errors
    /// I/O errors.
    fn forget_next(&self) -> Result<(), IdentityError>;

    /// The device's key: the one it has, or a new one.
    ///
    /// # Errors
    /// I/O errors, or a damaged key: it is never replaced, because the fleet knows the device by it.
    fn load_or_make(&self) -> Result<Key, IdentityError> {
        match self.load(Place::Current) {
            Err(IdentityError::Missing { .. }) => self.make(Place::Current),
            loaded => loaded,
        }
    }

    /// The key to change to: the one that was begun with, or a new one.
    ///
    /// # Errors
    /// I/O errors. One that is damaged is made anew: nobody knows the device by it yet, or the old one would
    /// not be in force.
    fn load_or_make_next(&self) -> Result<Key, IdentityError> {
        match self.load(Place::Next) {
            Err(IdentityError::Missing { .. } | IdentityError::Damaged { .. }) => self.make(Place::Next),
            loaded => loaded,
        }
    }
}

/// The store of this device.
#[derive(Debug, Clone)]
pub enum Keys {
    /// `key_store = "file"`.
    File(FileKeys),
    /// `key_store = "tpm"`.
    #[cfg(feature = "tpm")]
    Tpm(tpm::TpmKeys),
}

impl Keys {
    /// The store in `state` that is configured; nothing is read yet.
    ///
    /// # Errors
    /// [`IdentityError::Store`] when this agent has no such store.
    pub fn open(state: &StateDir, config: &Config) -> Result<Self, IdentityError> {
        Self::of(state, &config.key_store, &config.tpm).map_err(IdentityError::Store)
    }

    /// The same from the values of the keys `key_store` and `tpm`; what is wrong with them otherwise.
    pub(crate) fn of(state: &StateDir, store: &str, tpm: &str) -> Result<Self, String> {
        match store {
            "" | FILE => Ok(Self::File(FileKeys::new(state))),
            TPM => Self::in_tpm(state, if tpm.is_empty() { DEFAULT_TPM } else { tpm }),
            _ => Err(format!("key_store is {store:?}; it has to be {FILE} or {TPM}")),
        }
    }

    #[cfg(feature = "tpm")]
    fn in_tpm(state: &StateDir, tpm: &str) -> Result<Self, String> {
        Ok(Self::Tpm(tpm::TpmKeys::new(state, tpm.parse()?)))
    }

    #[cfg(not(feature = "tpm"))]
    fn in_tpm(_: &StateDir, tpm: &str) -> Result<Self, String> {
        Err(format!("key_store is {TPM}, at {tpm}; this slipway-agent was built without TPM support"))
    }

    /// The folder that it works in.
    pub fn state(&self) -> &StateDir {
        match self {
            Self::File(keys) => keys.state(),
            #[cfg(feature = "tpm")]
            Self::Tpm(keys) => keys.state(),
        }
    }
}

/// The store in files, as `key_store` names it; the one that is taken unless another is named.
pub const FILE: &str = "file";
/// The store in a TPM, as `key_store` names it.
pub const TPM: &str = "tpm";
/// The kernel's way to the TPM that shares it among programs and cleans up behind each; taken unless another
/// is named.
pub const DEFAULT_TPM: &str = "/dev/tpmrm0";

impl KeyStore for Keys {
    fn load(&self, place: Place) -> Result<Key, IdentityError> {
        match self {
            Self::File(keys) => keys.load(place),
            #[cfg(feature = "tpm")]
            Self::Tpm(keys) => keys.load(place),
        }
    }

    fn make(&self, place: Place) -> Result<Key, IdentityError> {
        match self {
            Self::File(keys) => keys.make(place),
            #[cfg(feature = "tpm")]
            Self::Tpm(keys) => keys.make(place),
        }
    }

    fn adopt_next(&self) -> Result<(), IdentityError> {
        match self {
            Self::File(keys) => keys.adopt_next(),
            #[cfg(feature = "tpm")]
            Self::Tpm(keys) => keys.adopt_next(),
        }
    }

    fn forget_next(&self) -> Result<(), IdentityError> {
        match self {
            Self::File(keys) => keys.forget_next(),
            #[cfg(feature = "tpm")]
            Self::Tpm(keys) => keys.forget_next(),
        }
    }
}

/// A P-256 key of the device, for as long as it is used.
#[derive(Debug)]
#[cfg_attr(feature = "tpm", expect(clippy::large_enum_variant, reason = "a device has two of them at most"))]
pub enum Key {
    /// In memory.
    File(KeyPair),
    /// In a TPM: each signature is asked for there.
    #[cfg(feature = "tpm")]
    Tpm(tpm::TpmKey),
}

impl Key {
    /// SubjectPublicKeyInfo, DER.
    pub fn public(&self) -> Vec<u8> {
        self.subject_public_key_info()
    }

    /// ECDSA over the SHA-256 of `message`, DER.
    ///
    /// # Errors
    /// When signing fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IdentityError> {
        match self {
            Self::File(pair) => Ok(pair.sign(message)?),
            #[cfg(feature = "tpm")]
            Self::Tpm(key) => Ok(key.sign_message(message)?),
        }
    }

    /// The certificate signing request that `params` describe, DER.
    ///
    /// # Errors
    /// When signing fails.
    pub fn request(&self, params: &CertificateParams) -> Result<Vec<u8>, IdentityError> {
        let signer = Remembering { key: self, error: Cell::new(None) };
        match params.serialize_request(&signer) {
            Ok(request) => Ok(request.der().to_vec()),
            Err(error) => Err(signer.error.take().unwrap_or(IdentityError::Key(error))),
        }
    }

    /// The key as TLS wants it; none when TLS cannot use it.
    pub fn for_tls(&self) -> Option<Arc<dyn TlsKey>> {
        match self {
            Self::File(pair) => {
                let der = PrivateKeyDer::Pkcs8(pair.serialize_der().into());
                rustls::crypto::ring::sign::any_supported_type(&der).ok()
            }
            #[cfg(feature = "tpm")]
            Self::Tpm(key) => Some(Arc::new(key.clone())),
        }
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        match self {
            Self::File(pair) => pair.der_bytes(),
            #[cfg(feature = "tpm")]
            Self::Tpm(key) => key.der_bytes(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            Self::File(pair) => pair.algorithm(),
            #[cfg(feature = "tpm")]
            Self::Tpm(key) => PublicKeyData::algorithm(key),
        }
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

/// Keeps why a key did not sign, which the library that asked for it does not hand on.
struct Remembering<'a> {
    key: &'a Key,
    error: Cell<Option<IdentityError>>,
}

impl PublicKeyData for Remembering<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.key.algorithm()
    }
}

impl SigningKey for Remembering<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.key.sign(message).map_err(|error| {
            self.error.set(Some(error));
            rcgen::Error::RemoteKeyError
        })
    }
}

/// Why a key store did not sign in a TLS handshake, if it is that: its reason, and words for people.
pub fn of_handshake(error: &rustls::Error) -> Option<(&'static str, String)> {
    #[cfg(feature = "tpm")]
    if let rustls::Error::Other(error) = error
        && let Some(error) = error.0.downcast_ref::<tpm::TpmError>()
    {
        return Some((error.code(), error.in_full()));
    }
    let _ = error;
    None
}

/// Puts the file at `from`, if there is one, in the place of the one at `to`.
fn take_place(from: &Path, to: &Path) -> Result<(), IdentityError> {
    match read(from) {
        Ok(bytes) => durable::replace(to, &bytes, durable::SECRET).map_err(io_error("write", to)),
        Err(IdentityError::Missing { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> Result<(), IdentityError> {
    durable::remove(path).map_err(io_error("remove", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_this_agent_has_not_is_refused_by_name() {
        let state = StateDir::new(Path::new(""));
        for store in ["", "file"] {
            assert!(matches!(Keys::of(&state, store, ""), Ok(Keys::File(_))), "{store}");
        }
        let unknown = Keys::of(&state, "hsm", "").unwrap_err();
        assert_eq!(unknown, "key_store is \"hsm\"; it has to be file or tpm");
        let tpm = Keys::of(&state, "tpm", "").map(|_| ());
        match cfg!(feature = "tpm") {
            true => assert_eq!(tpm, Ok(())),
            false => {
                let missing =
                    "key_store is tpm, at /dev/tpmrm0; this slipway-agent was built without TPM support";
                assert_eq!(tpm, Err(missing.to_owned()));
            }
        }
    }
}
