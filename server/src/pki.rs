//! Certificates: one authority for devices, an unrelated one for this server.
//!
//! The server reads nothing from a certificate signing request but the public key, after the
//! request has proved that the sender holds its private half. The certificate is a ticket; the
//! authority is the row that pins the key.

use std::{net::IpAddr, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber, SubjectPublicKeyInfo, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use slipway_trust::Sha256;
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer as _};

use crate::{
    limits,
    model::{id, time::Timestamp},
    proof::Challenger,
};

/// Name of the devices' authority: of its files, and on record.
pub const DEVICE_CA: &str = "device-ca";
/// Name of the authority of this server's own certificate.
pub const SERVER_CA: &str = "server-ca";

/// An authority's life: as long as the machines it is built into.
const AUTHORITY_LIFE: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
/// This server's own certificate is made anew at each start, and this is longer than any uptime.
const SERVER_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How far certificates are dated back, for clocks that are behind.
const BACK_DATED: Duration = Duration::from_secs(24 * 3600);

/// Both authorities.
pub struct Pki {
    devices: Authority,
    server: Authority,
    challenger: Challenger,
}

/// A certificate that was issued to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// DER: the device's certificate, then the authority's.
    pub chain: Vec<Vec<u8>>,
    /// Serial, hex.
    pub serial: String,
    /// When it ends, to the second.
    pub not_after: Timestamp,
}

/// This server's own certificate and key.
#[derive(Debug)]
pub struct ServerIdentity {
    /// Leaf, then the authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key; it lives in memory only.
    pub key: PrivateKeyDer<'static>,
}

/// The key that a signing request proved to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedKey {
    /// The common name that was asked for.
    pub common_name: String,
    /// SHA-256 of the public key as DER.
    pub spki_sha256: Sha256,
    spki: SubjectPublicKeyInfo,
}

impl RequestedKey {
    /// The public key, SubjectPublicKeyInfo in DER.
    pub fn spki_der(&self) -> Vec<u8> {
        use rcgen::PublicKeyData as _;
        self.spki.subject_public_key_info()
    }
}

/// What is wrong with a signing request, or with a stored authority.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The request is not one.
    #[error("it is not a PKCS#10 request in DER")]
    NotARequest,
    /// The request does not prove that the sender holds the key.
    #[error("its signature does not fit the key it carries")]
    NotSigned,
    /// The key is of a kind that is not issued for.
    #[error("its key is {0}; only P-256 and Ed25519 are accepted")]
    WrongKey(String),
    /// The request names nobody.
    #[error("it has no common name")]
    Nameless,
    /// Making or reading keys and certificates failed.
    #[error("certificates")]
    Certificate(#[from] rcgen::Error),
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// SHA-256 of its public key as DER.
    id: Sha256,
    starts: Timestamp,
    der: CertificateDer<'static>,
    pem: String,
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
        Self::from_key(KeyPair::generate()?.serialize_pem(), name, now)
    }

    /// The certificate for a key that is there already.
    pub fn from_key(key: String, name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let pair = KeyPair::from_pem(&key)?;
        let certificate = authority_params(name, now).self_signed(&pair)?.pem();
        Ok(AuthorityPem { key, certificate })
    }

    /// SHA-256 of the public half of `key`, as DER: the id of an authority.
    pub fn key_id(key: &str) -> Result<Sha256, PkiError> {
        use rcgen::PublicKeyData as _;
        Ok(Sha256::of(&KeyPair::from_pem(key)?.subject_public_key_info()))
    }

    /// The same of the key that `certificate` is for.
    pub fn certificate_id(certificate: &str) -> Result<Sha256, PkiError> {
        spki_sha256(&parse_certificate(certificate)?)
            .ok_or(PkiError::Certificate(rcgen::Error::CouldNotParseCertificate))
    }
}

impl Pki {
    /// From the stored texts.
    pub fn new(devices: &AuthorityPem, server: &AuthorityPem) -> Result<Self, PkiError> {
        Ok(Pki {
            devices: Authority::new(devices)?,
            server: Authority::new(server)?,
            // Whoever can issue certificates needs no challenge, and every replica has this key.
            challenger: Challenger::new(&KeyPair::from_pem(&devices.key)?.serialize_der()),
        })
    }

