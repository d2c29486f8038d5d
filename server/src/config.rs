//! Configuration: flags over environment over a TOML file; whatever is not known is an error.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

mod anomalies;
mod file;
mod webhooks;

pub use webhooks::{WebhookOptions, Webhooks};

use self::file::{FileConfig, database_url};
use crate::model::{anomaly_rules::AnomalyRule, archive::Retention, outage, time::DAY};

/// Where the server listens when nobody says: this machine only.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7443);

/// Seconds between two check-ins of an idle device: a pause is noticed within a minute, and a
/// million devices are 17,000 calls a second.
const DEFAULT_CHECK_IN_INTERVAL: u64 = 60;
/// A day; a device that calls more rarely counts as absent.
const MAX_CHECK_IN_INTERVAL: u64 = 86_400;

/// Days after its end in which a certificate is renewed without asking: a machine that lay in a store
/// for a long time is one that was sold late.
const DEFAULT_RENEW_AFTER_EXPIRY: u64 = 3650;
/// A hundred years.
const MAX_RENEW_AFTER_EXPIRY: u64 = 36_500;

const ENV_PREFIX: &str = "SLIPWAYD_";
const ENV_KNOWN: [&str; 15] = [
    "SLIPWAYD_CONFIG",
    "SLIPWAYD_DATA",
    "SLIPWAYD_LISTEN",
    "SLIPWAYD_PUBLIC_NAMES",
    "SLIPWAYD_DATABASE_URL",
    "SLIPWAYD_DATABASE_URL_FILE",
    "SLIPWAYD_OBJECTS",
    "SLIPWAYD_CHECK_IN_INTERVAL",
    "SLIPWAYD_RENEW_AFTER_EXPIRY",
    "SLIPWAYD_WEBHOOK_ALLOW_NETWORKS",
    "SLIPWAYD_WEBHOOK_ALLOW_HTTP",
    "SLIPWAYD_WEBHOOK_CA",
    "SLIPWAYD_METRICS_TOKEN",
    "SLIPWAYD_LOG",
    "SLIPWAYD_LOG_FORMAT",
];

/// What the command line and the environment say.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Directory of keys, database and objects; made when it is not there
    #[arg(long, value_name = "DIR", env = "SLIPWAYD_DATA")]
    pub data: Option<PathBuf>,
    /// Address of the one TLS port [default: 127.0.0.1:7443]
    #[arg(long, value_name = "ADDR", env = "SLIPWAYD_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Name or address under which devices reach this server; may be repeated
    #[arg(long = "public-name", value_name = "NAME", env = "SLIPWAYD_PUBLIC_NAMES", value_delimiter = ',')]
    pub public_names: Vec<String>,
    /// postgres://… instead of the SQLite database in the data directory
    #[arg(long, value_name = "URL", env = "SLIPWAYD_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// File that holds the database URL, to keep its password out of sight
    #[arg(long, value_name = "FILE", env = "SLIPWAYD_DATABASE_URL_FILE", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,
    /// s3://… or another object store instead of the data directory
    #[arg(long, value_name = "URL", env = "SLIPWAYD_OBJECTS")]
    pub objects: Option<String>,
    /// How often an idle device checks in, in seconds [default: 60]
    #[arg(long, value_name = "SECONDS", env = "SLIPWAYD_CHECK_IN_INTERVAL")]
    pub check_in_interval: Option<u64>,
    /// For how many days after its end a device's certificate is renewed without an operator's yes; 0: never
    /// [default: 3650]
    #[arg(long, value_name = "DAYS", env = "SLIPWAYD_RENEW_AFTER_EXPIRY")]
    pub renew_after_expiry: Option<u64>,
    /// Where webhooks may lead.
    #[command(flatten)]
    pub webhooks: WebhookOptions,
    /// Ask callers of this machine for a token on /metrics, too
    #[arg(long, env = "SLIPWAYD_METRICS_TOKEN")]
    pub metrics_token: bool,
    /// What is logged, as tracing's filter directives [default: info]
    #[arg(long, value_name = "FILTER", env = "SLIPWAYD_LOG")]
    pub log: Option<String>,
    /// How log lines look [default: text]
    #[arg(long, value_enum, value_name = "FORMAT", env = "SLIPWAYD_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// TOML file with the same keys as these flags, '_' for '-'
    #[arg(long, value_name = "FILE", env = "SLIPWAYD_CONFIG")]
    pub config: Option<PathBuf>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Everything decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Data directory.
    pub data: PathBuf,
    /// Listening address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Further names in the server's certificate; the first goes into profiles.
    pub public_names: Vec<String>,
    /// PostgreSQL, or none for SQLite. May hold a password: never printed.
    #[serde(skip)]
    pub database_url: Option<String>,
    /// Object store, or none for the data directory.
    pub objects: Option<String>,
    /// How often an idle device checks in, in seconds.
    pub check_in_interval: u64,
    /// For how long after its end a certificate is renewed without an operator's yes, in days.
    pub renew_after_expiry: u64,
    /// Where webhooks may lead.
    #[serde(flatten)]
    pub webhooks: Webhooks,
    /// Which anomalies open an alert: all, where no rule says otherwise.
    pub anomalies: Vec<AnomalyRule>,
    /// When devices count as offline.
    pub offline: outage::Settings,
    /// How long readings are kept, by class.
    pub retention: Retention,
    /// Also callers of this machine need a token for `/metrics`.
    pub metrics_token: bool,
    /// Log filter.
    pub log: String,
    /// Log format.
    pub log_format: LogFormat,
}

