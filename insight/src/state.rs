//! What is remembered of one series: its trends, and what is usual for it.

use crate::{
    DAY_MS, Side,
    detector::{Anomaly, Detector},
    fence::Level,
    seconds,
    series::{Series, Step},
};

/// A series is known for so long before anything about it is called unusual: its course of a day was seen.
const KNOWN_MS: i64 = DAY_MS;

/// The state of one series. Constant size; [`State::encode`] makes at most 512 bytes of it.
///
/// A gauge is watched as it is. Of a counter the trends see the value, because limits are about it, and the
/// detector sees how fast it counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// For forecasts.
    pub series: Series,
    pub(crate) detector: Detector,
    /// When the detector began, in seconds since the epoch.
    pub(crate) since: u32,
    /// The boot in which the counter started, as a hash; 0 of a gauge.
    pub(crate) boot: u32,
}

/// What became of one reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stepped {
    /// For the trends.
    pub step: Step,
    /// What was unusual about it; none of a series that is known for less than a day.
    pub anomaly: Option<Anomaly>,
}

impl State {
    /// Takes in one reading, `at_ms` in milliseconds since the epoch.
    ///
    /// `boot_id` is empty for a gauge, else it names the boot in which the counter started from zero. A counter
    /// that starts over, by another boot or by a smaller value, has no rate until its next reading: a counter
    /// that wraps around does not say how often it did.
    ///
    /// `wear` is the direction in which the part wears, see [`Series::step`].
    pub fn step(&mut self, at_ms: i64, value: f64, boot_id: &str, wear: Option<Side>) -> Stepped {
        let before = self.series.last();
        let step = self.series.step(at_ms, value, wear);
        let anomaly = match step {
            Step::Late | Step::NotFinite => None,
            Step::Taken | Step::Restarted => self.detect(before, at_ms, value, boot_mark(boot_id)),
            Step::ClockWentBack => {
                self.forget_usual();
                self.detect(None, at_ms, value, boot_mark(boot_id))
            }
        };
        Stepped { step, anomaly }
    }

    fn detect(&mut self, before: Option<(i64, f64)>, at_ms: i64, value: f64, boot: u32) -> Option<Anomaly> {
        if before.is_some() && (boot == 0) != (self.boot == 0) {
            // A gauge that became a counter, or the other way round: what was usual is of another kind.
            self.forget_usual();
        }
        let is_same_boot = boot == self.boot;
        self.boot = boot;
        let seen = match (boot, before) {
            (0, _) => value,
            (_, Some(before)) if is_same_boot => rate(before, (at_ms, value))?,
            _ => return None,
        };
        if self.detector.is_fresh() {
            self.since = seconds(at_ms);
        }
        let second_of_day = seconds(at_ms.rem_euclid(DAY_MS));
        let anomaly = self.detector.step(seen, second_of_day);
        anomaly.filter(|_| at_ms.saturating_sub(i64::from(self.since) * 1000) >= KNOWN_MS)
    }

    /// How far its readings go; none of a series that is known for less than a day.
    pub fn level(&self) -> Option<Level> {
        let (last_ms, _) = self.series.last()?;
        let is_known = last_ms.saturating_sub(i64::from(self.since) * 1000) >= KNOWN_MS;
        is_known.then(|| self.detector.level(self.boot != 0)).flatten()
    }

    fn forget_usual(&mut self) {
        self.detector = Detector::default();
    }
}

/// How much a counter counted a second, between two readings (milliseconds, value) of one boot.
#[expect(clippy::cast_precision_loss, reason = "gaps are far below 2^53 ms")]
fn rate(from: (i64, f64), to: (i64, f64)) -> Option<f64> {
    let seconds = to.0.saturating_sub(from.0) as f64 / 1000.0;
    (to.1 >= from.1 && seconds > 0.0).then(|| (to.1 - from.1) / seconds)
}

