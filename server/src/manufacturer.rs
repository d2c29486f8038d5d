//! Manufacturers' certificates (IDevID): read, and verified up to an authority of the fleet.

use std::{sync::Arc, time::Duration};

use rustls::{
    CertificateError, RootCertStore,
    pki_types::{CertificateDer, UnixTime},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::{
    certificate::X509Certificate,
    oid_registry::{OID_SIG_ED25519, OID_X509_COMMON_NAME, OID_X509_SERIALNUMBER},
    prelude::FromDer as _,
    public_key::PublicKey,
    x509::X509Version,
};

use crate::{
    limits,
    model::{id, time::Timestamp},
};

mod path;

pub use self::path::Path;

/// What is wrong with a manufacturer's certificate or authority.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ManufacturerError {
    /// The bytes are none.
    #[error("it is not an X.509 certificate in DER")]
    NotACertificate,
    /// Of a version of X.509 that has no extensions, so that nobody knows what it is for.
    #[error(
        "it is an X.509 certificate of version {0}, and one of version 3 is needed; a tool that makes version \
         {0} was given no extensions to put into it"
    )]
    OldVersion(u32),
    /// There are too many, or too large ones.
    #[error("it is not 1 to {} certificates of at most {} bytes", limits::CHAIN, limits::CERTIFICATE)]
    TooLarge,
    /// The certificate of an authority may not issue others.
    #[error("its basic constraints or its key usage do not allow it to issue certificates")]
    NotAnAuthority,
    /// A way up that forks.
    #[error(
        "two certificates of its chain have the same subject; give the machine's and, above it, only those that \
         lead to the authority"
    )]
    SameSubject,
    /// An authority with a key of another kind than is verified.
    #[error("its key is {0}, and P-256, P-384, Ed25519 or RSA of 2,048 to 8,192 bits is needed")]
    Key(String),
    /// Out of its dates.
    #[error("it is not valid at this time")]
    Dates,
    /// The subject names no device.
    #[error("neither the serial number nor the common name in its subject can be the id of a device")]
    Nameless,
    /// It was not issued by the authority.
    #[error("it was not issued by this authority")]
    OtherIssuer,
    /// An authority's certificate stands where that of a machine belongs.
    #[error("it is the certificate of an authority, not of a machine; the machine's has to come first")]
    NotAMachine,
    /// What leads up to the authority is of no use.
    #[error("certificate {place} of the file leads nowhere: {error}")]
    Above {
        /// Which of the chain, from 1.
        place: usize,
        /// What is wrong with it.
        #[source]
        error: Box<ManufacturerError>,
    },
    /// It was issued by the authority, and is not good.
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
    check_issuer(&certificate, now)?;
    // What the verifier makes of it shows now, not with the first machine.
    verifier(der)?;
    check_key(&certificate)?;
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
    if !Path::of(chain)?.may_lead_to(authority) {
        return Err(plain_flaw(chain, now).err().unwrap_or(ManufacturerError::OtherIssuer));
    }
    let (leaf, rest) = chain.split_first().ok_or(ManufacturerError::TooLarge)?;
    // The verifier takes an anchor as given, whatever its dates.
    check_dates(&parse(authority)?, now)?;
    let machine = CertificateDer::from(leaf.as_slice());
    let above: Vec<_> = rest.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(now.seconds().max(0).unsigned_abs()));
    let verified = verifier(authority)?.verify_client_cert(&machine, &above, at);
    verified.map(drop).map_err(|error| plain_flaw(chain, now).err().unwrap_or_else(|| in_words(&error)))
}

/// What is wrong with a chain that leads nowhere, where one certificate alone shows it: the verifier's word may
/// be that nobody is known who issued it.
pub fn plain_flaw(chain: &[Vec<u8>], now: Timestamp) -> Result<(), ManufacturerError> {
    let (leaf, rest) = chain.split_first().ok_or(ManufacturerError::TooLarge)?;
    let machine = parse(leaf)?;
    if machine.is_ca() {
        return Err(ManufacturerError::NotAMachine);
    }
    check_dates(&machine, now)?;
    for (place, der) in (2..).zip(rest) {
        let above = parse(der).and_then(|certificate| check_issuer(&certificate, now));
        above.map_err(|error| ManufacturerError::Above { place, error: Box::new(error) })?;
    }
    Ok(())
}

/// What the verifier found, for people.
fn in_words(error: &rustls::Error) -> ManufacturerError {
    use CertificateError as Found;
    let rustls::Error::InvalidCertificate(found) = error else {
        return ManufacturerError::Chain(error.to_string());
    };
    let words = match found {
        Found::UnknownIssuer => return ManufacturerError::OtherIssuer,
        Found::BadSignature => "a signature between it and the authority is not good",
        Found::UnsupportedSignatureAlgorithmContext { .. }
        | Found::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it, or one above it, is signed in a way that is not taken: P-256, P-384, Ed25519 and RSA from \
             2,048 bits are"
        }
        Found::InvalidPurpose | Found::InvalidPurposeContext { .. } => {
            "its extended key usage does not let it prove who a client is (clientAuth)"
        }
        Found::BadEncoding => "it, or one above it, is not written as X.509 has it",
        other => return ManufacturerError::Chain(format!("it does not keep to the rules of X.509: {other}")),
    };
    ManufacturerError::Chain(words.to_owned())
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
        Ok(([], certificate)) if certificate.version() == X509Version::V3 => Ok(certificate),
        Ok(([], certificate)) => {
            Err(ManufacturerError::OldVersion(certificate.version().0.saturating_add(1)))
        }
        _ => Err(ManufacturerError::NotACertificate),
    }
}

fn check_issuer(certificate: &X509Certificate<'_>, now: Timestamp) -> Result<(), ManufacturerError> {
    let may_issue = certificate.is_ca()
        && certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
    if !may_issue {
        return Err(ManufacturerError::NotAnAuthority);
    }
    check_dates(certificate, now)
}

/// Whether signatures by the key of an authority can be verified at all.
fn check_key(certificate: &X509Certificate<'_>) -> Result<(), ManufacturerError> {
    let key = certificate.public_key();
    let algorithm = &key.algorithm;
    let kind = match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if (2_048..=8_192).contains(&rsa.key_size()) => return Ok(()),
        Ok(PublicKey::RSA(rsa)) => format!("RSA of {} bits", rsa.key_size()),
        Ok(PublicKey::EC(_)) => {
            let curve = algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
            match curve.map(|curve| curve.to_id_string()).as_deref() {
                Some("1.2.840.10045.3.1.7" | "1.3.132.0.34") => return Ok(()),
                Some("1.3.132.0.35") => "P-521".to_owned(),
                other => format!("of the curve {}", other.unwrap_or("without a name")),
            }
        }
        _ if algorithm.algorithm == OID_SIG_ED25519 => return Ok(()),
        _ => format!("of the kind {}", algorithm.algorithm.to_id_string()),
    };
    Err(ManufacturerError::Key(kind))
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
