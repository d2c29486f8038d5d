//! Which anomalies open an alert, as the configuration says.

use super::{Config, ConfigError};
use crate::model::anomaly_rules::AnomalyRules;

impl Config {
    /// [`Config::anomalies`], read.
    pub fn anomaly_rules(&self) -> Result<AnomalyRules, ConfigError> {
        AnomalyRules::read(&self.anomalies)
            .map_err(|problem| ConfigError::Value { key: "anomalies", problem })
    }
}
