//! Certificates: one authority for devices, an unrelated one for this server.
//!
//! The server reads nothing from a certificate signing request but the public key, after the
//! request has proved that the sender holds its private half. The certificate is a ticket; the
//! authority is the row that pins the key.

use std::{net::IpAddr, time::Duration};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType, SerialNumber, SubjectPublicKeyInfo, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use slipway_trust::Sha256;
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer as _};

mod authority;
mod generations;

use self::{authority::Authority, generations::ServerCa};
pub use self::{
    authority::{AuthorityPem, Below},
    generations::{
        AnchorsError, GENERATIONS, Generations, generation_name, generation_title, is_signed_by,
        read_anchors, split_pem, starts,
    },
};
use crate::{
    limits,
    model::{id, time::Timestamp},
    proof::Challenger,
};

/// Name of the devices' authority: of its files, and on record.
pub const DEVICE_CA: &str = "device-ca";
/// Name of the authority of this server's own certificate.
pub const SERVER_CA: &str = "server-ca";

/// This server's own certificate is made anew at each start, and this is longer than any uptime.
const SERVER_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How far certificates are dated back, for clocks that are behind.
pub const BACK_DATED: Duration = Duration::from_secs(24 * 3600);

/// Both authorities.
pub struct Pki {
    devices: Authority,
    server: ServerCa,
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
    /// Leaf, then the cross certificates from the newest generation of the authority down to the first.
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
    /// The certificate would hold at no time.
    #[error("a certificate from {} to {} holds at no time; the clock that it was to be made by is wrong", date(*starts), date(*ends))]
    Life {
        /// Its begin.
        starts: Timestamp,
        /// Its end, or the time at which it was to be made.
        ends: Timestamp,
    },
    /// Making or reading keys and certificates failed.
    #[error("certificates")]
    Certificate(#[from] rcgen::Error),
}

/// Why clients would turn away from this server.
#[derive(Debug, thiserror::Error)]
#[error("no device and no command line would believe this server now, at {}{}", date(*now), self.reason())]
pub struct Disbelief {
    now: Timestamp,
    /// The certificate that does not hold now: the name of its file, its begin and its end.
    culprit: Option<(String, Timestamp, Timestamp)>,
}

impl Disbelief {
    fn reason(&self) -> String {
        self.culprit.as_ref().map_or_else(String::new, |(file, starts, ends)| {
            format!(": {file} holds from {} to {}", date(*starts), date(*ends))
        })
    }
}

impl Pki {
    /// From the stored texts.
    pub fn new(devices: &AuthorityPem, server: &Generations) -> Result<Self, PkiError> {
        Ok(Pki {
            devices: Authority::new(devices)?,
            server: ServerCa::new(server)?,
            // Whoever can issue certificates needs no challenge, and every replica has this key.
            challenger: Challenger::new(&KeyPair::from_pem(&devices.key)?.serialize_der()),
        })
    }

    /// Two new authorities that are stored nowhere, for tests.
    pub fn in_memory(now: Timestamp) -> Result<Self, PkiError> {
        Self::new(&AuthorityPem::generate("Slipway device CA", now)?, &Generations::generate(now)?)
    }

    /// The id of each authority's key that is in use, by the name of its file.
    pub fn ids(&self) -> Vec<(String, Sha256)> {
        let mut ids = vec![(DEVICE_CA.to_owned(), self.devices.id)];
        ids.extend(self.server.in_use.iter().cloned());
        ids
    }

    /// The names of this server in what devices sign: the ids of the keys that clients pinned or pin, of
    /// all generations, newest first.
    pub fn server_ids(&self) -> &[Sha256] {
        &self.server.ids
    }

    /// Gives out challenges.
    pub fn challenger(&self) -> &Challenger {
        &self.challenger
    }

    /// PEM of the generations of this server's authority that are in use; what clients pin.
    pub fn server_ca_pem(&self) -> &str {
        &self.server.pem
    }

