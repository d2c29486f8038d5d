//! What was not taken, and why, for the answer.

use std::collections::BTreeMap;

/// Different reasons that an answer tells; the rest is counted together.
const REASONS: usize = 8;

/// Data points that were rejected, by reason, and what else the sender should know.
#[derive(Debug, Default)]
pub struct Tally {
    rejected: BTreeMap<String, usize>,
    more: usize,
    histograms: usize,
}

impl Tally {
    /// Counts `points` as rejected; `why` completes "3 data points …".
    pub fn reject(&mut self, points: usize, why: impl Into<String>) {
        if points == 0 {
            return;
        }
        let why = why.into();
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
        self.rejected.values().sum::<usize>() + self.more
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
