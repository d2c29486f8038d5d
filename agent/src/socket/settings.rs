//! The table `[metrics]` of `agent.toml`.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};
use slipway_proto::v1::DataClass;

use super::table::plain;

/// Series that a device may have are a thousand; the machine's own are a good hundred.
const MOST_SERIES: usize = 500;
/// What a page of text holds.
const MOST_CLASSES: usize = 64;
/// Both of each, and some to spare.
const MOST_SOCKETS: usize = 4;

/// Where programs of the device tell their metrics, and what becomes of them. Nowhere, unless somebody says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Sockets for StatsD: paths, or addresses of the loopback interface.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statsd: Vec<String>,
    /// Sockets for OTLP over HTTP: the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub otlp: Vec<String>,
    /// The component of what does not say it.
    pub component: String,
    /// How many series are kept at most; others are refused.
    pub series: usize,
    /// Class of data by the beginning of a metric's name; the longest that fits counts. Others are `usage`.
    pub classes: BTreeMap<String, Class>,
}

/// What consent a metric needs. Nothing that a program says is essential: that leaves without the owner's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// How the machine is.
    Diagnostic,
    /// How it is used.
    Usage,
    /// Where it is.
    Location,
}

impl From<Class> for DataClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Diagnostic => Self::Diagnostic,
            Class::Usage => Self::Usage,
            Class::Location => Self::Location,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            statsd: Vec::new(),
            otlp: Vec::new(),
            component: "app".to_owned(),
            series: 200,
            classes: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Nobody is listened to.
    pub fn is_off(&self) -> bool {
        self.statsd.is_empty() && self.otlp.is_empty()
    }

    /// As if the table were not there.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Looks at the values.
    ///
    /// # Errors
    /// What is wrong, with the key.
    pub fn check(&self) -> Result<(), String> {
        for (key, addresses) in [("statsd", &self.statsd), ("otlp", &self.otlp)] {
            if addresses.len() > MOST_SOCKETS {
                return Err(format!(
                    "metrics.{key} has {} sockets; at most {MOST_SOCKETS} are opened",
                    addresses.len()
                ));
            }
            for address in addresses {
                let is_loopback =
                    address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
                if !address.starts_with('/') && !is_loopback {
                    return Err(format!(
                        "metrics.{key} is {address:?}; it has to be an absolute path, or an address of the loopback \
                         interface with a port, like \"127.0.0.1:8125\""
                    ));
                }
            }
        }
        if !(1..=MOST_SERIES).contains(&self.series) {
            return Err(format!("metrics.series is {}; it has to be 1 to {MOST_SERIES}", self.series));
        }
        if !super::table::is_component(&self.component) {
            return Err(format!(
                "metrics.component is {:?}; it has to be 1 to 63 of a-z, 0-9, '-', '_', '.' and '/', and not system",
                self.component
            ));
        }
        if self.classes.len() > MOST_CLASSES {
            return Err(format!(
                "metrics.classes has {} entries; at most {MOST_CLASSES} are read",
                self.classes.len()
            ));
        }
        Ok(())
    }

    /// The class of a metric, by its name as it is told. Prefixes are spelled as names are; of two that come to the same
    /// the one counts that more people keep to themselves.
    pub(crate) fn class(&self, metric: &str) -> DataClass {
        let fits = self.classes.iter().filter(|(prefix, _)| metric.starts_with(&plain(prefix)));
        fits.map(|(prefix, class)| (prefix.len(), DataClass::from(*class)))
            .max()
            .map_or(DataClass::Usage, |(_, class)| class)
    }
}
