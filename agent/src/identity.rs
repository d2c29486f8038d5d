//! The device's key, made on the device, and its certificate; and the next ones, while it changes them.

use std::{io, path::Path};

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::{
    certificate::{self, Facts},
    config::StateDir,
    durable,
};

/// PEM files of this agent are a few kilobytes.
const PEM_LIMIT: u64 = 256 << 10;

const NO_KEY: &str = "it holds no P-256 private key in PEM (PKCS #8)";

/// Why the device has no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be used.
    #[error("cannot {action} {file}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not there.
    #[error("{file} is missing")]
    Missing {
        /// The file.
        file: String,
    },
    /// A file holds something else.
    #[error("{file} is damaged: {what}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// No key could be made, or it could not sign.
    #[error("cannot make a key and a signing request for this device")]
    Key(#[from] rcgen::Error),
}

/// What the device shows when it connects.
#[derive(Debug)]
pub struct Identity {
    /// Its certificate and the issuer's.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

/// A key of the device, and the certificate for it.
#[derive(Debug)]
pub struct Papers {
    /// The key.
    pub key: KeyPair,
    /// The certificate. None when it is lost: the key is what the fleet knows the device by, and gets a
    /// new one.
    pub certificate: Option<Held>,
}

/// A certificate that the device holds.
#[derive(Debug)]
pub struct Held {
    /// It and its issuer's.
    pub chain: Vec<CertificateDer<'static>>,
    /// What it says.
    pub facts: Facts,
}

impl Papers {
    /// What to show; none without a certificate.
    pub fn identity(&self) -> Option<Identity> {
        let chain = self.certificate.as_ref()?.chain.clone();
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        Some(Identity { chain, key })
    }
}

/// The device's key: the one it has, or a new one that is durable when this returns.
///
/// # Errors
/// I/O errors, or a damaged key file: it is never replaced, because the fleet knows the device by it.
pub fn load_or_make_key(state: &StateDir) -> Result<KeyPair, IdentityError> {
    match load_key(&state.key()) {
        Err(IdentityError::Missing { .. }) => make_key(&state.key()),
        loaded => loaded,
    }
}

/// The key to change to: the one that was begun with, or a new one that is durable when this returns.
///
/// # Errors
/// I/O errors. One that is damaged is made anew: nobody knows the device by it yet, or the old one would
/// not be in force.
pub fn load_or_make_next_key(state: &StateDir) -> Result<KeyPair, IdentityError> {
    match load_key(&state.next_key()) {
        Err(IdentityError::Missing { .. } | IdentityError::Damaged { .. }) => make_key(&state.next_key()),
        loaded => loaded,
    }
}

fn make_key(path: &Path) -> Result<KeyPair, IdentityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    durable::replace(path, key.serialize_pem().as_bytes(), durable::SECRET)
        .map_err(io_error("write", path))?;
    Ok(key)
}

fn load_key(path: &Path) -> Result<KeyPair, IdentityError> {
    let damaged = |what: &str| IdentityError::Damaged { file: path.display().to_string(), what: what.into() };
    let pem = String::from_utf8(read(path)?).map_err(|_| damaged("it is not text"))?;
    KeyPair::from_pem(&pem).map_err(|_| damaged(NO_KEY))
}

/// A certificate signing request for `device_id`, DER.
///
/// # Errors
/// When signing fails.
pub fn signing_request(key: &KeyPair, device_id: &str) -> Result<Vec<u8>, IdentityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, device_id);
    Ok(params.serialize_request(key)?.der().to_vec())
}

/// Stores the certificate chain that enrolment or a renewal returned.
///
/// # Errors
/// I/O errors.
pub fn store_certificate(state: &StateDir, chain: &[Vec<u8>]) -> Result<(), IdentityError> {
    store(&state.certificate(), chain)
}

/// Stores the certificate chain for the key that the device changes to.
///
/// # Errors
/// I/O errors.
pub fn store_next_certificate(state: &StateDir, chain: &[Vec<u8>]) -> Result<(), IdentityError> {
    store(&state.next_certificate(), chain)
}

