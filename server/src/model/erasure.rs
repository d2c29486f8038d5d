//! What is to be erased of a device, and which of its series that concerns.

use std::collections::BTreeSet;

use super::{device::DataClass, dictionary};

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Of which device.
    pub device_id: String,
    /// Which class; none: everything.
    pub class: Option<DataClass>,
}

/// Of which class the series of a device are, by what is kept of their readings.
///
/// What was concluded of a series does not say of which class its readings were, and may outlive them. So it is
/// erased with a class unless it is known to be of others alone.
#[derive(Clone, Debug)]
pub struct Attribution {
    class: DataClass,
    /// Component and metric of readings of the class.
    own: BTreeSet<(String, String)>,
    others: BTreeSet<(String, String)>,
    other_metrics: BTreeSet<String>,
}

impl Attribution {
    /// Nothing is known yet.
    pub fn new(class: DataClass) -> Self {
        Attribution { class, own: BTreeSet::new(), others: BTreeSet::new(), other_metrics: BTreeSet::new() }
    }

    /// There is a reading of a series, of this class.
    pub fn note(&mut self, component: &str, metric: &str, class: DataClass) {
        let series = (component.to_owned(), metric.to_owned());
        if class == self.class {
            self.own.insert(series);
        } else {
            self.others.insert(series);
            self.other_metrics.insert(metric.to_owned());
        }
    }

    /// Whether what was concluded of a series is erased.
    pub fn is_erased(&self, component: &str, metric: &str) -> bool {
        let series = (component.to_owned(), metric.to_owned());
        if self.own.contains(&series) {
            return true;
        }
        let is_known = || dictionary::find(metric).is_some_and(|entry| entry.class != self.class);
        !(self.others.contains(&series) || self.other_metrics.contains(metric) || is_known())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_of_the_class_goes_and_what_is_of_others_stays() {
        let mut known = Attribution::new(DataClass::Location);
        known.note("gps", "position.latitude", DataClass::Location);
        known.note("door", "door.opened", DataClass::Usage);
        // Once told as one, once as the other.
        known.note("gps", "gps.fix", DataClass::Diagnostic);
        known.note("gps", "gps.fix", DataClass::Location);
        for (component, metric, erased) in [
            ("gps", "position.latitude", true),
            ("gps", "gps.fix", true),
            ("door", "door.opened", false),
            // No reading is left of another door, nor of a disk that our dictionary knows.
            ("door-2", "door.opened", false),
            ("sda", "slipway.smart.pending_sectors", false),
            ("gps", "position.longitude", true),
        ] {
            assert_eq!(known.is_erased(component, metric), erased, "{component} {metric}");
        }
    }
}