/// Why the configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key that is not known; the text shows the line.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Line, column, and what is wrong there.
        problem: String,
    },
    /// A variable with our prefix that is not ours.
    #[error("the environment variable {0} is not known")]
    Variable(String),
    /// A value that makes no sense.
    #[error("{key}: {problem}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl Config {
    /// For tests and for embedding: everything default but the directory.
    pub fn in_dir(data: impl Into<PathBuf>) -> Self {
        Config {
            data: data.into(),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            public_names: Vec::new(),
            database_url: None,
            objects: None,
            check_in_interval: DEFAULT_CHECK_IN_INTERVAL,
            renew_after_expiry: DEFAULT_RENEW_AFTER_EXPIRY,
            anomalies: Vec::new(),
            webhooks: Webhooks::default(),
            offline: outage::Settings::default(),
            retention: Retention::default(),
            metrics_token: false,
            log: "info".to_owned(),
            log_format: LogFormat::Text,
        }
    }

    /// Merges flags and environment (in `options`) with the file, and checks the result.
    pub fn resolve(options: Options) -> Result<Self, ConfigError> {
        let file = match &options.config {
            Some(path) => FileConfig::read(path)?,
            None => FileConfig::default(),
        };
        let data = options.data.or(file.data).ok_or_else(|| ConfigError::Value {
            key: "data",
            problem: "no data directory was named; pass --data DIR".to_owned(),
        })?;
        // A source of the URL replaces the other one of a weaker layer.
        let (url, url_file) = if options.database_url.is_some() || options.database_url_file.is_some() {
            (options.database_url, options.database_url_file)
        } else {
            (file.database_url, file.database_url_file)
        };
        let public_names =
            if options.public_names.is_empty() { file.public_names } else { options.public_names };
        for name in &public_names {
            check_name(name)?;
        }
        let objects = options.objects.or(file.objects);
        if let Some(url) = &objects
            && !url.contains("://")
        {
            return Err(ConfigError::Value { key: "objects", problem: format!("{url:?} is not a URL") });
        }
        let config = Config {
            data,
            listen: options.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN),
            public_names,
            database_url: database_url(url, url_file)?,
            objects,
            check_in_interval: options
                .check_in_interval
                .or(file.check_in_interval)
                .unwrap_or(DEFAULT_CHECK_IN_INTERVAL),
            renew_after_expiry: options
                .renew_after_expiry
                .or(file.renew_after_expiry)
                .unwrap_or(DEFAULT_RENEW_AFTER_EXPIRY),
            anomalies: file.anomalies,
            webhooks: options.webhooks.over(
                file.webhook_allow_networks,
                file.webhook_allow_http,
                file.webhook_ca,
            ),
            offline: file.offline,
            retention: file.retention,
            metrics_token: options.metrics_token || file.metrics_token,
            log: options.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
            log_format: options.log_format.or(file.log_format).unwrap_or_default(),
        };
        if !(1..=MAX_CHECK_IN_INTERVAL).contains(&config.check_in_interval) {
            return Err(ConfigError::Value {
                key: "check_in_interval",
                problem: format!(
                    "{} is not between 1 second and a day ({MAX_CHECK_IN_INTERVAL})",
                    config.check_in_interval
                ),
            });
        }
        if config.renew_after_expiry > MAX_RENEW_AFTER_EXPIRY {
            let problem =
                format!("{} days are more than {MAX_RENEW_AFTER_EXPIRY}", config.renew_after_expiry);
            return Err(ConfigError::Value { key: "renew_after_expiry", problem });
        }
        config.anomaly_rules()?;
        for (key, problem) in [("offline", config.offline.fault()), ("retention", config.retention.fault())] {
            if let Some(problem) = problem {
                return Err(ConfigError::Value { key, problem });
            }
        }
        config.log.parse::<tracing_subscriber::filter::Targets>().map_err(|error| ConfigError::Value {
            key: "log",
            problem: format!("{:?} is not a log filter: {error}", config.log),
        })?;
        Ok(config)
    }

    /// [`Config::renew_after_expiry`] as a span.
    pub fn renew_after_expiry(&self) -> Duration {
        DAY * u32::try_from(self.renew_after_expiry).unwrap_or(u32::MAX)
    }

    /// Every name and address in the server's certificate.
    pub fn certificate_names(&self, host_name: &str) -> Vec<String> {
        let mut names =
            vec!["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()];
        if !self.listen.ip().is_unspecified() {
            names.push(self.listen.ip().to_string());
        }
        if check_name(host_name).is_ok() {
            names.push(host_name.to_owned());
        }
        names.extend(self.public_names.iter().cloned());
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    /// The URL under which clients reach a server that is bound to `bound`.
    pub fn public_url(&self, bound: SocketAddr) -> String {
        let port = bound.port();
        match (self.public_names.first(), bound.ip()) {
            (Some(name), _) if name.contains(':') => format!("https://[{name}]:{port}"),
            (Some(name), _) => format!("https://{name}:{port}"),
            (None, ip) if ip.is_unspecified() => format!("https://127.0.0.1:{port}"),
            (None, IpAddr::V6(ip)) => format!("https://[{ip}]:{port}"),
            (None, ip) => format!("https://{ip}:{port}"),
        }
    }
}

/// Refuses variables that look like ours and are not: a typing error there is as bad as in a file.
pub fn check_environment(names: impl Iterator<Item = String>) -> Result<(), ConfigError> {
    for name in names {
        if name.starts_with(ENV_PREFIX) && !ENV_KNOWN.contains(&name.as_str()) {
            return Err(ConfigError::Variable(name));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), ConfigError> {
    let is_host = !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        });
    if is_host || name.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(ConfigError::Value {
        key: "public_names",
        problem: format!("{name:?} is neither a host name nor an address (no scheme, no port)"),
    })
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
