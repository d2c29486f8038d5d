//! A bound for which no data sheet has a number, learned from the devices of one model.
//!
//! Each device says one thing: how far its readings go on an ordinary day ([`Level`]). Beyond the upper quartile of
//! that, by [`FACTOR`] times the distance from the median to the quartile, lies the *fence*: Tukey's outer fence, one-sided
//! for distributions that are not symmetric (Tukey, *Exploratory Data Analysis*, 1977; Kimber, *Exploratory data analysis
//! for possibly censored data from skewed distributions*, Applied Statistics 39, 1990). Of a normal distribution one device
//! in 850,000 lies beyond.
//!
//! Quartiles are ranks: what a device says beyond the fence is one device more there, however far beyond.

use crate::Side;

/// Fewer devices than this are nobody's measure.
pub const LEAST_DEVICES: usize = 10;
/// How many times the distance from the median to the quartile the fence lies beyond the quartile.
pub const FACTOR: f64 = 6.0;
/// Of the factor, how many mean deviations of a single device's readings the fence lies beyond the quartile at least:
/// devices that are all alike still have readings that differ.
const OWN: f64 = 0.5;
/// And at least this share of the quartile, so that what is constant everywhere has no fence at its feet.
const LEAST_SHARE: f64 = 0.001;
/// And, of a rate, once a day: a single event is no rate.
const LEAST_RATE: f64 = 1.0 / 86_400.0;
/// No more than one device in ten is beyond the fence when it is built: with more the metric is not one where a few
/// stand out.
const BEYOND: f64 = 0.9;
/// A fence stays where it is unless it would move by more than this part of its distance from the median.
const STAYS: f64 = 0.1;
/// What was told to be beyond is back only when it is this part of that distance inside.
const BACK: f64 = 0.1;

/// How far the readings of one device go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// About the last 20 readings.
    pub now: f64,
    /// About the last 5,000.
    pub long: f64,
    /// What is usual in the hour of the day in which it is highest.
    pub high: f64,
    /// And in that in which it is lowest.
    pub low: f64,
    /// How far readings lie from the long level, on average.
    pub deviation: f64,
    /// Of a counter all of it is of its rate, a second.
    pub is_rate: bool,
}

/// A bound that was learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fence {
    /// The bound.
    pub value: f64,
    /// Half of the devices stay on this side of it.
    pub median: f64,
    /// How many devices it was learned from.
    pub devices: u32,
    /// How many of them were beyond it.
    pub beyond: u32,
}

/// The fence of these devices on the bad side; none of fewer than [`LEAST_DEVICES`]. What is no number is left out.
pub fn fence(levels: &[Level], side: Side, factor: f64) -> Option<Fence> {
    let sign = side.sign();
    let is_sound =
        |level: &&Level| level.high.is_finite() && level.low.is_finite() && level.deviation.is_finite();
    let sound: Vec<&Level> = levels.iter().filter(is_sound).collect();
    if sound.len() < LEAST_DEVICES {
        return None;
    }
    let far = |level: &Level| sign * if side == Side::Above { level.high } else { level.low };
    let reached = sorted(sound.iter().map(|level| far(level)));
    let own = quantile(&sorted(sound.iter().map(|level| level.deviation)), 0.5);
    let (median, quartile) = (quantile(&reached, 0.5), quantile(&reached, 0.75));
    let rates = sound.iter().filter(|level| level.is_rate).count();
    let least = if 2 * rates > sound.len() { LEAST_RATE } else { 0.0 };
    let reach =
        (factor * (quartile - median)).max(OWN * factor * own).max(LEAST_SHARE * quartile.abs()).max(least);
    // The rank below, so that one device in ten is never part of it.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank among these")]
    let tenth = reached.get((BEYOND * (reached.len() - 1) as f64) as usize).copied().unwrap_or(quartile);
    let value = (quartile + reach).max(tenth);
    if !value.is_finite() {
        return None;
    }
    Some(Fence {
        value: sign * value,
        median: sign * median,
        devices: u32::try_from(reached.len()).unwrap_or(u32::MAX),
        beyond: u32::try_from(reached.iter().filter(|far| **far > value).count()).unwrap_or(u32::MAX),
    })
}

impl Fence {
    /// Whether a level is beyond it; `before`: whether it was told to be.
    pub fn is_beyond(&self, value: f64, side: Side, before: bool) -> bool {
        let inside = if before { BACK * (self.value - self.median).abs() } else { 0.0 };
        (value - self.value) * side.sign() > -inside
    }

