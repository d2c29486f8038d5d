//! Keys in files of the state folder that only their owner can read.

use std::path::PathBuf;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};

use super::{Key, KeyStore, Place, remove, take_place};
use crate::{
    config::StateDir,
    durable,
    identity::{IdentityError, io_error, read},
};

const NO_KEY: &str = "it holds no P-256 private key in PEM (PKCS #8)";

/// See the module.
#[derive(Debug, Clone)]
pub struct FileKeys(StateDir);

impl FileKeys {
    /// The keys in `state`; nothing is read yet.
    pub fn new(state: &StateDir) -> Self {
        Self(state.clone())
    }

    /// The folder that it works in.
    pub fn state(&self) -> &StateDir {
        &self.0
    }

    fn path(&self, place: Place) -> PathBuf {
        match place {
            Place::Current => self.0.key(),
            Place::Next => self.0.next_key(),
        }
    }
}

impl KeyStore for FileKeys {
    fn load(&self, place: Place) -> Result<Key, IdentityError> {
        let path = self.path(place);
        let damaged =
            |what: &str| IdentityError::Damaged { file: path.display().to_string(), what: what.into() };
        let pem = String::from_utf8(read(&path)?).map_err(|_| damaged("it is not text"))?;
        KeyPair::from_pem(&pem).map(Key::File).map_err(|_| damaged(NO_KEY))
    }

    fn make(&self, place: Place) -> Result<Key, IdentityError> {
        let path = self.path(place);
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        durable::replace(&path, pair.serialize_pem().as_bytes(), durable::SECRET)
            .map_err(io_error("write", &path))?;
        Ok(Key::File(pair))
    }

    fn adopt_next(&self) -> Result<(), IdentityError> {
        take_place(&self.path(Place::Next), &self.path(Place::Current))
    }

    fn forget_next(&self) -> Result<(), IdentityError> {
        remove(&self.path(Place::Next))
    }
}
