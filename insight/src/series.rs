//! What is remembered of one series: three lines of different memory and the last readings.

use crate::{
    Side, days, narrow, seconds,
    trend::{Line, Reception, Trend},
};

/// Half-lives in days: half a shift, a working week, a month. A limit that looks ahead a day learns
/// from hours, one that looks ahead a year learns from months; see [`Series::trend_for`].
pub const HALF_LIVES: [f64; 3] = [0.5, 5.0, 30.0];

/// A trend looks ahead at most this many half-lives.
const AHEAD: f64 = 6.0;

/// The device's clock was set back when this many readings in a row are not newer than the last.
const CLOCK_WENT_BACK: u8 = 20;

/// After a silence of this many half-lives the past weighs 10⁻⁶ and is let go.
const SILENCE: f64 = 20.0;

/// Larger values are none: their squares would leave what an `f32` holds.
const LARGEST: f64 = 1e36;

/// A shorter memory contradicts a longer one when their lines differ by this much (chi-square with
/// two degrees of freedom; noise alone gets there once in twenty times) …
const CONTRADICTION: f64 = 6.0;
/// … and when it stands on this many independent readings.
const MIN_SHORT: f64 = 8.0;

/// A trend and what is needed to judge how far it carries.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The trend.
    pub trend: &'a Trend,
    /// Its half-life in days.
    pub half_life: f64,
    /// The lines of the next shorter and the next longer memory, where they say anything.
    pub(crate) neighbours: [Option<Line>; 2],
    /// Whether a longer memory was passed over: the slope has changed.
    pub(crate) is_bent: bool,
}

/// The trends of one series, and its last readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    pub(crate) trends: [Trend; 3],
    /// When the newest reading was made.
    pub(crate) last_ms: i64,
    /// Newest last; the last `readings` of them are real.
    pub(crate) values: [f64; 3],
    /// Days between them, the older gap first.
    pub(crate) gaps: [f32; 2],
    pub(crate) readings: u32,
    pub(crate) restarts: u16,
    pub(crate) late: u8,
}

/// What became of one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Taken into the trend.
    Taken,
    /// It confirmed a jump against the wear (a refill, a new part): the trend starts afresh.
    Restarted,
    /// Not newer than the last one, so a repeat or out of order: ignored.
    Late,
    /// The device's clock went back for good: everything starts afresh at this reading.
    ClockWentBack,
    /// NaN, infinite, or beyond 10³⁶, which nothing measures: ignored.
    NotFinite,
}

impl View<'_> {
    /// How many days ahead it tells anything.
    pub(crate) fn reach(&self) -> f64 {
        AHEAD * self.half_life
    }
}

/// The place of the longest memory that a horizon needs.
fn longest(horizon_ms: i64) -> usize {
    let horizon = days(horizon_ms);
    HALF_LIVES.iter().position(|half_life| horizon <= AHEAD * half_life).unwrap_or(HALF_LIVES.len() - 1)
}

impl Series {
    /// Takes in one reading, `at_ms` in milliseconds since the epoch.
    ///
    /// `wear` is the direction in which the part wears, where a limit says so; a jump the other way
    /// restarts the trend. Without it a jump either way does.
    pub fn step(&mut self, at_ms: i64, value: f64, wear: Option<Side>) -> Step {
        if !value.is_finite() || value.abs() > LARGEST {
            return Step::NotFinite;
        }
        if self.readings > 0 && at_ms <= self.last_ms {
            self.late = self.late.saturating_add(1);
            if self.late < CLOCK_WENT_BACK || at_ms == self.last_ms {
                return Step::Late;
            }
            *self = Series { restarts: self.restarts.saturating_add(1), ..Series::default() };
            self.take(at_ms, value, wear);
            return Step::ClockWentBack;
        }
        self.take(at_ms, value, wear)
    }

