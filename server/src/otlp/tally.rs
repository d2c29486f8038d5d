//! What was not taken, and why, for the answer.

use std::collections::BTreeMap;

/// Different reasons that an answer tells; the rest is counted together.
const REASONS: usize = 8;

/// What is wrong with a data point, in a word: for who looks at the server and not at the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Of no device that the sender may speak for.
    Device,
    /// The owner of the device did not allow its class.
    Consent,
    /// A name, unit, component, class or quantile that cannot be kept.
    Metric,
    /// No time, or one that cannot be.
    Time,
    /// No value, or one that is not finite.
    Value,
}

impl Fault {
    /// As it is counted and logged.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::Device => "device",
            Fault::Consent => "consent",
            Fault::Metric => "metric",
            Fault::Time => "time",
            Fault::Value => "value",
        }
    }
}

/// Why a data point is rejected: in a word, and to complete "3 data points rejected: …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why(pub Fault, pub String);

impl From<String> for Why {
    fn from(why: String) -> Self {
        Why(Fault::Metric, why)
    }
}

/// Data points that were rejected, by reason, and what else the sender should know.
#[derive(Debug, Default)]
pub struct Tally {
    faults: BTreeMap<Fault, usize>,
    rejected: BTreeMap<String, usize>,
    more: usize,
    histograms: usize,
}

impl Tally {
    /// Counts `points` as rejected.
    pub fn reject(&mut self, points: usize, why: impl Into<Why>) {
        if points == 0 {
            return;
        }
        let Why(fault, why) = why.into();
        *self.faults.entry(fault).or_default() += points;
        if self.rejected.len() >= REASONS && !self.rejected.contains_key(&why) {
            self.more += points;
            return;
        }
        *self.rejected.entry(why).or_default() += points;
    }

    /// Counts a histogram whose buckets were left out.
    pub(super) fn left_out_buckets(&mut self) {
        self.histograms += 1;
    }

    /// How many data points were rejected.
    pub fn rejected(&self) -> usize {
        self.faults.values().sum()
    }

    /// How many were rejected for which fault.
    pub fn faults(&self) -> impl Iterator<Item = (Fault, usize)> {
        self.faults.iter().map(|(fault, points)| (*fault, *points))
    }

    /// In words; empty when everything was taken as it came.
    pub fn message(&self) -> String {
        let mut parts: Vec<String> =
            self.rejected.iter().map(|(why, points)| format!("{} {why}", counted(*points))).collect();
        if self.more > 0 {
            parts.push(format!("{} for further reasons", counted(self.more)));
        }
        if self.histograms > 0 {
            parts.push(format!(
                "of {} only count, sum, minimum and maximum are kept, not the buckets",
                if self.histograms == 1 {
                    "1 histogram".to_owned()
                } else {
                    format!("{} histograms", self.histograms)
                }
            ));
        }
        parts.join("; ")
    }
}

fn counted(points: usize) -> String {
    if points == 1 { "1 data point rejected:".to_owned() } else { format!("{points} data points rejected:") }
}
