//! What a living alert says of a device, in the few words that a rollout may select by.

use std::{fmt, sync::Arc};

use super::alert::{Kind, Severity};

/// One living alert of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What it is about.
    pub kind: Kind,
    /// How urgent.
    pub severity: Severity,
    /// What is going wrong, in a word; empty when not known.
    pub failure_mode: Arc<str>,
    /// Part of the device.
    pub component: Arc<str>,
}

impl Condition {
    /// Whether one of its words for the field passes the test; none for a field that it has not.
    /// `alerts.kind` is both the kind and the failure mode, for rollouts that were made when it took either.
    pub fn any(&self, field: &str, test: &dyn Fn(&str) -> bool) -> bool {
        match field {
            "alerts.kind" => {
                test(self.kind.as_str()) || (!self.failure_mode.is_empty() && test(&self.failure_mode))
            }
            "alerts.failure_mode" => !self.failure_mode.is_empty() && test(&self.failure_mode),
            "alerts.severity" => test(self.severity.as_str()),
            "alerts.component" => !self.component.is_empty() && test(&self.component),
            _ => false,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.failure_mode.is_empty() { self.kind.as_str() } else { &self.failure_mode };
        write!(f, "{what} ({})", self.severity.as_str())?;
        if self.component.is_empty() { Ok(()) } else { write!(f, " of {}", self.component) }
    }
}
