//! Which anomalies are told: all, but for what an operator switched off.

use serde::{Deserialize, Serialize};

use super::{facts::Facts, glob, selector::Selector};

/// More are a sign that one asks for the wrong thing: each is tried for every series that reports.
const MAX_RULES: usize = 100;

/// One rule, as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnomalyRule {
    /// Metrics: a name, in which `*` stands for any characters.
    #[serde(default = "any")]
    pub metric: String,
    /// Devices; empty for all.
    #[serde(default)]
    pub selector: String,
    /// Whether anomalies of these are told.
    pub alerts: bool,
}

fn any() -> String {
    "*".to_owned()
}

/// The rules, read.
#[derive(Clone, Debug, Default)]
pub struct AnomalyRules(Vec<(String, Selector, bool)>);

impl AnomalyRules {
    /// Reads the rules; else says which one is wrong, and how.
    pub fn read(rules: &[AnomalyRule]) -> Result<Self, String> {
        if rules.len() > MAX_RULES {
            return Err(format!("{} rules are more than {MAX_RULES}", rules.len()));
        }
        let read = rules.iter().enumerate().map(|(index, rule)| {
            let selector = Selector::parse(&rule.selector).map_err(|refusal| {
                format!("the selector of rule {} is wrong: {}", index + 1, refusal.message)
            })?;
            Ok((rule.metric.clone(), selector, rule.alerts))
        });
        read.collect::<Result<_, _>>().map(AnomalyRules)
    }

    /// Whether anomalies of this metric of the device are told: the first rule that is about it says so.
    pub fn tell(&self, device: &Facts, metric: &str) -> bool {
        let about = |(pattern, selector, _): &&(String, Selector, bool)| {
            glob::matches(pattern, metric) && selector.matches(device)
        };
        self.0.iter().find(about).is_none_or(|(_, _, alerts)| *alerts)
    }
}
