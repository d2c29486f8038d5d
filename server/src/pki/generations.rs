//! The authority of this server's own certificate, in generations.
//!
//! Each generation has a key and a name of its own, and signs a *cross certificate* for the one that follows:
//! that one's key and name, vouched for by this one. The server's leaf is signed by the newest generation and
//! goes out with all cross certificates, so a device that pinned any generation can follow, without having
//! heard of the others.

use std::{sync::Arc, time::Duration};

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{
        CertificateDer, ServerName, UnixTime,
        pem::{PemObject as _, SectionKind},
    },
};
use slipway_trust::{Sha256, limits};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    PkiError, SERVER_CA, ServerIdentity,
    authority::{Authority, AuthorityPem, Below, life, parse, unreadable},
};
use crate::model::time::Timestamp;

/// The last generation that there can be: whoever pinned the first follows six cross certificates to it, and
/// TLS libraries do not follow more.
pub const GENERATIONS: u32 = 7;

/// What is stored of the authority.
#[derive(Clone)]
pub struct Generations {
    /// The one that signs.
    pub newest: AuthorityPem,
    /// The cross certificate of each generation but the first, newest first, PEM.
    pub cross: Vec<String>,
    /// The certificates that clients may pin, newest first, PEM.
    pub pinned: Vec<String>,
    /// The names and the ids of the keys that are in use.
    pub in_use: Vec<(String, Sha256)>,
    /// The id of every generation's key, those that are out of use too, newest first.
    pub ids: Vec<Sha256>,
}

/// Name of a generation's files and of its record.
pub fn generation_name(number: u32) -> String {
    if number == 1 { SERVER_CA.to_owned() } else { format!("{SERVER_CA}-{number}") }
}

/// What stands in a generation's certificate.
pub fn generation_title(number: u32) -> String {
    if number == 1 { "Slipway server CA".to_owned() } else { format!("Slipway server CA {number}") }
}

impl Generations {
    /// A first generation.
    pub fn generate(now: Timestamp) -> Result<Self, PkiError> {
        let starts = now.before(super::BACK_DATED);
        let title = generation_title(1);
        let first =
            AuthorityPem::from_key(AuthorityPem::new_key()?, &title, Below::Authorities, starts, now)?;
        Self::first(first)
    }

    /// One that has no successor.
    pub fn first(newest: AuthorityPem) -> Result<Self, PkiError> {
        let id = AuthorityPem::certificate_id(&newest.certificate)?;
        Ok(Generations {
            pinned: vec![newest.certificate.clone()],
            newest,
            cross: Vec::new(),
            in_use: vec![(generation_name(1), id)],
            ids: vec![id],
        })
    }
}

/// Whether `certificate` was signed by the key of `issuer`; both PEM.
pub fn is_signed_by(certificate: &str, issuer: &str) -> Result<bool, PkiError> {
    let (certificate, issuer) = (parse(certificate)?, parse(issuer)?);
    let (_, certificate) = X509Certificate::from_der(&certificate).map_err(|_| unreadable())?;
    let (_, issuer) = X509Certificate::from_der(&issuer).map_err(|_| unreadable())?;
    Ok(certificate.issuer() == issuer.subject()
        && certificate.verify_signature(Some(issuer.public_key())).is_ok())
}

/// The certificates in a PEM text, one by one, each with the id of its key.
pub fn split_pem(text: &str) -> Result<Vec<(Sha256, String)>, PkiError> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    let parts = text.split(BEGIN).skip(1).map(|part| format!("{BEGIN}{}\n", part.trim_end()));
    parts.map(|pem| Ok((AuthorityPem::certificate_id(&pem)?, pem))).collect()
}

/// From when a certificate in PEM holds.
pub fn starts(certificate: &str) -> Result<Timestamp, PkiError> {
    Ok(life(&parse(certificate)?)?.0)
}

/// Ready to sign.
pub(super) struct ServerCa {
    pub(super) newest: Authority,
    pub(super) cross: Vec<CertificateDer<'static>>,
    pub(super) pem: String,
    pub(super) in_use: Vec<(String, Sha256)>,
    pub(super) ids: Vec<Sha256>,
    /// When the first of its certificates ends.
    pub(super) ends: Timestamp,
}

