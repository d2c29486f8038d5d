//! The authorities that the server's own certificate may come from: those of the claim, and later those that
//! the owners signed into the top-level targets (`_trust/server-ca.pem`).
//!
//! A device that took a set with which it reaches nobody would be lost. So the set before stays in a file
//! beside (`server-ca-before.pem`) and counts too, until the server showed a certificate that comes from the
//! new one. The copy is durable before the new set takes its place, and is removed after the server answered;
//! a power cut at any moment leaves both, or one that counts.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use slipway_trust::{SERVER_CA, Sha256, Target, limits};

use crate::{
    certificate,
    config::StateDir,
    durable,
    identity::{self, IdentityError},
    link::{Source, chain},
    machine::Reason,
};

/// The set in use, and the one before while it counts.
#[derive(Debug, Clone)]
pub struct Authorities {
    /// Those that count.
    pub now: Vec<CertificateDer<'static>>,
    /// Those that count as well, until [`Authorities::is_proved`].
    pub before: Vec<CertificateDer<'static>>,
    proved: Arc<AtomicBool>,
}

impl From<&[CertificateDer<'static>]> for Authorities {
    fn from(now: &[CertificateDer<'static>]) -> Self {
        Self { now: now.to_vec(), before: Vec::new(), proved: Arc::default() }
    }
}

impl Authorities {
    /// Those of the device in `state`, and what was wrong with their file when the copy has to do.
    ///
    /// # Errors
    /// When neither file holds any.
    pub fn load(state: &StateDir) -> Result<(Self, Option<Reason>), IdentityError> {
        let before = identity::read_certificates(&state.server_ca_before());
        match (identity::read_certificates(&state.server_ca()), before) {
            (Ok(now), before) => {
                Ok((Self { before: before.unwrap_or_default(), ..Self::from(&now[..]) }, None))
            }
            (Err(error), Ok(before)) => {
                let text = format!("{}; those of before count", chain(&error));
                Ok((Self::from(&before[..]), Some(Reason::new("STATE_DAMAGED", text))))
            }
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// The server showed a certificate that comes from the set in use.
    pub fn prove(&self) {
        self.proved.store(true, Ordering::Relaxed);
    }

    /// Whether it did, so that the set before is needed no more.
    pub fn is_proved(&self) -> bool {
        self.proved.load(Ordering::Relaxed)
    }

    /// The ids of their keys, by which a device names its server in what it signs.
    pub fn ids(&self) -> Vec<Sha256> {
        let all = self.now.iter().chain(&self.before);
        all.filter_map(|der| certificate::read(der)).map(|facts| Sha256::of(&facts.public_key)).collect()
    }
}

/// Fetches the file that the owners signed, and looks whether it can be used.
///
/// # Errors
/// A file that does not arrive, is not the one that was signed, or holds anything but authorities.
pub async fn fetch(source: &impl Source, wanted: &Target) -> Result<Vec<u8>, Reason> {
    let refused = |what: &str| Reason::new("SERVER_CA_REFUSED", format!("{SERVER_CA}: {what}"));
    let limit = usize::try_from(wanted.length).unwrap_or(usize::MAX);
    let digest = wanted.sha256.filter(|_| limit <= limits::SERVER_CA_BYTES);
    let digest = digest.ok_or_else(|| refused("what the owners signed is too long, or has no SHA-256"))?;
    let (folder, name) = SERVER_CA.split_once('/').unwrap_or_default();
    let mut bytes = Vec::new();
    source.get(&format!("/tuf/targets/{folder}/{digest}.{name}"), &mut bytes, limit).await.map_err(
        |error| Reason::new("SERVER_CA_UNAVAILABLE", format!("{SERVER_CA} did not arrive: {error}")),
    )?;
    if !wanted.is(&bytes) {
        return Err(refused("what arrived is not what the owners signed"));
    }
    match read(&bytes) {
        Some(_) => Ok(bytes),
        None => Err(refused("it does not hold certificates of authorities in PEM, and nothing else")),
    }
}

/// The authorities in a file; none unless every certificate in it is one.
pub fn read(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    let mut roots = RootCertStore::empty();
    let is_good =
        |der: &CertificateDer<'static>| certificate::is_authority(der) && roots.add(der.clone()).is_ok();
    let count = found.len();
    ((1..=limits::SERVER_CA_CERTIFICATES).contains(&count) && found.iter().all(is_good)).then_some(found)
}

/// Puts a new set in the place of the one in use, of which a copy is kept unless an older one is still there:
/// that is the last with which the server was reached.
///
/// # Errors
/// When a file cannot be written; the set in use is then what it was.
pub fn store(state: &StateDir, pem: &[u8]) -> Result<(), Reason> {
    let (path, before) = (state.server_ca(), state.server_ca_before());
    if identity::read_certificates(&before).is_err() && identity::read_certificates(&path).is_ok() {
        let held = durable::read_optional(&path, limits::SERVER_CA_BYTES as u64);
        write(&before, &held.ok().flatten().unwrap_or_default())?;
    }
    write(&path, pem)
}

/// The set in use reached the server: the copy goes.
///
/// # Errors
/// When it cannot be removed.
pub fn settle(state: &StateDir) -> Result<(), Reason> {
    let path = state.server_ca_before();
    durable::remove(&path).map_err(|error| not_kept(&path, &error))
}

/// SHA-256 of the file of the set in use.
pub fn digest(state: &StateDir) -> Option<Sha256> {
    let held = durable::read_optional(&state.server_ca(), limits::SERVER_CA_BYTES as u64);
    held.ok().flatten().map(|held| Sha256::of(&held))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Reason> {
    durable::replace(path, bytes, durable::PLAIN).map_err(|error| not_kept(path, &error))
}

fn not_kept(path: &Path, error: &std::io::Error) -> Reason {
    Reason::new("STATE_IO_FAILED", format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
#[path = "authorities_tests.rs"]
mod tests;