    /// Two new authorities that are stored nowhere, for tests.
    pub fn in_memory(now: Timestamp) -> Result<Self, PkiError> {
        Self::new(
            &AuthorityPem::generate("Slipway device CA", now)?,
            &AuthorityPem::generate("Slipway server CA", now)?,
        )
    }

    /// The id of each authority's key, by the name of its file.
    pub fn ids(&self) -> [(&'static str, Sha256); 2] {
        [(DEVICE_CA, self.devices.id), (SERVER_CA, self.server.id)]
    }

    /// The name of this server in what devices sign: the id of the key that clients pin.
    pub fn server_id(&self) -> Sha256 {
        self.server.id
    }

    /// Gives out challenges.
    pub fn challenger(&self) -> &Challenger {
        &self.challenger
    }

    /// PEM of the authority that signed this server's certificate; what clients pin.
    pub fn server_ca_pem(&self) -> &str {
        &self.server.pem
    }

    /// The authority that device certificates are checked against.
    pub fn device_ca(&self) -> &CertificateDer<'static> {
        &self.devices.der
    }

    /// Issues a certificate to a device: common name and SPIFFE URI are its id.
    pub fn issue_device(
        &self,
        device_id: &str,
        key: &RequestedKey,
        serial: [u8; 16],
        now: Timestamp,
    ) -> Result<Issued, PkiError> {
        let not_after = Timestamp::from_seconds(now.after(limits::DEVICE_CERTIFICATE).seconds());
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(device_id);
        params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(now.before(BACK_DATED));
        params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(not_after);
        params.serial_number = Some(positive(serial));
        params.subject_alt_names =
            vec![SanType::URI(format!("spiffe://slipway/device/{device_id}").try_into()?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key.spki, &self.devices.issuer)?;
        Ok(Issued {
            chain: vec![certificate.der().to_vec(), self.devices.der.to_vec()],
            serial: id::hex(&positive(serial).to_bytes()),
            not_after,
        })
    }

    /// A new certificate for this server, valid for `names` (host names and addresses).
    pub fn issue_server(
        &self,
        names: &[String],
        serial: [u8; 16],
        now: Timestamp,
    ) -> Result<ServerIdentity, PkiError> {
        let pair = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("slipwayd");
        // As old as the authority, for devices whose clock shows the day on which they were made.
        params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(self.server.starts.min(now));
        params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(now.after(SERVER_LIFE));
        params.serial_number = Some(positive(serial));
        params.subject_alt_names = names
            .iter()
            .map(|name| {
                Ok(match name.parse::<IpAddr>() {
                    Ok(address) => SanType::IpAddress(address),
                    Err(_) => SanType::DnsName(name.as_str().try_into()?),
                })
            })
            .collect::<Result<_, rcgen::Error>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&pair, &self.server.issuer)?;
        Ok(ServerIdentity {
            chain: vec![certificate.der().clone(), self.server.der.clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der())),
        })
    }
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pki")
    }
}

/// Reads a signing request and checks that its sender holds the key. Extensions that it asks for
/// are not looked at.
pub fn read_request(der: &[u8]) -> Result<RequestedKey, PkiError> {
    let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| PkiError::NotARequest)?;
    if !rest.is_empty() {
        return Err(PkiError::NotARequest);
    }
    let info = &request.certification_request_info;
    let spki = SubjectPublicKeyInfo::from_der(info.subject_pki.raw).ok().filter(|spki| {
        use rcgen::PublicKeyData as _;
        spki.algorithm() == &rcgen::PKCS_ECDSA_P256_SHA256 || spki.algorithm() == &rcgen::PKCS_ED25519
    });
    let Some(spki) = spki else {
        return Err(PkiError::WrongKey(info.subject_pki.algorithm.algorithm.to_id_string()));
    };
    request.verify_signature().map_err(|_| PkiError::NotSigned)?;
    let mut names = info.subject.iter_common_name();
    let name = names.next().and_then(|name| name.as_str().ok()).ok_or(PkiError::Nameless)?;
    if names.next().is_some() {
        return Err(PkiError::Nameless);
    }
    Ok(RequestedKey { common_name: name.to_owned(), spki_sha256: Sha256::of(info.subject_pki.raw), spki })
}

