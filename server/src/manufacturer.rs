//! Manufacturers' certificates (IDevID): read, and verified up to an authority of the fleet.

use std::{sync::Arc, time::Duration};

use rustls::{
    CertificateError, RootCertStore,
    pki_types::{CertificateDer, UnixTime},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::{
    certificate::X509Certificate, oid_registry::OID_X509_COMMON_NAME, oid_registry::OID_X509_SERIALNUMBER,
    prelude::FromDer as _,
};

use crate::{
    limits,
    model::{id, time::Timestamp},
};

/// What is wrong with a manufacturer's certificate or authority.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ManufacturerError {
    /// The bytes are none.
    #[error("it is not an X.509 certificate in DER")]
    NotACertificate,
    /// There are too many, or too large ones.
    #[error("it is not 1 to {} certificates of at most {} bytes", limits::CHAIN, limits::CERTIFICATE)]
    TooLarge,
    /// The certificate of an authority may not issue others.
    #[error("its basic constraints or its key usage do not allow it to issue certificates")]
    NotAnAuthority,
    /// Out of its dates.
    #[error("it is not valid at this time")]
    Dates,
    /// The subject names no device.
    #[error("neither the serial number nor the common name in its subject can be the id of a device")]
    Nameless,
    /// It was not issued by the authority.
    #[error("it was not issued by this authority")]
    OtherIssuer,
    /// It was, and is not good.
    #[error("{0}")]
    Chain(String),
}

/// What there is to say of an authority's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its subject.
    pub subject: String,
    /// When it ends.
    pub not_after: Timestamp,
}

/// What an authority's certificate says; refused when it could not issue a certificate at `now`.
pub fn check_authority(der: &[u8], now: Timestamp) -> Result<Described, ManufacturerError> {
    let certificate = parse(der)?;
    let may_issue = certificate.is_ca()
        && certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
    if !may_issue {
        return Err(ManufacturerError::NotAnAuthority);
    }
    check_dates(&certificate, now)?;
    // What the verifier makes of it shows now, not with the first machine.
    verifier(der)?;
    Ok(described(&certificate))
}

/// What the certificate of an authority says, whether it can be used or not.
pub fn describe(der: &[u8]) -> Option<Described> {
    parse(der).ok().map(|certificate| described(&certificate))
}

/// The id of the device that a certificate is for: the serial number in its subject, else the common
/// name, in small letters, if that can be the id of a device.
pub fn device_id(der: &[u8]) -> Result<String, ManufacturerError> {
    let certificate = parse(der)?;
    for oid in [&OID_X509_SERIALNUMBER, &OID_X509_COMMON_NAME] {
        let mut values = certificate.subject().iter_by_oid(oid);
        // Two of a kind name nobody.
        if let (Some(value), None) = (values.next(), values.next())
            && let Ok(text) = value.as_str()
            && let text = text.to_ascii_lowercase()
            && id::is_device_id(&text)
        {
            return Ok(text);
        }
    }
    Err(ManufacturerError::Nameless)
}

/// The public key of a certificate, SubjectPublicKeyInfo in DER.
pub fn public_key(der: &[u8]) -> Result<Vec<u8>, ManufacturerError> {
    Ok(parse(der)?.tbs_certificate.subject_pki.raw.to_vec())
}

/// Whether the sizes are such that the chain is looked at.
pub fn check_size(chain: &[Vec<u8>]) -> Result<(), ManufacturerError> {
    let fits = (1..=limits::CHAIN).contains(&chain.len())
        && chain.iter().all(|der| der.len() <= limits::CERTIFICATE);
    if fits { Ok(()) } else { Err(ManufacturerError::TooLarge) }
}

/// Verifies that `chain`, the machine's certificate first, leads to `authority`: signatures, dates, who
/// may issue, and what for.
pub fn check_chain(chain: &[Vec<u8>], authority: &[u8], now: Timestamp) -> Result<(), ManufacturerError> {
    let (leaf, rest) = chain.split_first().ok_or(ManufacturerError::TooLarge)?;
    // The verifier takes an anchor as given, whatever its dates.
    check_dates(&parse(authority)?, now)?;
    let leaf = CertificateDer::from(leaf.as_slice());
    let rest: Vec<_> = rest.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(now.seconds().max(0).unsigned_abs()));
    let verified = verifier(authority)?.verify_client_cert(&leaf, &rest, at);
    verified.map(drop).map_err(|error| match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => ManufacturerError::OtherIssuer,
        other => ManufacturerError::Chain(other.to_string()),
    })
}

fn verifier(authority: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, ManufacturerError> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority)).map_err(|_| ManufacturerError::NotACertificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| ManufacturerError::Chain(error.to_string()))
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, ManufacturerError> {
    if der.len() > limits::CERTIFICATE {
        return Err(ManufacturerError::TooLarge);
    }
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(ManufacturerError::NotACertificate),
    }
}

fn check_dates(certificate: &X509Certificate<'_>, now: Timestamp) -> Result<(), ManufacturerError> {
    let validity = certificate.validity();
    let holds = (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now.seconds());
    if holds { Ok(()) } else { Err(ManufacturerError::Dates) }
}

fn described(certificate: &X509Certificate<'_>) -> Described {
    Described {
        subject: certificate.subject().to_string(),
        not_after: Timestamp::from_seconds(certificate.validity().not_after.timestamp()),
    }
}

#[cfg(test)]
#[path = "manufacturer_tests.rs"]
mod tests;
