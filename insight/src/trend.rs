//! An exponentially weighted straight line through irregular readings.
//!
//! A reading of age `a` weighs `2^(-a / half-life)`. The weighted moments are kept centred, so that
//! nothing is lost to cancellation, and relative to the last reading, so that time never overflows.
//! One reading moves the line by a bounded amount; a change that lasts is believed.

use crate::{Side, millis, narrow, seconds};

/// Residuals beyond this many standard deviations are pulled in: a single outlier has bounded influence.
const CLIP: f64 = 3.0;
/// Readings before there is a spread to clip by.
const WARM: u32 = 5;
/// A change that lasted this many readings is no outlier and is believed as it is.
const BELIEVE: i8 = 5;
/// Readings from which on it is known how far a series goes.
const KNOWN: u32 = 30;
/// A jump against the wear counts as a refill beyond this many standard deviations …
const JUMP: f64 = 6.0;
/// … seen in this many readings in a row.
pub(crate) const JUMP_RUN: u8 = 3;
/// Neighbouring residuals correlated beyond this say no more than that the line does not fit.
const MAX_CORRELATION: f64 = 0.95;

/// The weighted line of one half-life. Time runs in days, the last reading is at 0.
///
/// Moments that are differences of each other are doubles; what is only compared, or divided by, has the seven
/// digits of an `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trend {
    pub(crate) mean_x: f64,
    pub(crate) mean_y: f64,
    pub(crate) sxx: f64,
    pub(crate) sxy: f64,
    pub(crate) syy: f64,
    pub(crate) weight: f32,
    pub(crate) weight_squares: f32,
    /// Root of the weighted mean of the squared residuals of one step, and how far such a residual resembles
    /// the one before it: −1 to 1.
    pub(crate) error: f32,
    pub(crate) likeness: f32,
    pub(crate) residual: f32,
    /// Time of the first reading since the last restart, in seconds since the epoch.
    pub(crate) since: u32,
    pub(crate) count: u32,
    /// Where the line was before it left for good, and how near is there; 0 when it never did.
    pub(crate) former: f32,
    pub(crate) near: f32,
    /// Clipped readings in a row; the sign is their side.
    pub(crate) run: i8,
    pub(crate) jumps: u8,
}

/// What the trend says now, with the uncertainty it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Value of the line at the last reading.
    pub level: f64,
    /// Change per day.
    pub slope: f64,
    /// Standard deviation of a reading around the line.
    pub spread: f64,
    /// Variance of one reading, as far as the line is concerned: spread², more where neighbouring
    /// residuals resemble each other and so say less than they seem to.
    pub(crate) noise: f64,
    /// Sum of weights.
    pub(crate) weight: f64,
    /// Weighted mean time, in days (not positive).
    pub(crate) mean_x: f64,
    /// Weighted sum of squared times around it.
    pub(crate) sxx: f64,
    /// What lies beside the line has a shape: steps of a sensor that counts in whole numbers, a ripple of weeks, a bend.
    pub(crate) is_shaped: bool,
    /// How many equally weighted readings the line is drawn through.
    pub(crate) worth: f64,
    /// How many equally weighted independent readings the line is worth.
    pub effective: f64,
}

impl Line {
    /// Standard deviation of the slope.
    pub fn slope_error(&self) -> f64 {
        (self.noise / self.sxx).sqrt()
    }

    /// Variance of the line itself `x` days after the last reading.
    pub(crate) fn variance(&self, x: f64) -> f64 {
        self.noise * (1.0 / self.weight + (x - self.mean_x).powi(2) / self.sxx)
    }
}

impl Line {
    /// How far this line and another of longer memory through the same series disagree: the squared differences of
    /// their slopes and of their values where this one is surest, in units of its variances. Where the longer one is
    /// right their difference varies less than this one does (Hausman 1978); and where it is not, what it says of its
    /// own variance is no measure.
    pub(crate) fn contradicts(&self, other: &Line) -> f64 {
        let slopes = (self.slope - other.slope).powi(2) / self.slope_error().powi(2);
        let here = self.mean_x;
        let apart = (self.level + self.slope * here) - (other.level + other.slope * here);
        slopes + apart.powi(2) / self.variance(here)
    }
}

/// What one reading was to the trend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reception {
    /// Taken in, perhaps clipped.
    Taken,
    /// The same, and it lies apart from the line, against the wear: a jump, if another memory is sure of it.
    Apart,
    /// The last of several that lie far on the other side, or back where they were before they left: something was
    /// replaced or refilled, or a sensor that was broken works again.
    Jumped,
}

