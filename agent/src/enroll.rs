//! How a machine becomes a device of the fleet. Can be repeated after a power cut at any moment.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::Rng as _;
use rcgen::{KeyPair, SigningKey as _};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::Deserialize;
use slipway_proto::v1::{ChallengeRequest, EnrollRequest, EnrollResponse, ManufacturerProof};
use slipway_trust::Sha256;

use crate::{
    certificate,
    clock::Clock,
    config::{Config, ConfigError, StateDir},
    durable,
    identity::{self, IdentityError},
    keystore::{KeyStore as _, Keys},
    link::{self, Link},
    rng,
    run::RunError,
    signed_time,
    slots::{FileSlots, SlotError},
    tls::Dates,
    verify::{TrustError, TrustStore},
};

/// What the manufacturer's key signs begins with this.
const ENROLMENT: &[u8] = b"slipway-enroll/v1\n";
/// A claim file holds a certificate, a root and a token.
const CLAIM_LIMIT: u64 = 2 << 20;

/// Why a machine did not become a device.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The server's answer cannot be true.
    #[error("the server enrolled the device, and its answer cannot be used: {what}")]
    Answer {
        /// What is wrong with it.
        what: String,
    },
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
    /// The manufacturer's certificate or key cannot be used.
    #[error("{} cannot be used as {option}: {what}", path.display())]
    Manufacturer {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
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
    /// Name in the fleet. When absent: the machine's own with a token; else the one that the server knows
    /// it by, from its registered key or its manufacturer's certificate.
    pub device_id: Option<String>,
    /// Component that is updated.
    pub component: String,
    /// Run during a trial; empty means none.
    pub health_command: String,
    /// Instead of the server in the claim.
    pub server: Option<String>,
    /// Size of a slot in bytes; 0 means that only the disk limits it.
    pub slot_size: u64,
    /// The manufacturer's certificate with those up to its authority, and its key, both PEM: the right to
    /// enrol in place of a claim's token.
    pub manufacturer: Option<(PathBuf, PathBuf)>,
    /// Where the key is kept, as `key_store` in `agent.toml`; where it was, or in a file, when absent.
    pub key_store: Option<String>,
    /// Where the TPM is, as `tpm` in `agent.toml`; the kernel's when absent.
    pub tpm: Option<String>,
}

