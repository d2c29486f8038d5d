//! How unusual a reading is for its own series, without a limit that anybody set.
//!
//! Four views of the series give four distances that are hardly ever large: from the last readings, of the
//! short from the long level, from what is usual at this time of day, and the same sustained. Each has a
//! streaming estimate of its own tail, and a distance becomes a *surprise*: how many decades rarer than usual
//! it is. The weighted sum of the surprises is judged once more by its own tail, so that a series that is
//! often surprising has to be more so. An anomaly is told once, and again when it is clearly worse.
//!
//! Rates are by reading, not by time: they suit readings every few minutes.

use crate::{fence::Level, narrow};

/// The views, in the order of [`Anomaly::views`].
pub const VIEWS: [&str; 4] =
    ["jump", "level shift", "unusual for the time of day", "unusual for the time of day, and for long"];
/// A jump is weaker evidence than something that lasts.
const WEIGHTS: [f32; 4] = [0.5, 1.0, 0.5, 1.0];

/// Slowest rate of the long level and of the mean deviation from it: 5,000 readings, weeks.
const LONG: f64 = 0.0002;
/// Slowest rate of the short levels: 20 readings.
const SHORT: f64 = 0.05;
/// Slowest rate of what is usual at a time of day: 20 days of it.
const DAILY: f32 = 0.05;
/// Hours are told apart.
const HOURS: usize = 24;
/// A time of day is known from this many readings.
const KNOWN: u8 = 2;
/// A distance below this share of the mean deviation says nothing.
const FLOOR: f64 = 0.1;
/// Readings before anything is told.
const WARM: u16 = 60;
/// Readings before tails are learned.
const FIRST: u16 = 6;

/// Least score that is told.
const LEAST: f32 = 0.5;
/// An anomaly that goes on is told again when its score is this many times the highest told …
const ESCALATES: f32 = 1.2;
/// … which is forgotten after so many readings without another, at this rate.
const PATIENCE: u8 = 75;
const FORGETS: f32 = 0.9;

/// A score from which on somebody should be told: on recordings of servers, machines and traffic, most with a
/// reading every five minutes, a series gets there once in twenty days.
pub const ALERT: f32 = 6.6;

/// The tail of a positive quantity: a quantile that is passed seldom, and how far beyond it the quantity then
/// goes (the mean logarithmic excess, after Hill). Under that Pareto tail a value has a probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tail {
    pub(crate) quantile: f32,
    pub(crate) mean: f32,
    pub(crate) excess: f32,
}

/// What is assumed of a tail.
struct Shape {
    /// Slowest rate of learning.
    rate: f32,
    /// How often the quantile is passed.
    passed: f32,
    /// Most decades that one value is worth.
    most: f32,
}

/// Of the views' distances.
const DISTANCE: Shape = Shape { rate: 0.003, passed: 0.05, most: 9.0 };
/// Of the sum of their surprises.
const SURPRISE: Shape = Shape { rate: 0.001, passed: 0.02, most: 12.0 };
/// Least mean logarithmic excess: lighter tails than that are not believed.
const LEAST_EXCESS: f32 = 0.1;
/// Values before there is a tail.
const TAIL_FROM: u16 = 20;
/// One value moves the tail by no more than one that is this many times the quantile.
const BOUNDED: f32 = 10.0;

impl Default for Tail {
    fn default() -> Self {
        Tail { quantile: 0.0, mean: 0.0, excess: 0.3 }
    }
}

impl Tail {
    /// How rare `value` (> 0) is, in decades, by the `seen` values before it; then it is learned.
    fn step(&mut self, value: f32, seen: u16, shape: &Shape) -> f32 {
        let is_known = seen > TAIL_FROM && self.quantile > 0.0;
        let usual = -shape.passed.log10();
        let decades = match value / self.quantile {
            _ if !is_known => 0.0,
            times if times > 1.0 => {
                usual + times.ln() / self.excess.max(LEAST_EXCESS) * std::f32::consts::LOG10_E
            }
            times => usual * times,
        };
        let bounded = if is_known { value.min(BOUNDED * self.quantile) } else { value };
        let count = f32::from(seen) + 1.0;
        let rate = shape.rate.max(1.0 / count);
        self.mean += rate * (bounded - self.mean);
        let step = rate * 2.0 * self.mean;
        let moved = if value > self.quantile { step * (1.0 - shape.passed) } else { -step * shape.passed };
        self.quantile = (self.quantile + moved).max(1e-12);
        if bounded > self.quantile {
            let rate = (0.5 * shape.rate / shape.passed).max(1.0 / (count * shape.passed + 2.0)).min(0.2);
            self.excess += rate * ((bounded / self.quantile).ln() - self.excess);
        }
        decades.min(shape.most)
    }
}

