//! How long a part still lives, from the recorded lives of others of its kind.
//!
//! For one series on its way to a limit there is [`approach`], and [`track`] to remember its course by.
//!
//! A limit on one sensor says little about a machine with twenty: it wears in all of them at once. Where a
//! cohort has histories that end in a failure, [`Cohort::learn`] fits what its sensors say together to the
//! life that was left, and [`Unit`] follows one part in constant space. How sure an answer is was measured,
//! not assumed: the bands are quantiles of the errors on parts that the fit had not seen, among those for
//! which it said about the same. [`follow`] makes readings of all sensors of those that come one by one, and [`saved`] keeps
//! it all.

pub mod approach;
mod bands;
mod features;
pub mod follow;
mod kept;
mod ridge;
pub mod saved;
pub mod track;

use self::{
    bands::Bands,
    features::{Condition, Scale},
    ridge::{Ridge, Sums},
};

/// Fewer lives than this say nothing about how sure an answer is.
pub const LEAST_LIVES: usize = 8;
/// The lives are dealt into so many groups; each is judged by a fit to the others.
const FOLDS: usize = 10;
/// Readings of a part before its remaining life is estimated.
const SETTLED: u32 = 10;
/// Moments further than this many horizons from the end are not learned from: there are many of them in a long
/// life, and they would have parts that look like new taken for further from their end than they are.
const FAR: f64 = 1.2;

/// No reading and no weight is larger: sums, squares and products of so large ones are still numbers.
pub(crate) const LARGEST: f64 = 1e30;

/// Whether a sensor can have said so; neither infinities nor what is none are.
pub(crate) fn is_number(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// Why nothing can be learned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LearnError {
    /// There are too few lives that are long enough to learn from.
    #[error("{have} recorded lives of more than {SETTLED} readings are too few; {LEAST_LIVES} are needed")]
    TooFew {
        /// That many.
        have: usize,
    },
    /// A reading has not the sensors of the first one, or none that is a number.
    #[error("reading {reading} of life {life} does not have a number for each of {sensors} sensors")]
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
    /// What the sensors say cannot be weighed.
    #[error("the readings cannot be weighed against each other: they are too large, or too unlike in size")]
    NoFit,
}

/// What was learned from a cohort.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohort {
    scale: Scale,
    fit: Ridge,
    bands: Bands,
    horizon: f64,
    lives: usize,
    measured: Measured,
}

/// How well lives were told by what the others taught, from ten readings to their end, those further away than the horizon
/// as if they were there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Root mean square error of P50, in readings.
    pub error: f64,
    /// Share of moments at which the end lay between P10 and P90: meant to be 0.8.
    pub coverage: f64,
}

/// What a sensor says of the wear.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shows {
    /// Which of the sensors of a reading, from 0.
    pub place: usize,
    /// What it says of a new part, on average.
    pub new: f64,
    /// It rises with the wear; else it falls.
    pub rises: bool,
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
        // A life that is over before anything is known of it teaches nothing.
        let have = lives.iter().filter(|life| life.len() > SETTLED as usize).count();
        if have < LEAST_LIVES {
            return Err(LearnError::TooFew { have });
        }
        check(lives)?;
        let scale = Scale::of(lives).ok_or(LearnError::NoSensor)?;
        let folds = FOLDS.min(lives.len());
        let mut sums = vec![Sums::default(); folds];
        for (number, life) in lives.iter().enumerate() {
            moments(life, &scale, horizon, |features, left| sums[number % folds].add(features, left, 1.0));
        }
        let without = |left_out: usize| {
            let mut others = Sums::default();
            sums.iter()
                .enumerate()
                .filter(|(fold, _)| *fold != left_out)
                .for_each(|(_, sum)| others.join(sum));
            others.fit()
        };
        let fits: Vec<Ridge> = (0..folds).map(without).collect();
        let mut answers = vec![Vec::new(); folds];
        for (number, life) in lives.iter().enumerate() {
            let fold = number % folds;
            moments(life, &scale, horizon, |features, left| {
                let answer = fits[fold].predict(features).clamp(0.0, horizon);
                answers[fold].push((answer, left - answer));
            });
        }
        let measured = Measured::of(&answers, horizon);
        let bands = Bands::of(answers.concat());
        let cohort = Cohort { fit: without(folds), bands, scale, horizon, lives: have, measured };
        if cohort.is_sound() { Ok(cohort) } else { Err(LearnError::NoFit) }
    }

    /// How many lives it knows.
    pub fn lives(&self) -> usize {
        self.lives
    }

    /// How far it looks ahead, in readings.
    pub fn horizon(&self) -> f64 {
        self.horizon
    }

    /// How well it told what it had not seen.
    pub fn measured(&self) -> Measured {
        self.measured
    }

    /// How many sensors a reading has.
    pub fn sensors(&self) -> usize {
        self.scale.sensors()
    }

    /// The sensors that show the wear, in the order of a reading.
    pub fn shows(&self) -> impl Iterator<Item = Shows> {
        self.scale.used.iter().map(|used| Shows { place: used.place, new: used.mean, rises: used.sign > 0.0 })
    }

    /// A new part.
    pub fn unit(&self) -> Unit {
        Unit { condition: Condition::new(self.sensors()) }
    }

    /// The band of an answer, within the horizon.
    fn remaining(&self, answer: f64) -> Option<Remaining> {
        remaining(&self.bands, answer, self.horizon)
    }
}