impl Trend {
    /// Takes in a reading `gap` days (> 0 but for the first) after the last one.
    pub(crate) fn step(&mut self, gap: f64, value: f64, half_life: f64, wear: Option<Side>) -> Reception {
        self.age(gap, half_life);
        let Some(line) = self.line() else {
            self.add(value, 0.0);
            return Reception::Taken;
        };
        let residual = value - line.level;
        let expected = (line.spread.powi(2) + line.variance(0.0)).sqrt().max(self.resolution(value));
        let far = residual.abs() / expected;
        let warm = self.count >= WARM;
        let against = wear.is_none_or(|side| residual * side.sign() < 0.0);
        let is_jump = warm && (against && far > JUMP || self.is_back(value, residual));
        self.jumps = if is_jump { self.jumps + 1 } else { 0 };
        if self.jumps >= JUMP_RUN {
            return Reception::Jumped;
        }
        let mut taken = value;
        if warm && far > CLIP {
            let side: i8 = if residual > 0.0 { 1 } else { -1 };
            self.run = if self.run.signum() == side { self.run.saturating_add(side) } else { side };
            if self.run.abs() < BELIEVE {
                taken = line.level + residual.signum() * CLIP * expected;
            } else if self.run.abs() == BELIEVE && self.is_unheard_of(residual, expected) {
                self.leave(&line, expected);
            }
        } else {
            self.run = 0;
        }
        let clipped = if residual.abs() <= self.resolution(value) { 0.0 } else { taken - line.level };
        self.add(taken, clipped);
        if warm && against && far > CLIP { Reception::Apart } else { Reception::Taken }
    }

    /// Begins anew with the readings that showed a jump, the last of them made at `last_ms` and the others the gaps in days
    /// before it.
    pub(crate) fn restart(
        &mut self,
        last_ms: i64,
        values: [f64; JUMP_RUN as usize],
        gaps: [f32; JUMP_RUN as usize - 1],
        half_life: f64,
        wear: Option<Side>,
    ) {
        let [first, second] = gaps.map(f64::from);
        let since = seconds(last_ms.saturating_sub(millis(first + second)));
        let mut trend = Trend { since, ..Trend::default() };
        for (gap, value) in [0.0, first, second].into_iter().zip(values) {
            trend.step(gap, value, half_life, wear);
        }
        if let Some(line) = self.line() {
            trend.leave(&line, line.spread);
        }
        *self = trend;
    }

    /// Whether a reading is as far from the line as none was in a series that is known.
    fn is_unheard_of(&self, residual: f64, expected: f64) -> bool {
        self.count >= KNOWN && residual.abs() > 2.0 * JUMP * expected.max(self.swing())
    }

    /// Remembers where the line was.
    fn leave(&mut self, line: &Line, expected: f64) {
        (self.former, self.near) = (narrow(line.level), narrow(JUMP * expected));
    }

    /// Whether a reading is back where the line was before it left, and where it is not now.
    fn is_back(&self, value: f64, residual: f64) -> bool {
        let near = f64::from(self.near);
        near > 0.0 && (value - f64::from(self.former)).abs() <= near && residual.abs() > near
    }

    /// The line, once three readings at different times are there.
    pub fn line(&self) -> Option<Line> {
        if self.count < 3 || self.sxx <= 0.0 {
            return None;
        }
        let slope = self.sxy / self.sxx;
        let weight = f64::from(self.weight);
        let worth = weight * weight / f64::from(self.weight_squares);
        // Two parameters were fitted; the last part of a worth below three says nothing of the spread.
        let freedom = (worth - 2.0).max(0.5);
        let unexplained = (self.syy - self.sxy * slope).max(0.0);
        let variance = (unexplained / weight) * (worth / freedom);
        let spread = variance.sqrt().max(self.resolution(self.mean_y));
        let correlation = f64::from(self.likeness).clamp(0.0, MAX_CORRELATION);
        let inflation = (1.0 + correlation) / (1.0 - correlation);
        Some(Line {
            level: self.mean_y - slope * self.mean_x,
            slope,
            spread,
            noise: spread * spread * inflation,
            weight,
            mean_x: self.mean_x,
            sxx: self.sxx,
            is_shaped: f64::from(self.likeness) >= MAX_CORRELATION,
            worth,
            effective: worth / inflation,
        })
    }

    /// Whether the last readings lie where they do if the next ones show a jump.
    pub(crate) fn is_jumping(&self) -> bool {
        self.jumps > 0
    }

    /// Readings since the last restart.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Time of the first reading since the last restart, ms since the epoch, to the second.
    pub fn since_ms(&self) -> i64 {
        i64::from(self.since) * 1000
    }

    /// The last reading moves `gap` days into the past; everything weighs less.
    fn age(&mut self, gap: f64, half_life: f64) {
        let decay = (-gap / half_life).exp2();
        self.weight = narrow(f64::from(self.weight) * decay);
        self.weight_squares = narrow(f64::from(self.weight_squares) * decay * decay);
        self.sxx *= decay;
        self.sxy *= decay;
        self.syy *= decay;
        self.mean_x -= gap;
    }