/// What is remembered of one series: constant size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detector {
    /// The long level, and the short one: it answers for the last readings, and is compared with the long.
    pub(crate) long: f64,
    pub(crate) short: f64,
    /// Mean deviation from the long level.
    pub(crate) deviation: f32,
    /// Deviation from what is usual at this time of day, as short as the short level.
    pub(crate) sustained: f32,
    /// Deviation from the long level that is usual in an hour of the day.
    pub(crate) hours: [f32; HOURS],
    pub(crate) tails: [Tail; 4],
    pub(crate) rarity: Tail,
    pub(crate) told: f32,
    pub(crate) count: u16,
    /// Readings at a time of day that was known.
    pub(crate) timed: u16,
    pub(crate) seen: [u8; HOURS],
    pub(crate) quiet: u8,
}

/// A reading that is unusual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anomaly {
    /// Decades of surprise, by its own history as well; [`ALERT`] is one that somebody should hear of.
    pub score: f32,
    /// Decades of surprise by view, see [`VIEWS`].
    pub views: [f32; 4],
    /// What is unusual: the reading, or its level where a level is; by [`Anomaly::view`].
    pub value: f64,
    /// What would have been usual.
    pub usual: f64,
}

impl Anomaly {
    /// The view that says most, as an index of [`VIEWS`].
    pub fn view(&self) -> usize {
        leading(&self.views)
    }
}

/// The view that is most surprised; of two the one before.
fn leading(views: &[f32; 4]) -> usize {
    (1..views.len()).fold(0, |best, view| if views[view] > views[best] { view } else { best })
}

impl Detector {
    /// Takes in a reading made at this second of its day, and says whether it is unusual. What is no number,
    /// or beyond 10³⁰, is ignored.
    pub fn step(&mut self, value: f64, second_of_day: u32) -> Option<Anomaly> {
        if !value.is_finite() || value.abs() > 1e30 {
            return None;
        }
        if self.count == 0 {
            (self.long, self.short) = (value, value);
        }
        self.count = self.count.saturating_add(1);
        let hour = second_of_day as usize / 3600 % HOURS;
        let views = self.views(value, hour);
        let daily = self.long + f64::from(self.hours[hour]);
        let (seen, usual) = match leading(&views) {
            0 => (value, self.short),
            1 => (self.short, self.long),
            2 => (value, daily),
            _ => (daily + f64::from(self.sustained), daily),
        };
        self.learn(value, hour);
        let sum: f32 = views.iter().zip(WEIGHTS).map(|(surprise, weight)| surprise * weight).sum();
        let score = 0.5 * sum + self.rarity.step(sum + 0.1, self.count - 1, &SURPRISE);
        self.tell(score).then_some(Anomaly { score, views, value: seen, usual })
    }

    /// Whether every number in it is one that readings come to.
    pub(crate) fn is_sound(&self) -> bool {
        let tails = self.tails.iter().chain([&self.rarity]);
        let tails = tails.flat_map(|tail| [tail.quantile, tail.mean, tail.excess]);
        let single = [self.deviation, self.sustained, self.told];
        self.long.is_finite()
            && self.short.is_finite()
            && self.hours.iter().copied().chain(tails).chain(single).all(f32::is_finite)
    }

    /// How far the readings go; none before it is warm.
    pub(crate) fn level(&self, is_rate: bool) -> Option<Level> {
        let of_hours = self.hours.iter().zip(self.seen).filter(|(_, seen)| *seen >= KNOWN);
        let of_hours = of_hours.map(|(hour, _)| f64::from(*hour));
        let (low, high) =
            of_hours.fold((0.0_f64, 0.0_f64), |(low, high), hour| (low.min(hour), high.max(hour)));
        (self.count > WARM).then(|| Level {
            now: self.short,
            long: self.long,
            high: self.long + high,
            low: self.long + low,
            deviation: f64::from(self.deviation),
            is_rate,
        })
    }

    /// Whether it has not taken in any reading.
    pub(crate) fn is_fresh(&self) -> bool {
        self.count == 0
    }

    fn short_rate(&self) -> f64 {
        SHORT.max(1.0 / f64::from(self.count))
    }

    /// The surprises of a reading by what was learned before it.
    fn views(&mut self, value: f64, hour: usize) -> [f32; 4] {
        let floor = FLOOR * f64::from(self.deviation) + 1e-12;
        let from_daily = value - self.long - f64::from(self.hours[hour]);
        let is_known = self.seen[hour] >= KNOWN;
        if is_known {
            let sustained = f64::from(self.sustained);
            self.sustained = narrow(sustained + self.short_rate() * (from_daily - sustained));
        }
        if self.count <= FIRST {
            return [0.0; 4];
        }
        let distances = [value - self.short, self.short - self.long, from_daily, f64::from(self.sustained)];
        let untimed = self.count - FIRST - 1;
        let seen = [untimed, untimed, self.timed, self.timed];
        let mut views = [0.0; 4];
        let known = if is_known { 4 } else { 2 };
        for (view, tail) in self.tails.iter_mut().enumerate().take(known) {
            views[view] = tail.step(narrow(distances[view].abs() + floor), seen[view], &DISTANCE);
        }
        if is_known {
            self.timed = self.timed.saturating_add(1);
        }
        if self.count <= WARM { [0.0; 4] } else { views }
    }

