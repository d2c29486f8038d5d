//! `agent.toml` and the folder it lies in.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::{bundle::Bundles, durable, keystore, socket::Settings};

/// A configuration is a page of text; anything longer is not one.
const CONFIG_LIMIT: u64 = 64 << 10;
/// A locked folder is looked at so many times, so far apart: a second in all.
const LOCK_LOOKS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// The trial ends after six minutes whatever happens; the health command has to fit.
const HEALTH_DEADLINE_LIMIT: u64 = 240;

/// How long the health command may take unless configured, in seconds.
pub const HEALTH_DEADLINE: u64 = 60;
/// How long a trial waits for the server unless configured, in seconds.
pub const CONTACT_WAIT: u64 = 30;
/// How often readings are taken unless configured, in seconds.
pub const TELEMETRY_INTERVAL: u64 = 60;

/// The server takes so many texts that a device says of itself.
pub(crate) const ATTRIBUTES: usize = 64;

/// What [`Config`] has beside attributes.
const SETTINGS: &str = "server device_id product hardware component slots slot_size health_command \
                        health_deadline_seconds contact_wait_seconds telemetry_interval_seconds \
                        new_key_at_renewal key_store tpm bundles";

/// Why the agent cannot start with this state folder.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder holds no device.
    #[error("{} is not there: this device is not enrolled", path.display())]
    NotEnrolled {
        /// Where the configuration should be.
        path: PathBuf,
    },
    /// The text is wrong; the message shows the line.
    #[error("{} is wrong:\n{message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// Another agent works here.
    #[error("another slipway-agent works in {}", path.display())]
    Locked {
        /// The state folder.
        path: PathBuf,
    },
}

/// What a device is and how its agent works. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `https://host:port`.
    pub server: String,
    /// Name of this device in the fleet.
    pub device_id: String,
    /// Product the device belongs to.
    pub product: String,
    /// Hardware model, compared with what the publisher signed.
    pub hardware: String,
    /// Component that is updated.
    pub component: String,
    /// Folder of the `file` slot driver.
    pub slots: PathBuf,
    /// Size of a slot in bytes; 0 means that only the disk limits it.
    #[serde(default)]
    pub slot_size: u64,
    /// Run with `sh -c` during a trial; exit code 0 means healthy. Empty means no command.
    #[serde(default)]
    pub health_command: String,
    /// How long the health command may take, 1 to 240 seconds.
    #[serde(default = "health_deadline")]
    pub health_deadline_seconds: u64,
    /// How long a trial waits for contact with the server before it commits without, 0 to 60 seconds.
    #[serde(default = "contact_wait")]
    pub contact_wait_seconds: u64,
    /// How often the machine's readings are taken, from 1 second.
    #[serde(default = "telemetry_interval")]
    pub telemetry_interval_seconds: u64,
    /// Makes a new key with each renewal of the certificate.
    #[serde(default)]
    pub new_key_at_renewal: bool,
    /// Where the private key is kept: "file" or "tpm"; empty is "file".
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key_store: String,
    /// Where the TPM is; empty is [`keystore::DEFAULT_TPM`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tpm: String,
    /// Which bundles `install` takes.
    #[serde(default)]
    pub bundles: Bundles,
    /// Where programs of the device tell their own metrics.
    #[serde(default, skip_serializing_if = "Settings::is_default")]
    pub metrics: Settings,
    /// What the device says of itself, at most 64 entries.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

fn health_deadline() -> u64 {
    HEALTH_DEADLINE
}

fn contact_wait() -> u64 {
    CONTACT_WAIT
}

fn telemetry_interval() -> u64 {
    TELEMETRY_INTERVAL
}

impl Config {
    /// Reads `agent.toml`.
    ///
    /// # Errors
    /// [`ConfigError::NotEnrolled`], [`ConfigError::Invalid`] with the line, [`ConfigError::Io`].
    pub fn read(state: &StateDir) -> Result<Self, ConfigError> {
        let path = state.config();
        let bytes = durable::read_optional(&path, CONFIG_LIMIT)
            .map_err(|source| ConfigError::Io { action: "read", path: path.clone(), source })?
            .ok_or_else(|| ConfigError::NotEnrolled { path: path.clone() })?;
        let invalid = |message| ConfigError::Invalid { path: path.clone(), message };
        let text = String::from_utf8(bytes).map_err(|_| invalid("it is not text".to_owned()))?;
        let config: Self = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        config.check().map_err(invalid)?;
        Ok(config)
    }

    /// Writes `agent.toml`.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] when this configuration would not be read back, [`ConfigError::Io`].
    pub fn write(&self, state: &StateDir) -> Result<(), ConfigError> {
        self.check_values(state)?;
        let path = state.config();
        let invalid = |message| ConfigError::Invalid { path: path.clone(), message };
        let text = toml::to_string(self).map_err(|error| invalid(error.to_string()))?;
        durable::replace(&path, text.as_bytes(), durable::PLAIN).map_err(|source| ConfigError::Io {
            action: "write",
            path: path.clone(),
            source,
        })
    }