    fn add(&mut self, value: f64, residual: f64) {
        let before = f64::from(self.weight);
        let weight = before + 1.0;
        self.weight = narrow(weight);
        self.weight_squares += 1.0;
        // Both are kept as what they are to be divided to, because the squares would leave the range of an `f32`.
        let power = f64::from(self.error).powi(2) * before;
        let lag = f64::from(self.likeness) * power + residual * f64::from(self.residual);
        let power = power + residual * residual;
        self.error = narrow((power / weight).sqrt());
        self.likeness = if power > 0.0 { narrow(lag / power) } else { 0.0 };
        self.residual = narrow(residual);
        let (dx, dy) = (-self.mean_x, value - self.mean_y);
        if self.count == 0 {
            self.mean_x = 0.0;
            self.mean_y = value;
        } else {
            self.mean_x += dx / weight;
            self.mean_y += dy / weight;
            let share = before / weight;
            self.sxx += share * dx * dx;
            self.sxy += share * dx * dy;
            self.syy += share * dy * dy;
        }
        self.count = self.count.saturating_add(1);
    }

    /// Differences below this are rounding: a double carries 15 digits, and half of them are lost
    /// where a variance is a difference of squares.
    fn resolution(&self, value: f64) -> f64 {
        (1e-6 * self.swing()).max(1e-12 * value.abs()).max(f64::MIN_POSITIVE)
    }

    /// Standard deviation of the values.
    fn swing(&self) -> f64 {
        if self.weight > 0.0 { (self.syy / f64::from(self.weight)).sqrt() } else { 0.0 }
    }

    /// Whether every number in it is one that readings come to.
    pub(crate) fn is_sound(&self) -> bool {
        let precise = [self.mean_x, self.mean_y, self.sxx, self.sxy, self.syy];
        let narrow = [
            self.weight,
            self.weight_squares,
            self.error,
            self.likeness,
            self.residual,
            self.former,
            self.near,
        ];
        precise.iter().all(|number| number.is_finite())
            && narrow.iter().all(|number| number.is_finite())
            && self.weight >= 0.0
            && self.sxx >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    fn feed(trend: &mut Trend, values: impl IntoIterator<Item = f64>) {
        for value in values {
            trend.step(1.0, value, 1e6, Some(Side::Above));
        }
    }

    #[test]
    fn agrees_with_least_squares_where_nothing_fades() {
        let mut trend = Trend::default();
        feed(&mut trend, [1.0, 2.0, 2.5, 4.0]);
        // By hand: x = 0..3, slope = 4.75 / 5, mean 2.375 at 1.5.
        let line = trend.line().unwrap();
        assert!((line.slope - 0.95).abs() < 1e-4, "{line:?}");
        assert!((line.level - (2.375 + 0.95 * 1.5)).abs() < 1e-4, "{line:?}");
    }

    #[test]
    fn forgets_by_time_and_not_by_count() {
        let mut trend = Trend::default();
        for _ in 0..50 {
            trend.step(1.0, 10.0, 2.0, None);
        }
        for day in 1..=30 {
            trend.step(1.0, 10.0 + f64::from(day), 2.0, Some(Side::Above));
        }
        let line = trend.line().unwrap();
        assert!((line.slope - 1.0).abs() < 0.02, "{line:?}");
    }

    #[test]
    fn one_outlier_moves_the_line_by_a_bounded_amount() {
        let mut noise = Noise::new(7);
        let values: Vec<f64> = (0..60).map(|day| 100.0 + 0.5 * f64::from(day) + noise.normal()).collect();
        let mut clean = Trend::default();
        feed(&mut clean, values.iter().copied());
        let mut hit = Trend::default();
        for (index, value) in values.iter().enumerate() {
            let shown = if index == 55 { 1e9 } else { *value };
            hit.step(1.0, shown, 1e6, Some(Side::Above));
        }
        let (clean, hit) = (clean.line().unwrap(), hit.line().unwrap());
        assert!((clean.slope - hit.slope).abs() < 0.03, "{} {}", clean.slope, hit.slope);
        assert!((clean.level - hit.level).abs() < 0.6, "{} {}", clean.level, hit.level);
    }

    #[test]
    fn a_lasting_change_in_the_direction_of_wear_is_believed() {
        let mut trend = Trend::default();
        let mut noise = Noise::new(3);
        for _ in 0..40 {
            trend.step(1.0, 10.0 + 0.1 * noise.normal(), 5.0, Some(Side::Above));
        }
        for _ in 0..40 {
            trend.step(1.0, 20.0 + 0.1 * noise.normal(), 5.0, Some(Side::Above));
        }
        assert!((trend.line().unwrap().level - 20.0).abs() < 0.5);
    }

    #[test]
    fn a_constant_has_no_slope_and_no_nan() {
        let mut trend = Trend::default();
        feed(&mut trend, std::iter::repeat_n(42.0, 20));
        let line = trend.line().unwrap();
        assert_eq!(line.slope, 0.0);
        assert!(line.spread.is_finite() && line.slope_error().is_finite());
        assert!(trend.is_sound());
    }
}