fn store(path: &Path, chain: &[Vec<u8>]) -> Result<(), IdentityError> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut pem = String::new();
    for der in chain {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in STANDARD.encode(der).as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    durable::replace(path, pem.as_bytes(), durable::PLAIN).map_err(io_error("write", path))
}

/// The papers of the device, and what is wrong with the certificate if it is not with them.
///
/// # Errors
/// When the key is missing or damaged.
pub fn load(state: &StateDir) -> Result<(Papers, Option<IdentityError>), IdentityError> {
    let key = load_key(&state.key())?;
    Ok(match read_held(&state.certificate(), &key) {
        Ok(held) => (Papers { key, certificate: Some(held) }, None),
        Err(error) => (Papers { key, certificate: None }, Some(error)),
    })
}

/// The papers that the device changes to, if it does. A change that a power cut stopped after the new key
/// took its place is finished first.
///
/// # Errors
/// I/O errors.
pub fn load_next(state: &StateDir) -> Result<Option<Papers>, IdentityError> {
    let key = match load_key(&state.next_key()) {
        Ok(key) => key,
        Err(IdentityError::Io { action, file, source }) => {
            return Err(IdentityError::Io { action, file, source });
        }
        // Never begun, or not to be gone on with.
        Err(_) => return Ok(None),
    };
    let is_in_place =
        load_key(&state.key()).is_ok_and(|current| current.public_key_raw() == key.public_key_raw());
    if is_in_place {
        adopt_next(state)?;
        return Ok(None);
    }
    let certificate = read_held(&state.next_certificate(), &key).ok();
    Ok(Some(Papers { key, certificate }))
}

/// The key that the device changed to takes the place of the one it had, for good. Whatever step a power
/// cut stops it after, [`load_next`] finishes it.
///
/// # Errors
/// I/O errors.
pub fn adopt_next(state: &StateDir) -> Result<(), IdentityError> {
    let copy = |from: &Path, to: &Path, mode| match read(from) {
        Ok(bytes) => durable::replace(to, &bytes, mode).map_err(io_error("write", to)),
        // Done before the power cut, or never there: then a new certificate is asked for.
        Err(IdentityError::Missing { .. }) => Ok(()),
        Err(error) => Err(error),
    };
    copy(&state.next_key(), &state.key(), durable::SECRET)?;
    copy(&state.next_certificate(), &state.certificate(), durable::PLAIN)?;
    forget_next(state)
}

/// The device keeps the key it has.
///
/// # Errors
/// I/O errors.
pub fn forget_next(state: &StateDir) -> Result<(), IdentityError> {
    // The key last: while it is there, the change can be finished.
    for path in [state.next_certificate(), state.next_key()] {
        durable::remove(&path).map_err(io_error("remove", &path))?;
    }
    Ok(())
}

fn read_held(path: &Path, key: &KeyPair) -> Result<Held, IdentityError> {
    let chain = read_certificates(path)?;
    let damaged = |what: &str| IdentityError::Damaged { file: path.display().to_string(), what: what.into() };
    let facts = chain.first().and_then(|leaf| certificate::read(leaf));
    let facts = facts.ok_or_else(|| damaged("it holds no X.509 certificate"))?;
    if facts.public_key != key.subject_public_key_info() {
        return Err(damaged("its certificate is for another key"));
    }
    Ok(Held { chain, facts })
}

