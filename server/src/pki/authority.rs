//! One authority: a key, and the certificate that clients pin.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use slipway_trust::Sha256;

use super::{BACK_DATED, PkiError, common_name, since_epoch, spki_sha256};
use crate::model::time::Timestamp;

/// An authority's life: as long as the machines it is built into.
const LIFE: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Whom an authority vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// Leaves alone.
    Leaves,
    /// Leaves, and the authorities that follow it.
    Authorities,
}

/// PEM texts of one authority: its key and its certificate.
#[derive(Clone)]
pub struct AuthorityPem {
    /// PKCS#8.
    pub key: String,
    /// X.509.
    pub certificate: String,
}

impl AuthorityPem {
    /// A new authority for the purpose in `name`, for example "Slipway device CA".
    pub fn generate(name: &str, now: Timestamp) -> Result<Self, PkiError> {
        Self::from_key(Self::new_key()?, name, Below::Leaves, now.before(BACK_DATED), now)
    }

    /// A new key, PKCS#8 in PEM.
    pub fn new_key() -> Result<String, PkiError> {
        Ok(KeyPair::generate()?.serialize_pem())
    }

    /// The certificate for a key that is there already, valid from `starts` on. Refused when it would end
    /// before that.
    pub fn from_key(
        key: String,
        name: &str,
        below: Below,
        starts: Timestamp,
        now: Timestamp,
    ) -> Result<Self, PkiError> {
        let pair = KeyPair::from_pem(&key)?;
        let certificate = params(name, below, starts, now)?.self_signed(&pair)?.pem();
        Ok(AuthorityPem { key, certificate })
    }

    /// A certificate of another authority's `key` and `name`, by this one: whoever pinned this one follows
    /// it to the other. It begins when this one does, for devices whose clock stands where it began. Refused
    /// when `now` is before that: a clock that is so wrong would end it before its time.
    pub fn cross_sign(&self, key: &str, name: &str, now: Timestamp) -> Result<String, PkiError> {
        let issuer = Authority::new(self)?;
        if now < issuer.starts {
            return Err(PkiError::Life { starts: issuer.starts, ends: now });
        }
        let mut params = params(name, Below::Authorities, issuer.starts, now)?;
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(&KeyPair::from_pem(key)?, &issuer.issuer)?.pem())
    }

    /// SHA-256 of the public half of `key`, as DER: the id of an authority.
    pub fn key_id(key: &str) -> Result<Sha256, PkiError> {
        use rcgen::PublicKeyData as _;
        Ok(Sha256::of(&KeyPair::from_pem(key)?.subject_public_key_info()))
    }

    /// The same of the key that `certificate` is for.
    pub fn certificate_id(certificate: &str) -> Result<Sha256, PkiError> {
        spki_sha256(&parse(certificate)?).ok_or_else(unreadable)
    }
}

/// An authority that is ready to sign.
pub(super) struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    /// SHA-256 of its public key as DER.
    pub(super) id: Sha256,
    pub(super) starts: Timestamp,
    pub(super) der: CertificateDer<'static>,
}

impl Authority {
    pub(super) fn new(pem: &AuthorityPem) -> Result<Self, PkiError> {
        let der = parse(&pem.certificate)?;
        let issuer = Issuer::from_ca_cert_der(&der, KeyPair::from_pem(&pem.key)?)?;
        let id = spki_sha256(&der).ok_or_else(unreadable)?;
        Ok(Authority { issuer, id, starts: life(&der)?.0, der })
    }
}

pub(super) fn parse(pem: &str) -> Result<CertificateDer<'static>, PkiError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| unreadable())
}

/// From when to when a certificate holds.
pub(super) fn life(der: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), PkiError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(der).map_err(|_| unreadable())?;
    let at = |time: x509_parser::time::ASN1Time| Timestamp::from_seconds(time.timestamp());
    Ok((at(parsed.validity().not_before), at(parsed.validity().not_after)))
}

pub(super) fn unreadable() -> PkiError {
    PkiError::Certificate(rcgen::Error::CouldNotParseCertificate)
}

fn params(
    name: &str,
    below: Below,
    starts: Timestamp,
    now: Timestamp,
) -> Result<CertificateParams, PkiError> {
    let ends = now.after(LIFE);
    if ends <= starts {
        return Err(PkiError::Life { starts, ends });
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(starts);
    params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(ends);
    params.is_ca = IsCa::Ca(match below {
        Below::Leaves => BasicConstraints::Constrained(0),
        Below::Authorities => BasicConstraints::Unconstrained,
    });
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    Ok(params)
}