    /// The fence as it is to be when this one would be built today: it stays where it is for as long as the two hardly
    /// differ. How many were beyond goes with the value.
    #[must_use]
    pub fn follows(self, known: Option<Fence>) -> Fence {
        match known {
            Some(known) if (self.value - known.value).abs() <= STAYS * (known.value - known.median).abs() => {
                known
            }
            _ => self,
        }
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Between the two values whose ranks are nearest.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank among values that are in memory"
)]
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let rank = part * last as f64;
    let below = rank as usize;
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    low + (rank - rank.floor()) * (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    fn at(high: f64, deviation: f64) -> Level {
        Level { now: high, long: high, high, low: -high, deviation, is_rate: false }
    }

    /// Devices around 50, each of which differs by 1 from itself.
    fn fleet(seed: u64, devices: usize) -> Vec<Level> {
        let mut noise = Noise::new(seed);
        (0..devices).map(|_| at(50.0 + 2.0 * noise.normal(), 1.0)).collect()
    }

    fn value(levels: &[Level]) -> f64 {
        fence(levels, Side::Above, FACTOR).unwrap().value
    }

    #[test]
    fn lies_where_tukey_has_it() {
        // Quartile 3, median 2, nothing else: 3 + 6.
        let levels: Vec<Level> = (0..13).map(|n| at(f64::from(n) / 3.0, 0.0)).collect();
        let built = fence(&levels, Side::Above, FACTOR).unwrap();
        assert_eq!((built.value, built.median, built.devices, built.beyond), (9.0, 2.0, 13, 0));
        let below = fence(&levels, Side::Below, FACTOR).unwrap();
        assert_eq!((below.value, below.median), (-9.0, -2.0));
        assert!((fence(&levels, Side::Above, 3.0).unwrap().value - 6.0).abs() < 1e-12);
        // Of many it is 4.7 standard deviations: 50 + 9.4.
        assert!((value(&fleet(1, 20_000)) - 59.4).abs() < 0.5, "{}", value(&fleet(1, 20_000)));
    }

    #[test]
    fn nothing_is_learned_of_fewer_than_ten() {
        let mut levels = fleet(2, 9);
        assert_eq!(fence(&levels, Side::Above, FACTOR), None);
        levels.extend([at(f64::NAN, 1.0), at(f64::INFINITY, 1.0), at(50.0, f64::NAN)]);
        assert_eq!(fence(&levels, Side::Above, FACTOR), None, "what is no number is no device");
        levels.push(at(50.0, 1.0));
        assert_eq!(fence(&levels, Side::Above, FACTOR).unwrap().devices, 10);
    }

    #[test]
    fn one_device_in_ten_hardly_moves_it_whatever_it_says() {
        for devices in [10, 20, 50, 100, 1_000] {
            for seed in 0..20 {
                let mut levels = fleet(seed, devices);
                let (clean, spread) = (value(&levels), 9.4);
                for lie in [1e30, 1e300, f64::MAX, -1e300, 70.0] {
                    for level in levels.iter_mut().take(devices / 10) {
                        *level = at(lie, lie.abs());
                    }
                    let moved = (value(&levels) - clean).abs();
                    // The quartiles of ten devices are anything within their spread as it is.
                    let most = if devices < 50 { 2.0 * spread } else { spread };
                    assert!(moved < most, "{devices} devices, seed {seed}, {lie}: by {moved}");
                    assert!(value(&levels) < 50.0 + 3.0 * spread);
                }
            }
        }
        // And those that lie are beyond it.
        let mut levels = fleet(3, 100);
        levels[0] = at(1e30, 1e30);
        let built = fence(&levels, Side::Above, FACTOR).unwrap();
        assert_eq!((built.devices, built.beyond), (100, 1));
    }

    #[test]
    fn what_is_alike_everywhere_leaves_room_for_its_own_noise() {
        let alike: Vec<Level> = (0..20).map(|_| at(50.0, 2.0)).collect();
        assert_eq!(value(&alike), 56.0);
        let constant: Vec<Level> = (0..20).map(|_| at(100.0, 0.0)).collect();
        assert_eq!(value(&constant), 100.1);
        let zero: Vec<Level> = (0..20).map(|_| at(0.0, 0.0)).collect();
        assert_eq!(value(&zero), 0.0);
        let rates: Vec<Level> = zero.iter().map(|level| Level { is_rate: true, ..*level }).collect();
        assert_eq!(value(&rates), LEAST_RATE);
    }

    #[test]
    fn what_a_fifth_of_the_fleet_does_is_nothing_that_stands_out() {
        let levels: Vec<Level> = (0..100).map(|n| at(if n < 80 { 0.0 } else { f64::from(n) }, 0.0)).collect();
        let built = fence(&levels, Side::Above, FACTOR).unwrap();
        assert_eq!((built.value, built.beyond), (89.0, 10));
    }

    #[test]
    fn stays_where_it_is_until_it_is_clearly_elsewhere() {
        let known = fence(&fleet(4, 100), Side::Above, FACTOR).unwrap();
        let tomorrow = fence(&fleet(4, 101), Side::Above, FACTOR).unwrap();
        assert_ne!(known.value, tomorrow.value);
        assert_eq!(tomorrow.follows(Some(known)), known);
        assert_eq!(tomorrow.follows(None), tomorrow);
        let hotter: Vec<Level> = fleet(4, 100).iter().map(|level| at(level.high + 20.0, 1.0)).collect();
        let elsewhere = fence(&hotter, Side::Above, FACTOR).unwrap();
        assert_eq!(elsewhere.follows(Some(known)), elsewhere);
    }

    #[test]
    fn who_was_beyond_is_back_when_clearly_inside() {
        let built = Fence { value: 60.0, median: 50.0, devices: 100, beyond: 1 };
        assert!(!built.is_beyond(60.0, Side::Above, false) && built.is_beyond(60.1, Side::Above, false));
        assert!(built.is_beyond(59.5, Side::Above, true) && !built.is_beyond(58.9, Side::Above, true));
        let low = Fence { value: -60.0, median: -50.0, ..built };
        assert!(low.is_beyond(-61.0, Side::Below, false) && !low.is_beyond(-50.0, Side::Below, true));
        assert!(!low.is_beyond(f64::NAN, Side::Below, true));
    }
}
