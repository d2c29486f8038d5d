//! Streaming forecasts for readings of parts that wear.
//!
//! - [`state`]: what is remembered of one series: constant size, stepped by event time, saved as a
//!   small versioned blob. It holds a [`series`] and a [`detector`].
//! - [`trend`]: the exponentially weighted lines of a series.
//! - [`mod@forecast`]: when that line crosses a bound, as P10, P50 and P90, or why nobody can say.
//! - [`cohort`]: how long parts take, by how others took.
//! - [`fleet`]: what many devices have in common.
//! - [`fence`]: a bound learned from devices of one model.
//! - [`finding`]: what holds now, with hysteresis, so that noise at a bound is not a flood.
//!
//! Nothing here knows a clock, randomness or input and output: the same readings in the same order
//! give the same answer. `docs/forecasting.md` derives the formulas.

pub mod blob;
pub mod cohort;
pub mod detector;
pub mod fence;
pub mod finding;
pub mod fleet;
pub mod forecast;
pub mod series;
pub mod state;
#[cfg(test)]
mod testing;
pub mod trend;

pub use blob::StateError;
pub use finding::{Finding, Standing, judge, judge_with};
pub use forecast::{ByLives, Forecast, NoForecast, Strictness, forecast, forecast_with};
pub use series::{Series, Step};
pub use state::{State, Stepped};
pub use trend::{Line, Trend};

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// Which side of a bound is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Large values are bad: wear goes up.
    Above,
    /// Small values are bad: wear goes down.
    Below,
}

impl Side {
    /// +1 when wear goes up, -1 when it goes down.
    pub fn sign(self) -> f64 {
        match self {
            Side::Above => 1.0,
            Side::Below => -1.0,
        }
    }
}

/// A value that a series should not cross.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// In the unit of the series.
    pub value: f64,
    /// The bad side.
    pub side: Side,
    /// How far to look ahead, in milliseconds.
    pub horizon_ms: i64,
}

impl Bound {
    /// How far `value` lies on the bad side; negative while it is on the good one.
    pub fn excess(&self, value: f64) -> f64 {
        (value - self.value) * self.side.sign()
    }
}

/// Days in a span of milliseconds.
#[expect(clippy::cast_precision_loss, reason = "spans are far below 2^53 ms")]
pub(crate) fn days(millis: i64) -> f64 {
    millis as f64 / DAY_MS as f64
}

/// Milliseconds in a span of days; stops at the ends of `i64`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the cast saturates, which is meant"
)]
pub(crate) fn millis(days: f64) -> i64 {
    (days * DAY_MS as f64).round() as i64
}

/// Seconds since the epoch, of milliseconds; stops at the ends, 1970 and 2106.
pub(crate) fn seconds(millis: i64) -> u32 {
    u32::try_from((millis / 1000).max(0)).unwrap_or(u32::MAX)
}

/// Seven digits of a number. Callers keep within the range of an `f32`; what is beyond becomes infinite.
#[expect(clippy::cast_possible_truncation, reason = "precision is not needed where this is used")]
pub(crate) fn narrow(value: f64) -> f32 {
    value as f32
}
