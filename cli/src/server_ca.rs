//! The file of the server's CAs that devices are told to go by.

use std::path::Path;

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer,
        pem::{PemObject as _, SectionKind},
    },
};
use slipway_trust::{Sha256, limits};

use crate::{error::Failure, input};

/// Reads it; whether devices can live with it is for the server to say.
///
/// # Errors
/// A file that cannot be read, or holds no certificates.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = input::read(path, limits::SERVER_CA_BYTES as u64)?;
    fingerprints(&bytes).map(|_| bytes)
}

/// What tells its certificates apart, for a person to compare: SHA-256 of each, as `openssl x509
/// -fingerprint -sha256` prints it too.
///
/// # Errors
/// What is no file of certificates.
pub fn fingerprints(pem: &[u8]) -> Result<Vec<String>, Failure> {
    let unusable = |what: &str| {
        Failure::new(format!("the file of the server's CAs cannot be used: {what}"))
            .hint("give it the server-ca.pem of the server's data directory, as it stands after `slipwayd ca next`")
            .reason("SERVER_CA_REFUSED")
    };
    if pem.len() > limits::SERVER_CA_BYTES {
        return Err(unusable("it is too long"));
    }
    let parts: Vec<(SectionKind, Vec<u8>)> = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| unusable("it is not a file of certificates in PEM"))?;
    // Everybody who signs gets to see it, and every device after them: a private key above all has no place in it.
    if parts.iter().any(|(kind, _)| *kind != SectionKind::Certificate) {
        return Err(unusable("it holds something else than certificates"));
    }
    let found: Vec<CertificateDer<'static>> = parts.into_iter().map(|(_, der)| der.into()).collect();
    let mut roots = RootCertStore::empty();
    if found.iter().any(|der| roots.add(der.clone()).is_err()) {
        return Err(unusable("one of its certificates is damaged"));
    }
    match found.is_empty() {
        true => Err(unusable("it holds no certificate")),
        false => Ok(found.iter().map(|der| Sha256::of(der).to_string()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_a_private_key_goes_to_nobody() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["a".to_owned()]).unwrap().self_signed(&key).unwrap();
        assert_eq!(fingerprints(certificate.pem().as_bytes()).unwrap().len(), 1);
        let both = format!("{}{}", certificate.pem(), key.serialize_pem());
        let refused = fingerprints(both.as_bytes()).unwrap_err();
        assert!(refused.to_string().contains("something else than certificates"), "{refused}");
    }
}
