//! The device's certificate and the key it is for, made on the device; and the next ones, while it changes
//! them. Where the keys are kept is the business of [`crate::keystore`].

use std::{io, path::Path, sync::Arc};

use rcgen::{CertificateParams, DnType};
use rustls::{
    pki_types::{CertificateDer, pem::PemObject as _},
    sign::SigningKey,
};
use slipway_trust::Sha256;

use crate::{
    certificate::{self, Facts},
    config::StateDir,
    durable,
    keystore::{Key, KeyStore as _, Keys, Place},
};

/// PEM files of this agent are a few kilobytes.
const PEM_LIMIT: u64 = 256 << 10;

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
    /// There is no such key store.
    #[error("{0}")]
    Store(String),
    /// The TPM has the key, or should have it.
    #[cfg(feature = "tpm")]
    #[error(transparent)]
    Tpm(#[from] crate::keystore::tpm::TpmError),
}

impl IdentityError {
    /// Stable code for reports, where something was not done because of it.
    pub fn code(&self) -> &'static str {
        match self {
            #[cfg(feature = "tpm")]
            Self::Tpm(error) => error.code(),
            _ => "STATE_IO_FAILED",
        }
    }
}

/// What the device shows when it connects.
#[derive(Debug)]
pub struct Identity {
    /// Its certificate and the issuer's.
    pub chain: Vec<CertificateDer<'static>>,
    /// Signs with its private key.
    pub key: Arc<dyn SigningKey>,
}

/// A key of the device, and the certificate for it.
#[derive(Debug)]
pub struct Papers {
    /// The key.
    pub key: Key,
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
        Some(Identity { chain, key: self.key.for_tls()? })
    }
}

/// A certificate signing request for `device_id`, DER.
///
/// # Errors
/// When signing fails.
pub fn signing_request(key: &Key, device_id: &str) -> Result<Vec<u8>, IdentityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, device_id);
    key.request(&params)
}