/// SHA-256 of the public key in a certificate.
pub fn spki_sha256(certificate: &CertificateDer<'_>) -> Option<Sha256> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(Sha256::of(parsed.tbs_certificate.subject_pki.raw))
}

impl Authority {
    fn new(pem: &AuthorityPem) -> Result<Self, PkiError> {
        let der = parse_certificate(&pem.certificate)?;
        let issuer = Issuer::from_ca_cert_der(&der, KeyPair::from_pem(&pem.key)?)?;
        let unreadable = PkiError::Certificate(rcgen::Error::CouldNotParseCertificate);
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| unreadable)?;
        let id = Sha256::of(parsed.tbs_certificate.subject_pki.raw);
        let starts = Timestamp::from_seconds(parsed.validity().not_before.timestamp());
        Ok(Authority { issuer, id, starts, der, pem: pem.certificate.clone() })
    }
}

fn parse_certificate(pem: &str) -> Result<CertificateDer<'static>, PkiError> {
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| PkiError::Certificate(rcgen::Error::CouldNotParseCertificate))
}

fn authority_params(name: &str, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(now.before(BACK_DATED));
    params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(now.after(AUTHORITY_LIFE));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut out = DistinguishedName::new();
    out.push(DnType::CommonName, name);
    out
}

/// A serial of 127 random bits: positive, as X.509 demands, and of a fixed length.
fn positive(mut bytes: [u8; 16]) -> SerialNumber {
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    SerialNumber::from_slice(&bytes)
}

/// `at` as a distance from 1970; rcgen does not name its date type.
fn since_epoch(at: Timestamp) -> Duration {
    Duration::from_secs(at.seconds().max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);

    fn request(pair: &KeyPair, name: &str) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name);
        // What a device asks for beside its key has no effect.
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.subject_alt_names = vec![SanType::DnsName("admin.example".try_into().unwrap())];
        params.serialize_request(pair).unwrap().der().to_vec()
    }

    #[test]
    fn only_the_key_of_a_request_counts() {
        let pki = Pki::in_memory(NOW).unwrap();
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let key = read_request(&request(&pair, "pump-1")).unwrap();
            assert_eq!(key.common_name, "pump-1");
            let issued = pki.issue_device("pump-1", &key, [0xff; 16], NOW).unwrap();
            let leaf = CertificateDer::from(issued.chain[0].clone());
            assert_eq!(spki_sha256(&leaf), Some(key.spki_sha256));
            let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
            assert!(!parsed.is_ca());
            let names = parsed.subject_alternative_name().unwrap().unwrap();
            assert_eq!(names.value.general_names.len(), 1);
            assert_eq!(parsed.validity().not_after.timestamp(), issued.not_after.seconds());
        }
    }

    #[test]
    fn requests_that_are_refused() {
        let pair = KeyPair::generate().unwrap();
        let good = request(&pair, "pump-1");
        assert!(matches!(read_request(b"hello"), Err(PkiError::NotARequest)));
        assert!(matches!(read_request(&[good.as_slice(), b"x"].concat()), Err(PkiError::NotARequest)));
        let mut forged = good.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert!(matches!(read_request(&forged), Err(PkiError::NotSigned)));
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        assert!(matches!(read_request(&request(&p384, "pump-1")), Err(PkiError::WrongKey(_))));
        let mut nameless = CertificateParams::default();
        nameless.distinguished_name = DistinguishedName::new();
        let nameless = nameless.serialize_request(&pair).unwrap();
        assert!(matches!(read_request(nameless.der()), Err(PkiError::Nameless)));
    }

    #[test]
    fn a_stored_authority_issues_as_before() {
        let text = AuthorityPem::generate("Slipway device CA", NOW).unwrap();
        let again = AuthorityPem::from_key(text.key.clone(), "Slipway device CA", NOW).unwrap();
        let server = AuthorityPem::generate("Slipway server CA", NOW).unwrap();
        let pki = Pki::new(&again, &server).unwrap();
        let identity = pki.issue_server(&["localhost".to_owned(), "::1".to_owned()], [1; 16], NOW).unwrap();
        assert_eq!(identity.chain.len(), 2);
        assert_eq!(pki.server_ca_pem(), server.certificate);
    }
}
