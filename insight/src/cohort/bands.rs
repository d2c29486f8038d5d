//! How wrong answers were, by what was answered.

/// Answers are told apart into so many kinds of equal number, each with a band of its own.
pub(super) const BINS: usize = 8;
/// The share of a band on either side that lies outside.
const OUTSIDE: f64 = 0.1;

/// Quantiles of errors, measured on what the answers were not learned from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bands(pub(super) Vec<Band>);

/// The errors of answers around `at`: truth less answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Band {
    pub(super) at: f64,
    /// One in ten is below.
    pub(super) low: f64,
    /// Half are below.
    pub(super) middle: f64,
    /// One in ten is above.
    pub(super) high: f64,
}

impl Bands {
    /// From answers and their errors.
    pub(super) fn of(mut answers: Vec<(f64, f64)>) -> Self {
        answers.sort_by(|a, b| a.0.total_cmp(&b.0));
        let size = answers.len().div_ceil(BINS).max(1);
        let band = |chunk: &[(f64, f64)]| {
            let mut errors: Vec<f64> = chunk.iter().map(|answer| answer.1).collect();
            errors.sort_by(f64::total_cmp);
            let at = chunk.iter().map(|answer| answer.0).sum::<f64>() / chunk.len() as f64;
            let part = |share| quantile(&errors, share);
            Band { at, low: part(OUTSIDE), middle: part(0.5), high: part(1.0 - OUTSIDE) }
        };
        Bands(answers.chunks(size).map(band).collect())
    }

    /// The band of an answer: between those of the nearest kinds. None when nothing is known.
    pub(super) fn at(&self, answer: f64) -> Option<Band> {
        let next = self.0.partition_point(|band| band.at <= answer);
        let below = next.checked_sub(1).and_then(|last| self.0.get(last));
        let (Some(below), Some(above)) = (below, self.0.get(next)) else {
            return below.or(self.0.get(next)).copied();
        };
        let share = (answer - below.at) / (above.at - below.at);
        let between = |low: f64, high: f64| low + share * (high - low);
        Some(Band {
            at: answer,
            low: between(below.low, above.low),
            middle: between(below.middle, above.middle),
            high: between(below.high, above.high),
        })
    }
}

/// Of sorted numbers.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (share * (sorted.len().saturating_sub(1)) as f64).round() as usize;
    sorted.get(place).copied().unwrap_or(0.0)
}
