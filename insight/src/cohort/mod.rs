//! How long a part still lives, from the recorded lives of others of its kind.
//!
//! For one series on its way to a limit there is [`approach`], and [`track`] to remember its course by.
//!
//! A limit on one sensor says little about a machine with twenty: it wears in all of them at once. Where a
//! cohort has histories that end in a failure, [`Cohort::learn`] fits what its sensors say together to the
//! life that was left, and [`Unit`] follows one part in constant space. How sure an answer is was measured,
//! not assumed: the bands are quantiles of the errors on parts that the fit had not seen, among those for
//! which it said about the same.

pub mod approach;
mod bands;
mod features;
mod ridge;
pub mod saved;
pub mod track;

use self::{
    bands::Bands,
    features::{Condition, Scale},
    ridge::Ridge,
};

/// Fewer lives than this say nothing about how sure an answer is.
pub const LEAST_LIVES: usize = 8;
/// The lives are dealt into so many groups; each is judged by a fit to the others.
const FOLDS: usize = 10;
/// Readings of a part before its remaining life is estimated.
const SETTLED: usize = 10;
/// Moments further than this many horizons from the end are not learned from: there are many of them in a long
/// life, and they would have parts that look like new taken for further from their end than they are.
const FAR: f64 = 1.2;

/// Why nothing can be learned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LearnError {
    /// There are too few lives.
    #[error("{have} recorded lives are too few; {LEAST_LIVES} are needed")]
    TooFew {
        /// That many.
        have: usize,
    },
    /// A reading has not the sensors of the first one, or none that is a number.
    #[error("reading {reading} of life {life} does not have a finite value for each of {sensors} sensors")]
    Malformed {
        /// From 0.
        life: usize,
        /// From 0.
        reading: usize,
        /// As many as the first reading has.
        sensors: usize,
    },
    /// No sensor changes towards the end.
    #[error("no sensor shows the wear: none differs at the end of a life from what it was at the beginning")]
    NoSensor,
}

/// What was learned from a cohort.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohort {
    scale: Scale,
    fit: Ridge,
    bands: Bands,
    horizon: f64,
    lives: usize,
}

/// How long a part still lives, in readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Remaining {
    /// One in ten ends before.
    pub p10: f64,
    /// The estimate.
    pub p50: f64,
    /// Nine in ten end before; none when that is beyond the horizon.
    pub p90: Option<f64>,
}

/// One part under observation: constant size for a number of sensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    condition: Condition,
}

impl Cohort {
    /// Learns from lives that ended in a failure: the readings of each from new to the last one, a value for
    /// every sensor. Beyond `horizon` readings before the end parts are taken to be as good as new: what is
    /// left of such a life nobody can see.
    ///
    /// # Errors
    /// [`LearnError`].
    pub fn learn(lives: &[Vec<Vec<f64>>], horizon: f64) -> Result<Self, LearnError> {
        if lives.len() < LEAST_LIVES {
            return Err(LearnError::TooFew { have: lives.len() });
        }
        check(lives)?;
        let scale = Scale::of(lives).ok_or(LearnError::NoSensor)?;
        let samples: Vec<Vec<Sample>> = lives.iter().map(|life| samples(life, &scale, horizon)).collect();
        let mut answers = Vec::new();
        for fold in 0..FOLDS.min(lives.len()) {
            let is_of_fold = |(number, _): &(usize, &Vec<Sample>)| number % FOLDS == fold;
            let others =
                samples.iter().enumerate().filter(|life| !is_of_fold(life)).flat_map(|(_, life)| life);
            let fit = Ridge::fit(others.map(|sample| (sample.features.as_slice(), sample.left)));
            for sample in samples.iter().enumerate().filter(is_of_fold).flat_map(|(_, life)| life) {
                let answer = fit.predict(&sample.features).clamp(0.0, horizon);
                answers.push((answer, sample.left - answer));
            }
        }
        let all = samples.iter().flatten().map(|sample| (sample.features.as_slice(), sample.left));
        Ok(Cohort { fit: Ridge::fit(all), bands: Bands::of(answers), scale, horizon, lives: lives.len() })
    }

    /// How many lives it knows.
    pub fn lives(&self) -> usize {
        self.lives
    }

    /// A new part.
    pub fn unit(&self) -> Unit {
        Unit { condition: Condition::new(&self.scale) }
    }
}

impl Unit {
    /// Takes in a reading of all sensors; one that is not of the cohort's form is ignored.
    pub fn step(&mut self, cohort: &Cohort, reading: &[f64]) {
        if reading.len() == cohort.scale.sensors() && reading.iter().all(|value| value.is_finite()) {
            self.condition.step(&cohort.scale, reading);
        }
    }

