//! The device's key, made on the device, and its certificate.

use std::io;

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::{config::StateDir, durable};

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

/// The device's key: the one it has, or a new one that is durable when this returns.
///
/// # Errors
/// I/O errors, or a damaged key file: it is never replaced, because the fleet knows the device by it.
pub fn load_or_make_key(state: &StateDir) -> Result<KeyPair, IdentityError> {
    let path = state.key();
    let file = path.display().to_string();
    match durable::read_optional(&path, PEM_LIMIT) {
        Ok(Some(bytes)) => {
            let damaged = |what: String| IdentityError::Damaged { file: file.clone(), what };
            let pem = String::from_utf8(bytes).map_err(|_| damaged("it is not text".to_owned()))?;
            KeyPair::from_pem(&pem).map_err(|_| damaged(NO_KEY.to_owned()))
        }
        Ok(None) => {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            durable::replace(&path, key.serialize_pem().as_bytes(), durable::SECRET)
                .map_err(|source| IdentityError::Io { action: "write", file, source })?;
            Ok(key)
        }
        Err(source) => Err(IdentityError::Io { action: "read", file, source }),
    }
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

/// Stores the certificate chain that enrolment returned.
///
/// # Errors
/// I/O errors.
pub fn store_certificate(state: &StateDir, chain: &[Vec<u8>]) -> Result<(), IdentityError> {
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
    let path = state.certificate();
    durable::replace(&path, pem.as_bytes(), durable::PLAIN).map_err(|source| IdentityError::Io {
        action: "write",
        file: path.display().to_string(),
        source,
    })
}

/// Reads key and certificate.
///
/// # Errors
/// When one of them is missing or damaged.
pub fn load(state: &StateDir) -> Result<Identity, IdentityError> {
    let chain = read_certificates(&state.certificate())?;
    let path = state.key();
    let file = path.display().to_string();
    let bytes = read(&path)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|_| IdentityError::Damaged { file, what: NO_KEY.to_owned() })?;
    Ok(Identity { chain, key })
}

/// Reads the certificates in a PEM file; at least one.
///
/// # Errors
/// When the file is missing, damaged or empty.
pub fn read_certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let damaged = |what: String| IdentityError::Damaged { file: path.display().to_string(), what };
    let certificates = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| damaged("it is not a file of certificates in PEM".to_owned()))?;
    if certificates.is_empty() {
        return Err(damaged("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, IdentityError> {
    let file = path.display().to_string();
    match durable::read_optional(path, PEM_LIMIT) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(IdentityError::Missing { file }),
        Err(source) => Err(IdentityError::Io { action: "read", file, source }),
    }
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

    #[test]
    fn certificate_and_key_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        assert!(matches!(load(&state), Err(IdentityError::Missing { .. })));
        let key = load_or_make_key(&state).unwrap();
        let certificate = CertificateParams::new(vec!["x".to_owned()]).unwrap().self_signed(&key).unwrap();
        store_certificate(&state, &[certificate.der().to_vec(), certificate.der().to_vec()]).unwrap();
        let identity = load(&state).unwrap();
        assert_eq!(identity.chain.len(), 2);
        assert_eq!(identity.chain[0], *certificate.der());
        assert!(!signing_request(&key, "pump-1").unwrap().is_empty());
    }
}
