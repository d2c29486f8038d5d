//! How a machine becomes a device of the fleet. Can be repeated after a power cut at any moment.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::Rng as _;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::Deserialize;
use slipway_proto::v1::EnrollRequest;

use crate::{
    clock::Clock,
    config::{Config, ConfigError, StateDir},
    durable, identity,
    link::{self, Link},
    rng,
    run::RunError,
    signed_time,
    slots::{FileSlots, SlotError},
    tls::Dates,
    verify::{TrustError, TrustStore},
};

/// A claim file holds a certificate, a root and a token.
const CLAIM_LIMIT: u64 = 2 << 20;

/// Why a machine did not become a device.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The claim file cannot be used.
    #[error("{} is not a claim file: {what}", path.display())]
    Claim {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The folder belongs to a device of another name.
    #[error("{} already belongs to device {found}; {wanted} needs a folder of its own", path.display())]
    OtherDevice {
        /// The state folder.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asks.
        wanted: String,
    },
    /// The server refused, or was not reached.
    #[error("the server did not enrol this device: {}", crate::link::reason(.0).detail)]
    Refused(Box<tonic::Status>),
    /// The server knows the device under another product than the claim says.
    #[error("the claim is for product {claimed}, the server says {said}")]
    OtherProduct {
        /// Product in the claim.
        claimed: String,
        /// Product in the answer.
        said: String,
    },
    /// A file or folder cannot be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The root in the claim is not to be trusted.
    #[error("the root in the claim file is not to be trusted")]
    Root(#[source] TrustError),
    /// What would keep the agent from running keeps it from enrolling.
    #[error(transparent)]
    Device(RunError),
    /// See [`SlotError`].
    #[error(transparent)]
    Slots(#[from] SlotError),
}

impl<E: Into<RunError>> From<E> for EnrollError {
    fn from(error: E) -> Self {
        Self::Device(error.into())
    }
}

/// What `slipway-agent enroll` is told.
#[derive(Debug, Clone)]
pub struct Enrollment {
    /// The claim file.
    pub claim: PathBuf,
    /// The state folder; made when missing.
    pub state: PathBuf,
    /// The folder that stands for a disk; made when missing.
    pub slots: PathBuf,
    /// Hardware model.
    pub hardware: String,
    /// Name in the fleet; the machine's own when absent.
    pub device_id: Option<String>,
    /// Component that is updated.
    pub component: String,
    /// Run during a trial; empty means none.
    pub health_command: String,
    /// Instead of the server in the claim.
    pub server: Option<String>,
    /// Size of a slot in bytes; 0 means that only the disk limits it.
    pub slot_size: u64,
}

/// `slipway claim create` writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    server: String,
    server_ca_pem: String,
    root: String,
    token: String,
    product: String,
}

/// Enrols this machine; afterwards `slipway-agent run` works. Returns the configuration it wrote.
///
/// # Errors
/// [`EnrollError`]; it can be called again.
pub async fn enroll(order: &Enrollment) -> Result<Config, EnrollError> {
    enroll_by(order, &Clock::system()).await
}

/// The same by another clock than the machine's.
///
/// # Errors
/// [`EnrollError`]; it can be called again.
pub async fn enroll_by(order: &Enrollment, clock: &Clock) -> Result<Config, EnrollError> {
    let claim = read_claim(&order.claim)?;
    let bad_claim = |what: String| EnrollError::Claim { path: order.claim.clone(), what };
    let root = STANDARD.decode(&claim.root).map_err(|_| bad_claim("its root is not base64".to_owned()))?;
    let authorities = CertificateDer::pem_slice_iter(claim.server_ca_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| bad_claim("its server_ca_pem is not a certificate in PEM".to_owned()))?;
    let device_id = match &order.device_id {
        Some(id) => id.clone(),
        None => crate::config::machine_name().map_err(|source| EnrollError::Io {
            action: "read",
            path: PathBuf::from("/etc/machine-id"),
            source,
        })?,
    };

    let state = StateDir::new(&order.state);
    durable::make_folder(state.path()).map_err(|source| EnrollError::Io {
        action: "make",
        path: state.path().to_path_buf(),
        source,
    })?;
    let _lock = state.lock()?;
    match Config::read(&state) {
        Ok(known) if known.device_id != device_id => {
            return Err(EnrollError::OtherDevice {
                path: order.state.clone(),
                found: known.device_id,
                wanted: device_id,
            });
        }
        Ok(_) | Err(ConfigError::NotEnrolled { .. }) => {}
        Err(error) => return Err(error.into()),
    }

    let config = Config {
        server: order.server.clone().unwrap_or(claim.server).trim_end_matches('/').to_owned(),
        device_id: device_id.clone(),
        product: claim.product.clone(),
        hardware: order.hardware.clone(),
        component: order.component.clone(),
        slots: std::path::absolute(&order.slots).unwrap_or_else(|_| order.slots.clone()),
        slot_size: order.slot_size,
        health_command: order.health_command.clone(),
        health_deadline_seconds: crate::config::HEALTH_DEADLINE,
        contact_wait_seconds: crate::config::CONTACT_WAIT,
        telemetry_interval_seconds: crate::config::TELEMETRY_INTERVAL,
        new_key_at_renewal: false,
        // The owner's word outlives an enrolment that is repeated.
        bundles: Config::read(&state).map(|config| config.bundles).unwrap_or_default(),
        attributes: BTreeMap::new(),
    };
    config.check_values(&state)?;

    // The key is durable before the server hears of it: after a power cut the same key asks again, and
    // is given the same place in the fleet.
    let key = identity::load_or_make_key(&state)?;
    TrustStore::pin(&state, &root).map_err(EnrollError::Root)?;
    write(&state.server_ca(), claim.server_ca_pem.as_bytes())?;
    let mut rng = rng::from_kernel().map_err(|source| EnrollError::Io {
        action: "read",
        path: PathBuf::from("/dev/urandom"),
        source,
    })?;
    let mut nonce = [0; 16];
    rng.fill_bytes(&mut nonce);
    FileSlots::create(&config.slots, rng)?;

    let link = Link::new(&config.server, &authorities, None, clock)?;
    let request = EnrollRequest {
        claim_token: claim.token,
        device_id: device_id.clone(),
        csr_der: identity::signing_request(&key, &device_id)?,
        hardware: order.hardware.clone(),
        attributes: attributes(),
    };
    let mut answer = link.enrollment().enroll(request.clone()).await;
    if answer.as_ref().err().is_some_and(|status| link::reason(status).code == "SERVER_CERTIFICATE") {
        // The clock of a machine that was never switched on may show anything.
        let opened = TrustStore::open(&state, &claim.product, &device_id, clock);
        let (mut trust, _) = opened.map_err(EnrollError::Root)?;
        if signed_time::ask(&link.aside(Dates::Ignored)?, &mut trust, nonce).await.is_ok() {
            answer = link.enrollment().enroll(request).await;
        }
    }
    let answer = answer.map_err(|status| EnrollError::Refused(Box::new(status)))?.into_inner();
    if answer.product != claim.product {
        return Err(EnrollError::OtherProduct { claimed: claim.product, said: answer.product });
    }
    identity::store_certificate(&state, &answer.certificate_chain_der)?;
    // Last: with the configuration in place the device is enrolled.
    config.write(&state)?;
    Ok(config)
}

fn read_claim(path: &Path) -> Result<Claim, EnrollError> {
    let wrong = |what: String| EnrollError::Claim { path: path.to_path_buf(), what };
    let bytes = durable::read_optional(path, CLAIM_LIMIT)
        .map_err(|source| EnrollError::Io { action: "read", path: path.to_path_buf(), source })?
        .ok_or_else(|| wrong("it is not there".to_owned()))?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), EnrollError> {
    durable::replace(path, bytes, durable::PLAIN).map_err(|source| EnrollError::Io {
        action: "write",
        path: path.to_path_buf(),
        source,
    })
}

/// What the kernel says of the machine.
fn attributes() -> std::collections::HashMap<String, String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: String = kernel.trim().chars().take(200).collect();
    let architecture = std::env::consts::ARCH.to_owned();
    [("arch".to_owned(), architecture), ("kernel".to_owned(), kernel)].into()
}