    /// How long it still lives; none before it is known a little.
    pub fn remaining(&self, cohort: &Cohort) -> Option<Remaining> {
        if self.condition.readings() < SETTLED {
            return None;
        }
        let answer = cohort.fit.predict(&self.condition.features(&cohort.scale)).clamp(0.0, cohort.horizon);
        let band = cohort.bands.at(answer)?;
        let within = |error: f64| (answer + error).clamp(0.0, cohort.horizon);
        let high = within(band.high);
        Some(Remaining {
            p10: within(band.low),
            p50: within(band.middle),
            p90: (high < cohort.horizon).then_some(high),
        })
    }
}

/// A moment of a life and what was left of it.
struct Sample {
    features: Vec<f64>,
    left: f64,
}

fn samples(life: &[Vec<f64>], scale: &Scale, horizon: f64) -> Vec<Sample> {
    let mut condition = Condition::new(scale);
    let mut samples = Vec::with_capacity(life.len());
    for (number, reading) in life.iter().enumerate() {
        condition.step(scale, reading);
        let left = (life.len() - 1 - number) as f64;
        if number >= SETTLED && left <= FAR * horizon {
            let left = left.min(horizon);
            samples.push(Sample { features: condition.features(scale), left });
        }
    }
    samples
}

fn check(lives: &[Vec<Vec<f64>>]) -> Result<(), LearnError> {
    let sensors = lives.first().and_then(|life| life.first()).map_or(0, Vec::len);
    for (life, readings) in lives.iter().enumerate() {
        let is_wrong = |row: &Vec<f64>| row.len() != sensors || row.iter().any(|value| !value.is_finite());
        if let Some(reading) = readings.iter().position(is_wrong) {
            return Err(LearnError::Malformed { life, reading, sensors });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    const HORIZON: f64 = 100.0;

    /// A machine that wears faster and faster: two sensors show it, one rising and one falling, one does not,
    /// and one never moves.
    fn life(noise: &mut Noise) -> Vec<Vec<f64>> {
        let length = 150 + (60.0 * noise.unit()) as usize;
        let offset = 0.2 * noise.normal();
        (0..length)
            .map(|at| {
                let wear = ((at as f64 - length as f64) / 30.0).exp();
                let [a, b, c] = [noise.normal(), noise.normal(), noise.normal()];
                vec![600.0 + offset + 5.0 * wear + 0.5 * a, 40.0 - 3.0 * wear + 0.3 * b, c, 7.0]
            })
            .collect()
    }

    fn lives(count: usize, seed: u64) -> Vec<Vec<Vec<f64>>> {
        let mut noise = Noise::new(seed);
        (0..count).map(|_| life(&mut noise)).collect()
    }

    #[test]
    fn tells_how_long_parts_live_that_it_has_not_seen_and_how_sure_that_is() {
        let cohort = Cohort::learn(&lives(60, 1), HORIZON).unwrap();
        assert_eq!(cohort.lives(), 60);
        let (mut squares, mut within, mut count) = (0.0, 0.0, 0.0);
        for life in lives(60, 2) {
            let mut unit = cohort.unit();
            for (at, reading) in life.iter().enumerate() {
                unit.step(&cohort, reading);
                let left = (life.len() - 1 - at) as f64;
                if left > 80.0 {
                    continue;
                }
                let remaining = unit.remaining(&cohort).unwrap();
                squares += (remaining.p50 - left).powi(2);
                within += f64::from(remaining.p10 <= left && remaining.p90.is_none_or(|p90| left <= p90));
                count += 1.0;
            }
        }
        let (error, coverage) = ((squares / count).sqrt(), within / count);
        assert!(error < 12.0, "{error}");
        assert!((0.74..=0.86).contains(&coverage), "{coverage}");
    }

    #[test]
    fn readings_that_are_none_are_passed_over() {
        let cohort = Cohort::learn(&lives(20, 1), HORIZON).unwrap();
        let (mut with, mut without) = (cohort.unit(), cohort.unit());
        assert_eq!(with.remaining(&cohort), None, "nothing is known of it yet");
        for reading in &lives(1, 9)[0] {
            with.step(&cohort, reading);
            with.step(&cohort, &reading[1..]);
            with.step(&cohort, &[f64::NAN, 1.0, 1.0, 7.0]);
            without.step(&cohort, reading);
        }
        assert_eq!(with.remaining(&cohort), without.remaining(&cohort));
    }

    #[test]
    fn says_why_it_cannot_learn() {
        let mut few = lives(7, 1);
        assert_eq!(Cohort::learn(&few, HORIZON), Err(LearnError::TooFew { have: 7 }));
        few.extend(lives(3, 2));
        few[8][5] = vec![1.0, f64::NAN, 0.0, 7.0];
        let malformed = LearnError::Malformed { life: 8, reading: 5, sensors: 4 };
        assert_eq!(Cohort::learn(&few, HORIZON), Err(malformed));
        let still = vec![vec![vec![1.0, 2.0]; 50]; 10];
        assert_eq!(Cohort::learn(&still, HORIZON), Err(LearnError::NoSensor));
        assert!(Cohort::learn(&vec![Vec::new(); 9], HORIZON).is_err());
    }
}