/// `slipway claim create` writes it, and without a token `slipway claim file`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    server: String,
    server_ca_pem: String,
    root: String,
    #[serde(default)]
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
    let mut claim = read_claim(&order.claim)?;
    if order.manufacturer.is_some() {
        claim.token.clear();
    }
    let bad_claim = |what: String| EnrollError::Claim { path: order.claim.clone(), what };
    let root = STANDARD.decode(&claim.root).map_err(|_| bad_claim("its root is not base64".to_owned()))?;
    let authorities = CertificateDer::pem_slice_iter(claim.server_ca_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| bad_claim("its server_ca_pem is not a certificate in PEM".to_owned()))?;
    let device_id = match &order.device_id {
        Some(id) => id.clone(),
        None if claim.token.is_empty() => String::new(),
        None => crate::config::machine_name().map_err(|source| EnrollError::Io {
            action: "read",
            path: PathBuf::from("/etc/machine-id"),
            source,
        })?,
    };

    let state = StateDir::new(&order.state);
    make_folder(&state)?;
    let _lock = state.lock()?;
    let known = match Config::read(&state) {
        Ok(known) if !device_id.is_empty() && known.device_id != device_id => {
            return Err(EnrollError::OtherDevice {
                path: order.state.clone(),
                found: known.device_id,
                wanted: device_id,
            });
        }
        Ok(known) => Some(known),
        Err(ConfigError::NotEnrolled { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    // The owner's word outlives an enrolment that is repeated, and so does the place of the key.
    let (bundles, key_store, tpm, metrics) =
        known.map(|known| (known.bundles, known.key_store, known.tpm, known.metrics)).unwrap_or_default();

    let mut config = Config {
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
        bundles,
        key_store: order.key_store.clone().unwrap_or(key_store),
        tpm: order.tpm.clone().unwrap_or(tpm),
        metrics,
        attributes: BTreeMap::new(),
    };
    if !device_id.is_empty() {
        config.check_values(&state)?;
    }

    // The key is durable before the server hears of it: after a power cut the same key asks again, and
    // is given the same place in the fleet.
    let key = Keys::open(&state, &config)?.load_or_make()?;
    TrustStore::pin(&state, &root).map_err(EnrollError::Root)?;
    write(&state.server_ca(), claim.server_ca_pem.as_bytes())?;
    durable::remove(&state.server_ca_before()).map_err(|source| EnrollError::Io {
        action: "remove",
        path: state.server_ca_before(),
        source,
    })?;
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
        product: claim.product.clone(),
        manufacturer: None,
    };
    let server = authorities.first().and_then(|der| certificate::read(der));
    let server = Sha256::of(&server.map(|facts| facts.public_key).unwrap_or_default());
    let mut answer = ask(order, &link, &server, request.clone()).await?;
    if answer.as_ref().err().is_some_and(|status| link::reason(status).code == "SERVER_CERTIFICATE") {
        // The clock of a machine that was never switched on may show anything.
        let opened = TrustStore::open(&state, &claim.product, &device_id, clock);
        let (mut trust, _) = opened.map_err(EnrollError::Root)?;
        if signed_time::ask(&link.aside(Dates::Ignored)?, &mut trust, nonce).await.is_ok() {
            answer = ask(order, &link, &server, request).await?;
        }
    }
    let answer = answer.map_err(|status| EnrollError::Refused(Box::new(status)))?.into_inner();
    if answer.product != claim.product {
        return Err(EnrollError::OtherProduct { claimed: claim.product, said: answer.product });
    }
    if !identity::is_chain_for(&answer.certificate_chain_der, &key.public()) {
        return Err(EnrollError::Answer { what: "the certificate is none, or for another key".to_owned() });
    }
    if device_id.is_empty() {
        config.device_id = answer.name.trim_start_matches("devices/").to_owned();
        config.check_values(&state).map_err(|error| EnrollError::Answer { what: error.to_string() })?;
    }
    identity::store_certificate(&state, &answer.certificate_chain_der)?;
    // Last: with the configuration in place the device is enrolled.
    config.write(&state)?;
    Ok(config)
}

/// The call, with the proof of the manufacturer's key where that is the right to it.
async fn ask(
    order: &Enrollment,
    link: &Link,
    server: &Sha256,
    mut request: EnrollRequest,
) -> Result<Result<tonic::Response<EnrollResponse>, tonic::Status>, EnrollError> {
    if let Some((chain, key)) = &order.manufacturer {
        let (chain, key) = manufacturer(chain, key)?;
        let chain: Vec<Vec<u8>> = chain.iter().map(|der| der.to_vec()).collect();
        let asked = ChallengeRequest {
            manufacturer_certificate_der: chain.first().cloned().unwrap_or_default(),
            ..ChallengeRequest::default()
        };
        let nonce = match link.enrollment().challenge(asked).await {
            Ok(answer) => answer.into_inner().nonce,
            Err(status) => return Ok(Err(status)),
        };
        let message = identity::proof(ENROLMENT, server, &nonce, &request.csr_der);
        let signature = key.sign(&message).map_err(IdentityError::from)?;
        request.manufacturer = Some(ManufacturerProof { certificate_chain_der: chain, nonce, signature });
    }
    Ok(link.enrollment().enroll(request).await)
}

fn manufacturer(chain: &Path, key: &Path) -> Result<(Vec<CertificateDer<'static>>, KeyPair), EnrollError> {
    let wrong = |option, path: &Path, what: &str| EnrollError::Manufacturer {
        option,
        path: path.to_path_buf(),
        what: what.to_owned(),
    };
    let of_chain = |error: IdentityError| wrong("--manufacturer-cert", chain, &error.to_string());
    let of_key = |what: &str| wrong("--manufacturer-key", key, what);
    let certificates = identity::read_certificates(chain).map_err(of_chain)?;
    let pem = identity::read(key).map_err(|error| of_key(&error.to_string()))?;
    let pair = String::from_utf8(pem).ok().and_then(|pem| KeyPair::from_pem(&pem).ok());
    let pair = pair.ok_or_else(|| {
        of_key("it is no private key in PKCS #8 (`openssl pkcs8 -topk8 -nodes -in KEY` makes one of others)")
    })?;
    Ok((certificates, pair))
}

/// The public key of the device in `state`, SubjectPublicKeyInfo as base64 of its DER: for whoever registers
/// it before it enrols. The key is made when there is none.
///
/// # Errors
/// When it cannot be made or read.
pub fn public_key(state: &StateDir, key_store: &str, tpm: &str) -> Result<String, EnrollError> {
    make_folder(state)?;
    let _lock = state.lock()?;
    let keys = Keys::of(state, key_store, tpm).map_err(IdentityError::Store)?;
    Ok(STANDARD.encode(keys.load_or_make()?.public()))
}

fn make_folder(state: &StateDir) -> Result<(), EnrollError> {
    durable::make_folder(state.path()).map_err(|source| EnrollError::Io {
        action: "make",
        path: state.path().to_path_buf(),
        source,
    })
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
