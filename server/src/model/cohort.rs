//! Which parts can be compared: what one teaches holds for the others.

use std::time::Duration;

use super::{limit::Limit, time::DAY};

/// What cohorts teach is kept only where so many devices taught it: less would tell something of each of them.
pub const LEAST_DEVICES: usize = 10;
/// Lives that a cohort learns from, the newest: parts and what they are used for change over the years.
pub const MAX_LIVES: usize = 256;
/// Of one device at most so many of them, its newest: a device says what it likes of itself.
pub const LIVES_TAUGHT: usize = 4;
/// Lives of one device that are kept in a cohort, the newest.
pub const LIVES_IN_COHORT: usize = 8;
/// And in all cohorts: a device that changes its unit with each life makes no cohorts without end.
pub const LIVES_OF_DEVICE: usize = 32;
/// A cohort of one device that gained no life for so long is forgotten. Parts that last for years come one by one.
pub const LONELY: Duration = DAY.saturating_mul(365);
/// A course with fewer samples than this is no life: there is nothing to learn between its beginning and its end.
pub const LEAST_SAMPLES: usize = 20;
/// Courses that are kept of one device; series beyond are forecast by their line alone.
pub const MAX_TRACKS: usize = 64;

/// Parts that wear towards the same limit, on devices of one product and one hardware model.
///
/// What else makes devices alike is for the selector of the limit to say: each limit has cohorts of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cohort {
    /// The limit.
    pub limit_id: String,
    /// What it says: a limit that says something else later has another cohort ([`Limit::aim`]).
    pub aim: String,
    /// UCUM unit of the readings.
    pub unit: String,
    /// Product of the devices.
    pub product: String,
    /// Their hardware model.
    pub hardware: String,
}

impl Cohort {
    /// Of a series in this unit, under the limit, on such a device.
    pub fn of(limit: &Limit, unit: &str, product: &str, hardware: &str) -> Self {
        Cohort {
            limit_id: limit.id.clone(),
            aim: limit.aim(),
            unit: unit.to_owned(),
            product: product.to_owned(),
            hardware: hardware.to_owned(),
        }
    }

    /// Whether the limit still asks what the cohort answers.
    pub fn is_under(&self, limit: &Limit) -> bool {
        self.limit_id == limit.id && self.aim == limit.aim() && limit.takes_unit(&self.unit)
    }
}

/// How many lives of each device a cohort learns from, given how many lives each has: as many as make none of them more
/// than a tenth of all. None when they are too few devices to learn from.
pub fn lives_each(of_devices: &[usize]) -> Option<usize> {
    let all = |each: usize| of_devices.iter().map(|lives| *lives.min(&each)).sum::<usize>();
    (1..=LIVES_TAUGHT).rev().find(|each| all(*each) >= LEAST_DEVICES * each)
}

#[cfg(test)]
mod tests {
    use slipway_insight::Side;

    use super::*;
    use crate::model::limit::tests::filter_limit;

    #[test]
    fn no_device_is_more_than_a_tenth() {
        assert_eq!(lives_each(&[]), None);
        assert_eq!(lives_each(&[200; 9]), None);
        assert_eq!(lives_each(&[1; 10]), Some(1));
        assert_eq!(lives_each(&[200; 10]), Some(4));
        assert_eq!(lives_each(&[2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 200]), Some(2));
        assert_eq!(lives_each(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 200]), Some(1));
        assert_eq!(lives_each(&[1; 40]), Some(4));
    }

    #[test]
    fn a_limit_that_says_something_else_has_another_cohort() {
        let limit = filter_limit();
        let cohort = Cohort::of(&limit, "Pa", "pump", "gw-a");
        assert_eq!(cohort.aim, "filter.pressure_drop above 250");
        assert!(cohort.is_under(&limit));
        assert!(cohort.is_under(&Limit { part: "sieve".to_owned(), ..limit.clone() }));
        for other in [
            Limit { value: 250.1, ..limit.clone() },
            Limit { side: Side::Below, ..limit.clone() },
            Limit { metric: "other".to_owned(), ..limit.clone() },
            Limit { id: "other".to_owned(), ..limit.clone() },
            Limit { unit: "bar".to_owned(), ..limit },
        ] {
            assert!(!cohort.is_under(&other), "{other:?}");
        }
    }
}
