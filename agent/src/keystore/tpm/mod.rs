//! Keys that a TPM 2.0 makes and alone can use.
//!
//! Nothing of them stays in the TPM, whose memory is small: a key is a file of two parts, the public one and
//! the private one, which the TPM encrypted for itself. To sign, the TPM is given both, and forgets them
//! afterwards. What protects the private part is the TPM's storage key, derived anew each time from a seed
//! that never leaves it; clearing the TPM replaces that seed and so ends every key made before.
//!
//! **The TPM is asked for nothing but to make a key and to sign.** The public part is in the file, so an
//! agent starts, keeps its records and watches its machine whatever the TPM does; only what needs a
//! signature fails, says why ([`TpmError`]), and is tried again with the next round.
//!
//! A signature takes a tenth of a second to one second in a chip, and everything else in the agent waits
//! for it. One is made for each connection to the server, and those last.

mod address;
mod commands;
mod error;
mod file;
mod stream;

use std::{path::PathBuf, sync::Arc};

use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use rustls::{
    OtherError, SignatureScheme,
    pki_types::SubjectPublicKeyInfoDer,
    sign::{Signer, SigningKey as TlsKey},
};
use slipway_trust::Sha256;

pub use self::{address::Address, error::TpmError};
use self::{commands::Tpm, file::Blobs};
use super::{Key, KeyStore, Place, remove, take_place};
use crate::{
    config::StateDir,
    durable,
    identity::{IdentityError, io_error, read},
};

/// See the module.
#[derive(Debug, Clone)]
pub struct TpmKeys {
    state: StateDir,
    tpm: Address,
}

impl TpmKeys {
    /// The keys in `state`, made by the TPM at `tpm`; nothing is read yet.
    pub fn new(state: &StateDir, tpm: Address) -> Self {
        Self { state: state.clone(), tpm }
    }

    /// The folder that it works in.
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    /// The file of the key at `place`.
    pub fn path(&self, place: Place) -> PathBuf {
        self.state.path().join(match place {
            Place::Current => "key-tpm.pem",
            Place::Next => "key-tpm-next.pem",
        })
    }

    fn key(&self, blobs: Blobs) -> Option<Key> {
        let point = blobs.point()?;
        Some(Key::Tpm(TpmKey(Arc::new(Loadable { tpm: self.tpm.clone(), blobs, point }))))
    }
}

impl KeyStore for TpmKeys {
    fn load(&self, place: Place) -> Result<Key, IdentityError> {
        let path = self.path(place);
        let bytes = read(&path)?;
        let damaged = || IdentityError::Damaged {
            file: path.display().to_string(),
            what: "it holds no P-256 signing key of a TPM in PEM (TSS2 PRIVATE KEY)".to_owned(),
        };
        Blobs::from_pem(&bytes).and_then(|blobs| self.key(blobs)).ok_or_else(damaged)
    }

    fn make(&self, place: Place) -> Result<Key, IdentityError> {
        let path = self.path(place);
        let blobs = Tpm::open(&self.tpm).create()?;
        // The private part is good for nothing without the TPM; that others cannot read it is one more bar.
        durable::replace(&path, blobs.to_pem().as_bytes(), durable::SECRET)
            .map_err(io_error("write", &path))?;
        let strange =
            || TpmError::unavailable(&self.tpm, "it made a key of another kind than it was asked for");
        self.key(blobs).ok_or_else(|| strange().into())
    }

    fn adopt_next(&self) -> Result<(), IdentityError> {
        take_place(&self.path(Place::Next), &self.path(Place::Current))
    }

    fn forget_next(&self) -> Result<(), IdentityError> {
        remove(&self.path(Place::Next))
    }
}

/// A key that the TPM is given for each signature. Clones share it.
#[derive(Debug, Clone)]
pub struct TpmKey(Arc<Loadable>);

#[derive(Debug)]
struct Loadable {
    tpm: Address,
    blobs: Blobs,
    /// Uncompressed (SEC 1, 2.3.3).
    point: Vec<u8>,
}

impl TpmKey {
    /// ECDSA over the SHA-256 of `message`, DER.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, TpmError> {
        Tpm::open(&self.0.tpm).sign(&self.0.blobs, Sha256::of(message).as_bytes())
    }
}

impl PublicKeyData for TpmKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;

impl TlsKey for TpmKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SCHEME).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.subject_public_key_info().into())
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        rustls::SignatureAlgorithm::ECDSA
    }
}

impl Signer for TpmKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.sign_message(message).map_err(|error| rustls::Error::Other(OtherError(Arc::new(error))))
    }

    fn scheme(&self) -> SignatureScheme {
        SCHEME
    }
}