/// FNV-1a of a boot id; 0 of none.
fn boot_mark(boot_id: &str) -> u32 {
    if boot_id.is_empty() {
        return 0;
    }
    let hash = boot_id
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{detector::ALERT, testing::Noise};

    const MINUTES: i64 = 5 * 60_000;

    /// What is told, by reading, of what `reading` gives: value and boot id.
    fn told<'a>(readings: i64, mut reading: impl FnMut(i64) -> (f64, &'a str)) -> Vec<(i64, Anomaly)> {
        let mut state = State::default();
        let mut told = Vec::new();
        for at in 0..readings {
            let (value, boot_id) = reading(at);
            let stepped = state.step(at * MINUTES, value, boot_id, None);
            told.extend(
                stepped.anomaly.filter(|anomaly| anomaly.score >= ALERT).map(|anomaly| (at, anomaly)),
            );
        }
        told
    }

    #[test]
    fn a_first_day_is_never_unusual() {
        let mut noise = Noise::new(4);
        let told = told(4_000, |at| {
            (f64::from(at == 200) * 50.0 + f64::from(at == 3_900) * 50.0 + noise.normal(), "")
        });
        assert!(told.iter().any(|(at, _)| *at == 3_900) && told.iter().all(|(at, _)| *at > 288), "{told:?}");
    }

    #[test]
    fn a_counter_is_judged_by_its_rate() {
        let (mut noise, mut total) = (Noise::new(5), 0.0);
        // It counts for ever, and suddenly five times as fast.
        let told = told(2_000, |at| {
            total += (100.0 + noise.normal()) * if at > 1_500 { 5.0 } else { 1.0 };
            (total, "boot-1")
        });
        let (at, anomaly) = told.first().expect("it is told");
        assert!((1_500..1_510).contains(at), "{told:?}");
        assert!(
            (anomaly.usual - 100.0 / 300.0).abs() < 0.05 && anomaly.value > 1.0,
            "a rate a second: {anomaly:?}"
        );
    }

    #[test]
    fn a_counter_that_starts_over_is_nothing_unusual() {
        let steady = |noise: &mut Noise, total: &mut f64| {
            *total += 100.0 + noise.normal();
            *total
        };
        // What noise alone is told of lies elsewhere.
        let at_a_start = |told: Vec<(i64, Anomaly)>, starts: &[i64]| {
            let near = |at: i64| starts.iter().any(|start| (*start..start + 50).contains(&at));
            told.into_iter().filter(|(at, _)| near(*at)).count()
        };
        // By another boot id, also from a larger value on; by a wrap of 32 bits.
        let (mut noise, mut total) = (Noise::new(6), 0.0);
        let boots = ["a", "b", "c", "d"];
        let by_boot = told(2_000, |at| {
            if at % 500 == 0 {
                total = f64::from(at % 1_000 == 0) * 1e9;
            }
            (steady(&mut noise, &mut total), boots[usize::try_from(at / 500).unwrap()])
        });
        assert_eq!(at_a_start(by_boot, &[500, 1_000, 1_500]), 0);
        let (mut noise, mut total) = (Noise::new(7), 4_294_867_295.0);
        let mut wrapped = Vec::new();
        let by_value = told(2_000, |at| {
            total = steady(&mut noise, &mut total);
            if total >= 4_294_967_296.0 {
                total -= 4_294_967_296.0;
                wrapped.push(at);
            }
            (total, "a")
        });
        assert_eq!((wrapped.len(), at_a_start(by_value, &wrapped)), (1, 0));
    }

    #[test]
    fn a_gauge_that_becomes_a_counter_starts_over() {
        let mut state = State::default();
        for at in 0..400 {
            state.step(at * MINUTES, 20.0, "", None);
        }
        let mut total = 1e6;
        for at in 400..1_000 {
            total += 300.0;
            assert_eq!(state.step(at * MINUTES, total, "a", None).anomaly, None);
        }
        assert!((state.detector.long - 1.0).abs() < 1e-9, "one a second: {}", state.detector.long);
    }

    #[test]
    fn a_level_is_known_after_a_day_and_takes_its_course_in() {
        let (mut noise, mut state) = (Noise::new(9), State::default());
        // By day 40, by night 20.
        let mut course = |at: i64| {
            let by_day = (8..20).contains(&(at * MINUTES / 3_600_000 % 24));
            if by_day { 40.0 + noise.normal() } else { 20.0 + noise.normal() }
        };
        for at in 0..280 {
            state.step(at * MINUTES, course(at), "", None);
        }
        assert_eq!(state.level(), None);
        for at in 280..2_880 {
            state.step(at * MINUTES, course(at), "", None);
        }
        let level = state.level().unwrap();
        assert!((level.high - 40.0).abs() < 1.5 && (level.low - 20.0).abs() < 1.5, "{level:?}");
        assert!((level.now - 20.0).abs() < 3.0 && !level.is_rate, "{level:?}");
        assert!((8.0..12.0).contains(&level.deviation), "{level:?}");
    }

    #[test]
    fn late_readings_are_no_readings() {
        let mut noise = Noise::new(8);
        let (mut with, mut without) = (State::default(), State::default());
        for at in 1..1_000 {
            let value = noise.normal();
            assert_eq!(with.step(at * MINUTES, value, "", None), without.step(at * MINUTES, value, "", None));
            assert_eq!(with.step((at - 1) * MINUTES, 1e9, "", None).step, Step::Late);
            with.series.late = 0;
        }
        assert_eq!(with, without);
    }

    #[test]
    fn the_state_is_small() {
        assert!(size_of::<State>() <= 512, "{}", size_of::<State>());
    }
}