impl ServerCa {
    pub(super) fn new(stored: &Generations) -> Result<Self, PkiError> {
        let newest = Authority::new(&stored.newest)?;
        let cross = stored.cross.iter().map(|pem| parse(pem)).collect::<Result<Vec<_>, _>>()?;
        let mut ends = life(&newest.der)?.1;
        for certificate in &cross {
            ends = ends.min(life(certificate)?.1);
        }
        let (in_use, ids) = (stored.in_use.clone(), stored.ids.clone());
        Ok(ServerCa { newest, cross, pem: stored.pinned.concat(), in_use, ids, ends })
    }
}

impl ServerCa {
    /// The first certificate on the way to the newest generation that does not hold at `now`, if one does not:
    /// the file in the data directory, its begin and its end.
    pub(super) fn out_of_date(&self, now: Timestamp) -> Option<(String, Timestamp, Timestamp)> {
        let newest = u32::try_from(self.cross.len()).unwrap_or(GENERATIONS) + 1;
        let cross = (2..=newest).rev().zip(&self.cross);
        let cross = cross.map(|(number, der)| (format!("keys/{}.cross.pem", generation_name(number)), der));
        let own = std::iter::once((format!("{SERVER_CA}.pem"), &self.newest.der));
        cross.chain(own).find_map(|(file, der)| {
            let (starts, ends) = life(der).ok()?;
            (now < starts || ends < now).then_some((file, starts, ends))
        })
    }
}

/// Why a file of authorities is not one that devices can pin.
#[derive(Debug, thiserror::Error)]
pub enum AnchorsError {
    /// Devices read no more.
    #[error("it has {0} bytes; devices read at most {limit}", limit = limits::SERVER_CA_BYTES)]
    TooLong(usize),
    /// It is not PEM.
    #[error("it is not a file of certificates in PEM")]
    NotPem,
    /// There is something else in it: a key, perhaps.
    #[error("its entry {0} is no certificate; it may hold nothing else")]
    Other(usize),
    /// A certificate that vouches for nobody.
    #[error("its entry {0} is not the certificate of a CA")]
    NotAuthority(usize),
    /// None, or too many.
    #[error("it holds {0} certificates; devices take 1 to {limit}", limit = limits::SERVER_CA_CERTIFICATES)]
    Count(usize),
}

/// Reads a file of authorities as it may be given to devices.
pub fn read_anchors(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, AnchorsError> {
    if pem.len() > limits::SERVER_CA_BYTES {
        return Err(AnchorsError::TooLong(pem.len()));
    }
    let mut anchors = Vec::new();
    for (number, entry) in (1..).zip(<(SectionKind, Vec<u8>)>::pem_slice_iter(pem)) {
        let (kind, der) = entry.map_err(|_| AnchorsError::NotPem)?;
        if kind != SectionKind::Certificate {
            return Err(AnchorsError::Other(number));
        }
        let is_authority =
            X509Certificate::from_der(&der).is_ok_and(|(rest, one)| rest.is_empty() && one.is_ca());
        if !is_authority {
            return Err(AnchorsError::NotAuthority(number));
        }
        anchors.push(CertificateDer::from(der));
    }
    match anchors.len() {
        1..=limits::SERVER_CA_CERTIFICATES => Ok(anchors),
        count => Err(AnchorsError::Count(count)),
    }
}

/// Whether a client that pinned `anchors` would believe this server, which has `name`.
pub(super) fn is_believed(
    identity: &ServerIdentity,
    name: &'static str,
    anchors: &[CertificateDer<'static>],
    now: Timestamp,
) -> bool {
    let mut roots = RootCertStore::empty();
    if anchors.iter().any(|anchor| roots.add(anchor.clone()).is_err()) {
        return false;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (Ok(verifier), Ok(name), Some((leaf, cross))) = (
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build(),
        ServerName::try_from(name),
        identity.chain.split_first(),
    ) else {
        return false;
    };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.seconds().max(0).unsigned_abs()));
    verifier.verify_server_cert(leaf, cross, &name, &[], now).is_ok()
}