    /// Looks at the values as reading would.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn check_values(&self, state: &StateDir) -> Result<(), ConfigError> {
        self.check().map_err(|message| ConfigError::Invalid { path: state.config(), message })
    }

    /// How long the health command may take.
    pub fn health_deadline(&self) -> Duration {
        Duration::from_secs(self.health_deadline_seconds)
    }

    /// How long a trial waits for the server.
    pub fn contact_wait(&self) -> Duration {
        Duration::from_secs(self.contact_wait_seconds)
    }

    fn check(&self) -> Result<(), String> {
        for (key, value) in [
            ("server", &self.server),
            ("device_id", &self.device_id),
            ("product", &self.product),
            ("hardware", &self.hardware),
            ("component", &self.component),
        ] {
            if value.is_empty() {
                return Err(format!("{key} must not be empty"));
            }
        }
        if !self.server.starts_with("https://") {
            return Err(format!("server is {:?}; it has to start with https://", self.server));
        }
        slipway_trust::product_name(&self.product).map_err(|error| format!("product: {error}"))?;
        let bounds = [
            ("health_deadline_seconds", self.health_deadline_seconds, 1, HEALTH_DEADLINE_LIMIT),
            ("contact_wait_seconds", self.contact_wait_seconds, 0, 60),
            ("telemetry_interval_seconds", self.telemetry_interval_seconds, 1, 86_400),
        ];
        for (key, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(format!("{key} is {value}; it has to be {least} to {most}"));
            }
        }
        keystore::Keys::of(&StateDir::new(Path::new("")), &self.key_store, &self.tpm)?;
        self.metrics.check()?;
        if self.attributes.len() > ATTRIBUTES {
            let count = self.attributes.len();
            return Err(format!("attributes has {count} entries; at most {ATTRIBUTES} are sent"));
        }
        // A line at the end of the file belongs to the section that stands there.
        if let Some(setting) = SETTINGS.split(' ').find(|name| self.attributes.contains_key(*name)) {
            return Err(format!(
                "{setting} stands below [attributes], where it sets nothing; move the line above that one"
            ));
        }
        Ok(())
    }
}

/// The state folder: what the device knows, each file replaced as a whole.
#[derive(Debug, Clone)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// The folder at `path`; nothing is read or made.
    pub fn new(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `agent.toml`.
    pub fn config(&self) -> PathBuf {
        self.0.join("agent.toml")
    }

    /// The device's private key.
    pub fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    /// The device's certificate and its issuer.
    pub fn certificate(&self) -> PathBuf {
        self.0.join("certificate.pem")
    }

    /// The private key that the device changes to, while it does.
    pub fn next_key(&self) -> PathBuf {
        self.0.join("key-next.pem")
    }

    /// The certificate for it.
    pub fn next_certificate(&self) -> PathBuf {
        self.0.join("certificate-next.pem")
    }

    /// The CA that the server's certificate must come from.
    pub fn server_ca(&self) -> PathBuf {
        self.0.join("server-ca.pem")
    }

    /// The CA before that one, until the server was reached with it.
    pub fn server_ca_before(&self) -> PathBuf {
        self.0.join("server-ca-before.pem")
    }

    /// Signed metadata, newest accepted bytes.
    pub fn metadata(&self) -> PathBuf {
        self.0.join("metadata")
    }

    /// The second copy of the rollback floor, beside the trusted metadata; the first is in the journal.
    pub fn floor(&self) -> PathBuf {
        self.metadata().join("floor")
    }

    /// The newest time that signed metadata proved.
    pub fn clock(&self) -> PathBuf {
        self.metadata().join("clock")
    }

    /// The manifest of the release that is worked on.
    pub fn manifest(&self) -> PathBuf {
        self.0.join("manifest.json")
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// What `status` shows beside the journal; soft.
    pub fn diary(&self) -> PathBuf {
        self.0.join("status.json")
    }

    /// While this file exists no update is begun and no reboot is made.
    pub fn inhibitor(&self) -> PathBuf {
        self.0.join("inhibit")
    }

    /// Takes the folder for this process until the answer is dropped.
    ///
    /// # Errors
    /// [`ConfigError::Locked`] when another process has it, [`ConfigError::NotEnrolled`] when it is not there.
    pub fn lock(&self) -> Result<Lock, ConfigError> {
        let path = self.0.join("lock");
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(|source| match source
            .kind()
        {
            io::ErrorKind::NotFound => ConfigError::NotEnrolled { path: self.config() },
            _ => ConfigError::Io { action: "open", path: path.clone(), source },
        })?;
        let mut looks = 1;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock(file)),
                // An agent that was killed in the middle of starting a program leaves it the lock for a moment.
                Err(rustix::io::Errno::WOULDBLOCK) if looks < LOCK_LOOKS => {
                    looks += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(ConfigError::Locked { path: self.0.clone() });
                }
                Err(error) => return Err(ConfigError::Io { action: "lock", path, source: error.into() }),
            }
        }
    }
}

/// Holds the state folder; released when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    /// To close the file is not enough: a process that was forked a moment ago and is not another program yet
    /// holds it too.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// A name for this machine: `/etc/machine-id`, else the host name.
///
/// # Errors
/// When neither can be read.
pub fn machine_name() -> io::Result<String> {
    match fs::read_to_string("/etc/machine-id") {
        Ok(id) if !id.trim().is_empty() => Ok(id.trim().to_owned()),
        _ => fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_lowercase()),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