    fn learn(&mut self, value: f64, hour: usize) {
        let long = LONG.max(1.0 / f64::from(self.count));
        let deviation = f64::from(self.deviation);
        self.deviation = narrow(deviation + long * ((value - self.long).abs() - deviation));
        self.short += self.short_rate() * (value - self.short);
        self.long += long * (value - self.long);
        self.seen[hour] = self.seen[hour].saturating_add(1);
        let daily = DAILY.max(1.0 / f32::from(self.seen[hour]));
        self.hours[hour] += daily * (narrow(value - self.long) - self.hours[hour]);
    }

    /// Whether a score is worth telling, given what was told.
    fn tell(&mut self, score: f32) -> bool {
        self.quiet = self.quiet.saturating_add(1);
        if self.quiet > PATIENCE {
            self.told *= FORGETS;
        }
        let is_news = score > LEAST && score > self.told * ESCALATES;
        if is_news {
            self.quiet = 0;
        }
        self.told = self.told.max(score);
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    /// Every five minutes.
    const A_DAY: u32 = 288;

    fn second(reading: u32) -> u32 {
        reading % A_DAY * 300
    }

    /// Warm in the afternoon.
    fn daily(reading: u32) -> f64 {
        let hour = f64::from(second(reading)) / 3600.0;
        20.0 + 5.0 * ((hour - 15.0) / 24.0 * std::f64::consts::TAU).cos()
    }

    /// What is told of a series from `from` on, with the reading.
    fn told(readings: u32, from: u32, mut value: impl FnMut(u32) -> f64) -> Vec<(u32, Anomaly)> {
        let mut detector = Detector::default();
        let all = (0..readings).filter_map(|at| Some((at, detector.step(value(at), second(at))?)));
        all.filter(|(at, anomaly)| *at >= from && anomaly.score >= ALERT).collect()
    }

    #[test]
    fn noise_and_the_course_of_the_day_are_usual() {
        for seed in 0..20 {
            let mut noise = Noise::new(seed);
            let told = told(30 * A_DAY, 2 * A_DAY, |at| daily(at) + noise.normal());
            assert!(told.len() <= 1, "seed {seed}: {told:?}");
        }
    }

    #[test]
    fn a_jump_that_lasts_is_told_at_once_and_then_no_more() {
        let mut noise = Noise::new(1);
        let jump = 20 * A_DAY;
        let told = told(21 * A_DAY, 2 * A_DAY, |at| f64::from(at > jump) * 12.0 + noise.normal());
        assert!((1..=4).contains(&told.len()), "{told:?}");
        assert!(told.iter().all(|(at, _)| (jump..jump + 20).contains(at)), "{told:?}");
        assert!(told[0].1.views[0] > 2.0, "the jump is named: {told:?}");
    }

    #[test]
    fn a_level_that_moves_slowly_is_told_when_it_has_moved() {
        let mut noise = Noise::new(1);
        let shift = 20 * A_DAY;
        let moved = |at: u32| (f64::from(at.saturating_sub(shift)) / 100.0).min(1.0) * 5.0;
        let told = told(21 * A_DAY, 2 * A_DAY, |at| moved(at) + noise.normal());
        let (at, anomaly) = told.first().expect("it is told");
        assert!((shift..shift + 100).contains(at), "{told:?}");
        let [jump, shift, of_hour, of_hours] = anomaly.views;
        assert!(shift + of_hours > jump + of_hour, "what lasts weighs more than one reading: {anomaly:?}");
    }

    #[test]
    fn what_is_usual_at_noon_is_unusual_at_night() {
        let mut noise = Noise::new(2);
        let night = 20 * A_DAY + 30..20 * A_DAY + 60;
        let value = |at| if night.contains(&at) { 25.0 } else { daily(at) } + 0.2 * noise.normal();
        let told = told(21 * A_DAY, 2 * A_DAY, value);
        assert!(told.iter().any(|(at, _)| night.contains(at)), "{told:?}");
        let (_, anomaly) = told.first().unwrap();
        assert!(anomaly.views[2].max(anomaly.views[3]) > 2.0, "{anomaly:?}");
    }

    #[test]
    fn what_is_no_number_changes_nothing() {
        let (mut with, mut without) = (Detector::default(), Detector::default());
        let mut noise = Noise::new(3);
        for at in 0..1000 {
            let value = noise.normal();
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e31, f64::MIN] {
                assert_eq!(with.step(bad, second(at)), None);
            }
            assert_eq!(with.step(value, second(at)), without.step(value, second(at)));
        }
        assert_eq!(with, without);
    }

    #[test]
    fn extremes_stay_finite() {
        let mut detector = Detector::default();
        for at in 0..5000_u32 {
            let value = [0.0, 1e30, -1e30, 1e-30, 5e-324][at as usize % 5];
            let scores = detector.step(value, u32::MAX - at).map_or(0.0, |anomaly| anomaly.score);
            assert!(scores.is_finite());
        }
        assert!(detector.told.is_finite() && detector.rarity.quantile.is_finite());
    }

    #[test]
    fn the_state_is_small() {
        assert!(size_of::<Detector>() <= 216, "{}", size_of::<Detector>());
    }
}