    /// Whether a client that pinned `anchors` would believe this server at `now`.
    pub fn is_believed_by(
        &self,
        anchors: &[CertificateDer<'static>],
        now: Timestamp,
    ) -> Result<bool, PkiError> {
        const NAME: &str = "localhost";
        // Its own certificate is made at each start, by the same authority and with the same company.
        let alike = self.issue_server(&[NAME.to_owned()], [1; 16], now)?;
        Ok(generations::is_believed(&alike, NAME, anchors, now))
    }

    /// Fails when no client would believe this server at `now`, whichever of the certificates it pinned that
    /// this server hands out: another one's clock is no better, and a restart changes nothing.
    pub fn check_believed(&self, now: Timestamp) -> Result<(), Disbelief> {
        let is_good = |pem: &String| {
            read_anchors(pem.as_bytes())
                .is_ok_and(|anchors| self.is_believed_by(&anchors, now).is_ok_and(|is_believed| is_believed))
        };
        let pinned = split_pem(self.server_ca_pem()).unwrap_or_default();
        if pinned.iter().any(|(_, pem)| is_good(pem)) {
            return Ok(());
        }
        Err(Disbelief { now, culprit: self.server.out_of_date(now) })
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
        params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(self.server.newest.starts.min(now));
        // Not beyond its company: a device that ignores dates judges all of it at the end of this one.
        params.not_after =
            date_time_ymd(1970, 1, 1) + since_epoch(now.after(SERVER_LIFE).min(self.server.ends));
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
        let certificate = params.signed_by(&pair, &self.server.newest.issuer)?;
        let chain = [certificate.der().clone()].into_iter().chain(self.server.cross.iter().cloned());
        Ok(ServerIdentity {
            chain: chain.collect(),
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
    let Some(spki) = device_key(info.subject_pki.raw) else {
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

/// SHA-256 of a public key (SubjectPublicKeyInfo, DER), if a device can have it.
pub fn read_public_key(der: &[u8]) -> Result<Sha256, PkiError> {
    let other = || PkiError::WrongKey("of another kind, or no SubjectPublicKeyInfo in DER".to_owned());
    let key = device_key(der).ok_or_else(other)?;
    if !is_point(&key) {
        return Err(PkiError::WrongKey("no point of its curve, so no key at all".to_owned()));
    }
    Ok(Sha256::of(der))
}

/// Whether somebody can have the private half of `key`. A signature would show it too, but whoever registers a
/// key has none.
fn is_point(key: &SubjectPublicKeyInfo) -> bool {
    use rcgen::PublicKeyData as _;
    if key.algorithm() == &rcgen::PKCS_ED25519 {
        return key.der_bytes().len() == 32;
    }
    // Half of a key agreement checks the point of the other side; what would be agreed on is thrown away.
    let exchange = rustls::crypto::ring::kx_group::SECP256R1.start();
    exchange.is_ok_and(|exchange| exchange.complete(key.der_bytes()).is_ok())
}

/// A key of a kind that certificates are issued for.
fn device_key(der: &[u8]) -> Option<SubjectPublicKeyInfo> {
    use rcgen::PublicKeyData as _;
    let key = SubjectPublicKeyInfo::from_der(der).ok()?;
    [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519].contains(&key.algorithm()).then_some(key)
}

/// SHA-256 of the public key in a certificate.
pub fn spki_sha256(certificate: &CertificateDer<'_>) -> Option<Sha256> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(Sha256::of(parsed.tbs_certificate.subject_pki.raw))
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

/// For people.
fn date(at: Timestamp) -> slipway_trust::Date {
    slipway_trust::Date::from_millis(at.millis())
}

/// `at` as a distance from 1970; rcgen does not name its date type.
fn since_epoch(at: Timestamp) -> Duration {
    Duration::from_secs(at.seconds().max(0).unsigned_abs())
}

#[cfg(test)]
#[path = "pki_tests.rs"]
mod tests;