/// Reads the certificates in a PEM file; at least one.
///
/// # Errors
/// When the file is missing, damaged or empty.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let damaged = |what: String| IdentityError::Damaged { file: path.display().to_string(), what };
    let certificates = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| damaged("it is not a file of certificates in PEM".to_owned()))?;
    if certificates.is_empty() {
        return Err(damaged("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    match durable::read_optional(path, PEM_LIMIT) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(IdentityError::Missing { file: path.display().to_string() }),
        Err(source) => Err(io_error("read", path)(source)),
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let file = path.display().to_string();
    move |source| IdentityError::Io { action, file, source }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn keeps_its_key_and_shows_it_to_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let first = load_or_make_key(&state).unwrap();
        let again = load_or_make_key(&state).unwrap();
        assert_eq!(first.public_key_raw(), again.public_key_raw());
        assert_eq!(fs::metadata(state.key()).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(state.key(), "not a key").unwrap();
        assert!(matches!(load_or_make_key(&state), Err(IdentityError::Damaged { .. })));
    }

    fn certificate_for(key: &KeyPair) -> Vec<Vec<u8>> {
        let certificate = CertificateParams::new(vec!["x".to_owned()]).unwrap().self_signed(key).unwrap();
        vec![certificate.der().to_vec(), certificate.der().to_vec()]
    }

    #[test]
    fn certificate_and_key_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        assert!(matches!(load(&state), Err(IdentityError::Missing { .. })));
        let key = load_or_make_key(&state).unwrap();
        let (papers, wrong) = load(&state).unwrap();
        assert!(papers.certificate.is_none() && matches!(wrong, Some(IdentityError::Missing { .. })));
        let chain = certificate_for(&key);
        store_certificate(&state, &chain).unwrap();
        let (papers, wrong) = load(&state).unwrap();
        assert!(wrong.is_none());
        let shown: Vec<_> = papers.identity().unwrap().chain.iter().map(|der| der.to_vec()).collect();
        assert_eq!(shown, chain);
        assert!(!signing_request(&key, "pump-1").unwrap().is_empty());
        store_certificate(&state, &certificate_for(&KeyPair::generate().unwrap())).unwrap();
        let (papers, wrong) = load(&state).unwrap();
        assert!(papers.identity().is_none() && matches!(wrong, Some(IdentityError::Damaged { .. })));
    }

    /// The files of a device whose new key is known to the server.
    fn changing() -> (tempfile::TempDir, StateDir, KeyPair) {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let old = load_or_make_key(&state).unwrap();
        store_certificate(&state, &certificate_for(&old)).unwrap();
        assert!(load_next(&state).unwrap().is_none());
        let new = load_or_make_next_key(&state).unwrap();
        assert!(load_next(&state).unwrap().unwrap().certificate.is_none());
        store_next_certificate(&state, &certificate_for(&new)).unwrap();
        (folder, state, new)
    }

    #[test]
    fn a_change_of_keys_goes_through_wherever_it_is_cut() {
        for cut in 0..=4 {
            let (_folder, state, new) = changing();
            assert_eq!(load_or_make_next_key(&state).unwrap().public_key_raw(), new.public_key_raw());
            // What was done before the power went, in the order in which it is done.
            if cut >= 1 {
                fs::copy(state.next_key(), state.key()).unwrap();
            }
            if cut >= 2 {
                fs::copy(state.next_certificate(), state.certificate()).unwrap();
            }
            if cut >= 3 {
                fs::remove_file(state.next_certificate()).unwrap();
            }
            if cut >= 4 {
                fs::remove_file(state.next_key()).unwrap();
            }
            let next = load_next(&state).unwrap();
            assert_eq!(next.is_some(), cut == 0, "cut {cut}");
            if let Some(next) = next {
                assert!(next.certificate.is_some());
                adopt_next(&state).unwrap();
            }
            let (papers, wrong) = load(&state).unwrap();
            assert_eq!(papers.key.public_key_raw(), new.public_key_raw(), "cut {cut}");
            assert!(wrong.is_none() && papers.certificate.is_some(), "cut {cut}: {wrong:?}");
            assert!(!state.next_key().exists() && !state.next_certificate().exists());
            assert_eq!(fs::metadata(state.key()).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_change_that_is_given_up_leaves_the_key() {
        let (_folder, state, new) = changing();
        forget_next(&state).unwrap();
        assert!(load_next(&state).unwrap().is_none());
        assert_ne!(load(&state).unwrap().0.key.public_key_raw(), new.public_key_raw());
        fs::write(state.next_key(), "half a key").unwrap();
        assert!(load_next(&state).unwrap().is_none(), "never used, so it does not count");
        load_or_make_next_key(&state).unwrap();
    }
}