fn remaining(bands: &Bands, answer: f64, horizon: f64) -> Option<Remaining> {
    let band = bands.at(answer)?;
    let within = |error: f64| (answer + error).clamp(0.0, horizon);
    let high = within(band.high);
    let p90 = (high < horizon).then_some(high);
    Some(Remaining { p10: within(band.low), p50: within(band.middle), p90 })
}

impl Measured {
    /// From answers and their errors, of each group by what the others taught, its bands too.
    fn of(answers: &[Vec<(f64, f64)>], horizon: f64) -> Self {
        let (mut squares, mut within, mut count) = (0.0, 0.0, 0.0);
        for (fold, own) in answers.iter().enumerate() {
            let others = answers.iter().enumerate().filter(|(other, _)| *other != fold);
            let bands = Bands::of(others.flat_map(|(_, of_fold)| of_fold).copied().collect());
            for (answer, error) in own {
                let Some(told) = remaining(&bands, *answer, horizon) else { continue };
                let left = answer + error;
                squares += (told.p50 - left).powi(2);
                within += f64::from(told.p10 <= left && told.p90.is_none_or(|p90| left <= p90));
                count += 1.0;
            }
        }
        let count = f64::max(count, 1.0);
        Measured { error: f64::sqrt(squares / count), coverage: within / count }
    }
}

impl Unit {
    /// Takes in a reading of all sensors; one that is not of the cohort's form is ignored.
    pub fn step(&mut self, cohort: &Cohort, reading: &[f64]) {
        let is_whole = reading.len() == cohort.sensors() && reading.len() == self.condition.quick.len();
        if is_whole && reading.iter().all(|value| is_number(*value)) {
            self.condition.step(reading);
        }
    }

    /// How many readings it has taken in.
    pub fn readings(&self) -> u32 {
        self.condition.readings
    }

    /// The sensor that has moved furthest in the direction of wear, from 0.
    pub fn furthest(&self, cohort: &Cohort) -> Option<usize> {
        self.condition.furthest(&cohort.scale)
    }

    /// How long it still lives; none before it is known a little.
    pub fn remaining(&self, cohort: &Cohort) -> Option<Remaining> {
        if self.condition.readings < SETTLED {
            return None;
        }
        let answer = cohort.fit.predict(&self.condition.features(&cohort.scale)).clamp(0.0, cohort.horizon);
        cohort.remaining(answer)
    }
}

/// The moments of a life that are learned from: what is known at each, and what was left then.
fn moments(life: &[Vec<f64>], scale: &Scale, horizon: f64, mut each: impl FnMut(&[f64], f64)) {
    let mut condition = Condition::new(scale.sensors());
    for (number, reading) in life.iter().enumerate() {
        condition.step(reading);
        let left = (life.len() - 1 - number) as f64;
        if condition.readings > SETTLED && left <= FAR * horizon {
            each(&condition.features(scale), left.min(horizon));
        }
    }
}

fn check(lives: &[Vec<Vec<f64>>]) -> Result<(), LearnError> {
    let sensors = lives.first().and_then(|life| life.first()).map_or(0, Vec::len);
    for (life, readings) in lives.iter().enumerate() {
        let is_wrong = |row: &Vec<f64>| row.len() != sensors || !row.iter().all(|value| is_number(*value));
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
        let measured = cohort.measured();
        assert!((measured.error / error - 1.0).abs() < 0.2, "{measured:?}, and {error} on others");
        assert!((0.74..=0.86).contains(&measured.coverage), "{measured:?}");
        let shows: Vec<_> = cohort.shows().map(|shows| (shows.place, shows.rises)).collect();
        assert_eq!((cohort.sensors(), shows), (4, vec![(0, true), (1, false)]));
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
    fn goes_on_when_more_is_learned() {
        let (few, many) = (lives(12, 1), lives(40, 1));
        let [early, late] = [&few, &many].map(|lives| Cohort::learn(lives, HORIZON).unwrap());
        let (mut unit, mut other) = (early.unit(), late.unit());
        for (at, reading) in lives(1, 9)[0].iter().enumerate() {
            // What the cohort knows is no part of what is remembered of a unit.
            unit.step(if at < 50 { &early } else { &late }, reading);
            other.step(&late, reading);
        }
        assert_eq!(unit, other);
        assert!(unit.furthest(&late).is_some_and(|sensor| sensor < 2), "the others do not show it");
        assert!(unit.remaining(&late).unwrap().p50 < 10.0);
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
        assert_eq!(Cohort::learn(&vec![Vec::new(); 9], HORIZON), Err(LearnError::TooFew { have: 0 }));
        let mut huge = lives(9, 1);
        huge[3][7][1] = 1e31;
        assert_eq!(
            Cohort::learn(&huge, HORIZON),
            Err(LearnError::Malformed { life: 3, reading: 7, sensors: 4 })
        );
    }
}
