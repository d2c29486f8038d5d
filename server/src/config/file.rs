//! What stands in the file: the same keys as the flags, and tables that no flag could hold.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{ConfigError, LogFormat};
use crate::model::{address::Network, anomaly_rules::AnomalyRule, archive::Retention, outage};

/// The file, as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FileConfig {
    pub(super) offline: outage::Settings,
    pub(super) retention: Retention,
    pub(super) data: Option<PathBuf>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) public_names: Vec<String>,
    pub(super) database_url: Option<String>,
    pub(super) database_url_file: Option<PathBuf>,
    pub(super) objects: Option<String>,
    pub(super) check_in_interval: Option<u64>,
    pub(super) renew_after_expiry: Option<u64>,
    pub(super) anomalies: Vec<AnomalyRule>,
    pub(super) webhook_allow_networks: Vec<Network>,
    pub(super) webhook_allow_http: bool,
    pub(super) webhook_ca: Option<PathBuf>,
    pub(super) metrics_token: bool,
    pub(super) log: Option<String>,
    pub(super) log_format: Option<LogFormat>,
}

impl FileConfig {
    /// Reads the file.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| ConfigError::File {
            path: path.to_owned(),
            problem: error.to_string().trim_end().to_owned(),
        })
    }
}

/// The URL itself, wherever it stands.
pub(super) fn database_url(
    url: Option<String>,
    file: Option<PathBuf>,
) -> Result<Option<String>, ConfigError> {
    let url = match (url, file) {
        (Some(url), None) => url,
        (None, Some(path)) => std::fs::read_to_string(&path)
            .map_err(|source| ConfigError::Unreadable { path, source })?
            .trim()
            .to_owned(),
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(ConfigError::Value {
                key: "database_url_file",
                problem: "database_url is given too; keep one of them".to_owned(),
            });
        }
    };
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(ConfigError::Value {
            key: "database_url",
            problem: "it does not begin with postgres://; leave it out to use SQLite".to_owned(),
        });
    }
    Ok(Some(url))
}
