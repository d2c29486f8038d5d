//! What a living alert says of a device, in the few words that a rollout may select by.

use std::{fmt, sync::Arc};

use super::alert::{Health, Kind, Severity};

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

/// One living alert of a device, with what is shown of it beside the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Living {
    /// What it says.
    pub condition: Condition,
    /// NE 107.
    pub health: Health,
    /// Nobody is woken by it.
    pub is_suppressed: bool,
}

/// What the living alerts of a device come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gravest {
    /// Of the gravest.
    pub severity: Severity,
    /// Of the same one.
    pub health: Health,
    /// Nobody is woken by one as grave.
    pub is_suppressed: bool,
    /// How many there are.
    pub count: usize,
}

impl Gravest {
    /// None when nothing is wrong. Of two as grave, the one that wakes somebody counts, then the worse health.
    pub fn of(living: &[Living]) -> Option<Self> {
        let rank =
            |one: &&Living| (one.condition.severity, !one.is_suppressed, std::cmp::Reverse(one.health));
        let gravest = living.iter().max_by_key(rank)?;
        Some(Gravest {
            severity: gravest.condition.severity,
            health: gravest.health,
            is_suppressed: gravest.is_suppressed,
            count: living.len(),
        })
    }
}

/// Living alerts of one sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertCount {
    /// How urgent.
    pub severity: Severity,
    /// Whether nobody is woken by them.
    pub is_suppressed: bool,
    /// How many.
    pub count: i64,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.failure_mode.is_empty() { self.kind.as_str() } else { &self.failure_mode };
        write!(f, "{what} ({})", self.severity.as_str())?;
        if self.component.is_empty() { Ok(()) } else { write!(f, " of {}", self.component) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_of_several() {
        let living = |severity, health, is_suppressed| Living {
            condition: Condition {
                kind: Kind::Anomaly,
                severity,
                failure_mode: "".into(),
                component: "".into(),
            },
            health,
            is_suppressed,
        };
        assert_eq!(Gravest::of(&[]), None);
        let all = [
            living(Severity::Info, Health::CheckFunction, false),
            living(Severity::Warning, Health::OutOfSpecification, true),
            living(Severity::Warning, Health::MaintenanceRequired, false),
            living(Severity::Warning, Health::OutOfSpecification, false),
        ];
        let found = Gravest::of(&all).unwrap();
        assert_eq!(
            (found.severity, found.health, found.is_suppressed, found.count),
            (Severity::Warning, Health::OutOfSpecification, false, 4)
        );
        assert!(Gravest::of(&all[..2]).unwrap().is_suppressed);
    }
}