    /// The trend to look `horizon_ms` ahead with: the longest memory that the horizon needs (it looks ahead six of its
    /// half-lives at most) has the least noise.
    pub fn trend_for(&self, horizon_ms: i64) -> View<'_> {
        let index = longest(horizon_ms);
        self.view(index, index)
    }

    /// The same, behind shorter memories that show that the slope has changed since, the shortest first.
    pub(crate) fn trends_for(&self, horizon_ms: i64) -> impl Iterator<Item = View<'_>> {
        let longest = longest(horizon_ms);
        let line = |index: usize| self.trends.get(index).and_then(Trend::line);
        let is_news = move |short: Line, index: usize| {
            // A memory may see as little of the change as a longer one, and one that is shorter still all of it.
            short.worth >= MIN_SHORT
                && (index + 1..=longest)
                    .filter_map(line)
                    .any(|long| short.contradicts(&long) >= CONTRADICTION)
        };
        let is_told = move |index: &usize| {
            *index == longest || line(*index).is_some_and(|short| is_news(short, *index))
        };
        (0..=longest).filter(is_told).map(move |index| self.view(index, longest))
    }

    fn view(&self, index: usize, longest: usize) -> View<'_> {
        let worth = |index: usize| {
            self.trends.get(index).and_then(Trend::line).filter(|line| line.effective >= MIN_SHORT)
        };
        View {
            trend: &self.trends[index],
            half_life: HALF_LIVES[index],
            neighbours: [index.checked_sub(1).and_then(worth), worth(index + 1)],
            is_bent: index != longest,
        }
    }

    /// Time and value of the newest reading.
    pub fn last(&self) -> Option<(i64, f64)> {
        (self.readings > 0).then(|| (self.last_ms, self.values[2]))
    }

    /// Readings ever taken since the series began.
    pub fn readings(&self) -> u32 {
        self.readings
    }

    /// How often something was refilled, replaced, or the clock went back.
    pub fn restarts(&self) -> u16 {
        self.restarts
    }

    /// The middle one of the last three readings, or of two the one less extreme towards `side`:
    /// what the value is, whatever a single reading says. None before two readings.
    pub fn settled(&self, side: Side) -> Option<f64> {
        let [a, b, c] = self.values;
        match self.readings {
            0 | 1 => None,
            2 => Some(if (b - c) * side.sign() > 0.0 { c } else { b }),
            _ => Some(a.max(b).min(a.min(b).max(c))),
        }
    }

    fn take(&mut self, at_ms: i64, value: f64, wear: Option<Side>) -> Step {
        let gap = if self.readings == 0 { 0.0 } else { days(at_ms.saturating_sub(self.last_ms)) };
        self.late = 0;
        self.last_ms = at_ms;
        self.values = [self.values[1], self.values[2], value];
        self.gaps = [self.gaps[1], narrow(gap)];
        self.readings = self.readings.saturating_add(1);
        let mut receptions = [Reception::Taken; HALF_LIVES.len()];
        for ((trend, half_life), reception) in self.trends.iter_mut().zip(HALF_LIVES).zip(&mut receptions) {
            if gap > SILENCE * half_life {
                *trend = Trend::default();
            }
            if trend.count == 0 {
                trend.since = seconds(at_ms);
            }
            let gap = if trend.count == 0 { 0.0 } else { gap };
            *reception = trend.step(gap, value, half_life, wear);
        }
        if !receptions.contains(&Reception::Jumped) {
            return Step::Taken;
        }
        // What bends has a wide spread in a long memory, in which a jump is nothing that it would call one.
        for ((trend, half_life), reception) in self.trends.iter_mut().zip(HALF_LIVES).zip(receptions) {
            if reception != Reception::Taken {
                trend.restart(at_ms, self.values, self.gaps, half_life, wear);
            }
        }
        self.restarts = self.restarts.saturating_add(1);
        Step::Restarted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DAY_MS, testing::Noise};

    #[test]
    fn repeats_and_late_readings_change_nothing() {
        let mut series = Series::default();
        for day in 0..30 {
            series.step(day * DAY_MS, f64::from(i32::try_from(day).unwrap()), None);
        }
        let before = series.clone();
        assert_eq!(series.step(29 * DAY_MS, 29.0, None), Step::Late);
        assert_eq!(series.step(3 * DAY_MS, 1e6, None), Step::Late);
        assert_eq!(series.trends, before.trends);
        assert_eq!((series.values, series.gaps), (before.values, before.gaps));
    }

    #[test]
    fn a_clock_that_went_back_does_not_silence_the_series() {
        let mut series = Series::default();
        series.step(1_000 * DAY_MS, 5.0, None);
        let steps: Vec<Step> =
            (0..40).map(|minute| series.step(10 * DAY_MS + minute * 60_000, 5.0, None)).collect();
        assert_eq!(steps.iter().filter(|step| **step == Step::ClockWentBack).count(), 1);
        assert_eq!(*steps.last().unwrap(), Step::Taken);
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        let mut series = Series::default();
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            assert_eq!(series.step(0, bad, None), Step::NotFinite);
        }
        assert_eq!(series, Series::default());
    }

    #[test]
    fn a_refill_restarts_and_a_step_of_wear_does_not() {
        let mut noise = Noise::new(11);
        let mut series = Series::default();
        for hour in 0..200 {
            let value = 80.0 - 0.2 * f64::from(hour) + 0.3 * noise.normal();
            assert_eq!(series.step(i64::from(hour) * 3_600_000, value, Some(Side::Below)), Step::Taken);
        }
        let steps: Vec<Step> = (200..205)
            .map(|hour| {
                series.step(i64::from(hour) * 3_600_000, 95.0 + 0.3 * noise.normal(), Some(Side::Below))
            })
            .collect();
        assert!(steps.contains(&Step::Restarted), "{steps:?}");
        assert!(series.trends.iter().all(|trend| trend.count <= 5), "{series:?}");
        assert!((series.settled(Side::Below).unwrap() - 95.0).abs() < 2.0);

        let mut wearing = Series::default();
        for hour in 0..400 {
            // A coarse sensor: wear arrives in whole steps.
            let value = f64::from(hour / 20) + 0.01 * noise.normal();
            assert_ne!(wearing.step(i64::from(hour) * 3_600_000, value, Some(Side::Above)), Step::Restarted);
        }
        let trend = wearing.trend_for(30 * DAY_MS).trend;
        assert!((trend.line().unwrap().slope - 1.2).abs() < 0.2, "{:?}", trend.line());
    }

    #[test]
    fn a_long_silence_lets_the_past_go() {
        let mut series = Series::default();
        for hour in 0..50 {
            series.step(i64::from(hour) * 3_600_000, f64::from(hour), None);
        }
        series.step(400 * DAY_MS, 1.0, None);
        let [hours, week, month] = series.trends;
        assert_eq!((hours.count, week.count, month.count), (1, 1, 51));
        assert_eq!(hours.since_ms(), 400 * DAY_MS);
    }

    #[test]
    fn the_horizon_chooses_the_memory() {
        let series = Series::default();
        for (horizon, half_life) in [(1, 0.5), (3, 0.5), (4, 5.0), (30, 5.0), (31, 30.0), (1800, 30.0)] {
            assert_eq!(series.trend_for(horizon * DAY_MS).half_life, half_life, "{horizon} days");
        }
    }
}