/// What a key signs to prove that it is there: `what` it is for, the id of the authority of the server that it
/// is shown to, that server's challenge, and the request.
pub(crate) fn proof(what: &[u8], server: &Sha256, nonce: &[u8], csr_der: &[u8]) -> Vec<u8> {
    [what, server.to_string().as_bytes(), b"\n", nonce, Sha256::of(csr_der).as_bytes()].concat()
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

/// Whether these are certificates, the first of them for this public key (SubjectPublicKeyInfo, DER). What a server
/// hands over as a chain may be anything.
pub fn is_chain_for(chain: &[Vec<u8>], public: &[u8]) -> bool {
    let mut keys = chain.iter().map(|der| certificate::read(der).map(|facts| facts.public_key));
    keys.next().flatten().is_some_and(|first| first == public) && keys.all(|key| key.is_some())
}

fn store(path: &Path, chain: &[Vec<u8>]) -> Result<(), IdentityError> {
    let pem: String = chain.iter().map(|der| to_pem("CERTIFICATE", der)).collect();
    durable::replace(path, pem.as_bytes(), durable::PLAIN).map_err(io_error("write", path))
}

pub(crate) fn to_pem(label: &str, der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + "-----END " + label + "-----\n"
}

/// The papers of the device, and what is wrong with the certificate if it is not with them.
///
/// # Errors
/// When the key is missing or damaged.
pub fn load(keys: &Keys) -> Result<(Papers, Option<IdentityError>), IdentityError> {
    let key = keys.load(Place::Current)?;
    Ok(match read_held(&keys.state().certificate(), &key) {
        Ok(held) => (Papers { key, certificate: Some(held) }, None),
        Err(error) => (Papers { key, certificate: None }, Some(error)),
    })
}

/// The papers that the device changes to, if it does. A change that a power cut stopped after the new key
/// took its place is finished first.
///
/// # Errors
/// I/O errors.
pub fn load_next(keys: &Keys) -> Result<Option<Papers>, IdentityError> {
    let key = match keys.load(Place::Next) {
        Ok(key) => key,
        Err(IdentityError::Io { action, file, source }) => {
            return Err(IdentityError::Io { action, file, source });
        }
        // Never begun, or not to be gone on with.
        Err(_) => return Ok(None),
    };
    let is_in_place = keys.load(Place::Current).is_ok_and(|current| current.public() == key.public());
    if is_in_place {
        adopt_next(keys)?;
        return Ok(None);
    }
    let certificate = read_held(&keys.state().next_certificate(), &key).ok();
    Ok(Some(Papers { key, certificate }))
}

/// The key that the device changed to takes the place of the one it had, for good. Whatever step a power
/// cut stops it after, [`load_next`] finishes it.
///
/// # Errors
/// I/O errors.
pub fn adopt_next(keys: &Keys) -> Result<(), IdentityError> {
    let (from, to) = (keys.state().next_certificate(), keys.state().certificate());
    keys.adopt_next()?;
    match read(&from) {
        Ok(bytes) => durable::replace(&to, &bytes, durable::PLAIN).map_err(io_error("write", &to))?,
        // Done before the power cut, or never there: then a new certificate is asked for.
        Err(IdentityError::Missing { .. }) => {}
        Err(error) => return Err(error),
    }
    forget_next(keys)
}

/// The device keeps the key it has.
///
/// # Errors
/// I/O errors.
pub fn forget_next(keys: &Keys) -> Result<(), IdentityError> {
    let path = keys.state().next_certificate();
    durable::remove(&path).map_err(io_error("remove", &path))?;
    // The key last: while it is there, the change can be finished.
    keys.forget_next()
}

fn read_held(path: &Path, key: &Key) -> Result<Held, IdentityError> {
    let chain = read_certificates(path)?;
    let damaged = |what: &str| IdentityError::Damaged { file: path.display().to_string(), what: what.into() };
    let facts = chain.first().and_then(|leaf| certificate::read(leaf));
    let facts = facts.ok_or_else(|| damaged("it holds no X.509 certificate"))?;
    if facts.public_key != key.public() {
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

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    match durable::read_optional(path, PEM_LIMIT) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(IdentityError::Missing { file: path.display().to_string() }),
        Err(source) => Err(io_error("read", path)(source)),
    }
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let file = path.display().to_string();
    move |source| IdentityError::Io { action, file, source }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use rcgen::KeyPair;

    use super::*;
    use crate::keystore::FileKeys;

    fn keys() -> (tempfile::TempDir, Keys) {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::File(FileKeys::new(&StateDir::new(folder.path())));
        (folder, keys)
    }

    #[test]
    fn keeps_its_key_and_shows_it_to_nobody() {
        let (_folder, keys) = keys();
        let state = keys.state();
        let first = keys.load_or_make().unwrap();
        let again = keys.load_or_make().unwrap();
        assert_eq!(first.public(), again.public());
        assert_eq!(fs::metadata(state.key()).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(state.key(), "not a key").unwrap();
        assert!(matches!(keys.load_or_make(), Err(IdentityError::Damaged { .. })));
    }

    fn certificate_for(key: &Key) -> Vec<Vec<u8>> {
        let certificate = CertificateParams::new(vec!["x".to_owned()]).unwrap().self_signed(key).unwrap();
        vec![certificate.der().to_vec(), certificate.der().to_vec()]
    }

    #[test]
    fn certificate_and_key_come_back() {
        let (_folder, keys) = keys();
        let state = keys.state();
        assert!(matches!(load(&keys), Err(IdentityError::Missing { .. })));
        let key = keys.load_or_make().unwrap();
        let (papers, wrong) = load(&keys).unwrap();
        assert!(papers.certificate.is_none() && matches!(wrong, Some(IdentityError::Missing { .. })));
        let chain = certificate_for(&key);
        store_certificate(state, &chain).unwrap();
        let (papers, wrong) = load(&keys).unwrap();
        assert!(wrong.is_none());
        let shown: Vec<_> = papers.identity().unwrap().chain.iter().map(|der| der.to_vec()).collect();
        assert_eq!(shown, chain);
        assert!(!signing_request(&key, "pump-1").unwrap().is_empty());
        let stranger = Key::File(KeyPair::generate().unwrap());
        assert!(is_chain_for(&chain, &key.public()) && !is_chain_for(&chain, &stranger.public()));
        assert!(!is_chain_for(&[], &key.public()) && !is_chain_for(&[b"x".to_vec()], &key.public()));
        assert!(!is_chain_for(&[chain[0].clone(), b"x".to_vec()], &key.public()), "the rest of it too");
        store_certificate(state, &certificate_for(&stranger)).unwrap();
        let (papers, wrong) = load(&keys).unwrap();
        assert!(papers.identity().is_none() && matches!(wrong, Some(IdentityError::Damaged { .. })));
    }

    /// The files of a device whose new key is known to the server.
    fn changing() -> (tempfile::TempDir, Keys, Key) {
        let (folder, keys) = keys();
        let old = keys.load_or_make().unwrap();
        store_certificate(keys.state(), &certificate_for(&old)).unwrap();
        assert!(load_next(&keys).unwrap().is_none());
        let new = keys.load_or_make_next().unwrap();
        assert!(load_next(&keys).unwrap().unwrap().certificate.is_none());
        store_next_certificate(keys.state(), &certificate_for(&new)).unwrap();
        (folder, keys, new)
    }

    #[test]
    fn a_change_of_keys_goes_through_wherever_it_is_cut() {
        for cut in 0..=4 {
            let (_folder, keys, new) = changing();
            let state = keys.state();
            assert_eq!(keys.load_or_make_next().unwrap().public(), new.public());
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
            let next = load_next(&keys).unwrap();
            assert_eq!(next.is_some(), cut == 0, "cut {cut}");
            if let Some(next) = next {
                assert!(next.certificate.is_some());
                adopt_next(&keys).unwrap();
            }
            let (papers, wrong) = load(&keys).unwrap();
            assert_eq!(papers.key.public(), new.public(), "cut {cut}");
            assert!(wrong.is_none() && papers.certificate.is_some(), "cut {cut}: {wrong:?}");
            assert!(!state.next_key().exists() && !state.next_certificate().exists());
            assert_eq!(fs::metadata(state.key()).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_change_that_is_given_up_leaves_the_key() {
        let (_folder, keys, new) = changing();
        forget_next(&keys).unwrap();
        assert!(load_next(&keys).unwrap().is_none());
        assert_ne!(load(&keys).unwrap().0.key.public(), new.public());
        fs::write(keys.state().next_key(), "half a key").unwrap();
        assert!(load_next(&keys).unwrap().is_none(), "never used, so it does not count");
        keys.load_or_make_next().unwrap();
    }
}
