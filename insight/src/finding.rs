//! What holds for a series and a bound now, given what was said before.

use crate::{
    Bound, Series,
    cohort::approach::Precedent,
    forecast::{Forecast, NoForecast, Strictness, forecast_with},
};

/// What was last said about the series and the bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    #[default]
    Clear,
    /// That the bound will be crossed.
    Expected,
    /// That it is crossed.
    Crossed,
}

/// What holds now.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// The bound is crossed, by more than a single reading.
    Crossed {
        /// The settled value (see [`Series::settled`]).
        value: f64,
    },
    /// The bound will be crossed.
    Expected(Forecast),
    /// Neither, and why.
    Clear(NoForecast),
}

impl Finding {
    /// What it is to the next judgement.
    pub fn standing(&self) -> Standing {
        match self {
            Finding::Crossed { .. } => Standing::Crossed,
            Finding::Expected(_) => Standing::Expected,
            Finding::Clear(_) => Standing::Clear,
        }
    }
}

/// Judges the series against the bound. What was said stays said until it is clearly no longer so.
pub fn judge(series: &Series, bound: &Bound, before: Standing) -> Finding {
    judge_with(series, bound, before, None)
}

/// The same, where others may have shown how it goes on from here ([`forecast_with`]).
pub fn judge_with(
    series: &Series,
    bound: &Bound,
    before: Standing,
    precedent: Option<&Precedent>,
) -> Finding {
    if let Some(value) = series.settled(bound.side) {
        let excess = bound.excess(value);
        let margin = if before == Standing::Crossed { margin(series, bound) } else { 0.0 };
        if excess >= 0.0 || excess > -margin {
            return Finding::Crossed { value };
        }
    }
    // The line does not know of the jump yet: it would tell the date at which the old part was due.
    if before != Standing::Expected && series.trend_for(bound.horizon_ms).trend.is_jumping() {
        return Finding::Clear(NoForecast::BeganAnew);
    }
    let strictness = if before == Standing::Clear { Strictness::OPEN } else { Strictness::STAY };
    match forecast_with(series, bound, strictness, precedent) {
        Ok(forecast) => Finding::Expected(forecast),
        Err(reason) => Finding::Clear(reason),
    }
}

/// How far back a value must be to count as back: out of reach of the noise, or 1 % of the bound.
fn margin(series: &Series, bound: &Bound) -> f64 {
    let spread = series.trend_for(bound.horizon_ms).trend.line().map_or(0.0, |line| line.spread);
    (0.01 * bound.value.abs()).max(spread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DAY_MS, Side, testing::Noise};

    const MINUTE: i64 = 60_000;
    const HOT: Bound = Bound { value: 90.0, side: Side::Above, horizon_ms: DAY_MS };

    #[test]
    fn one_reading_beyond_the_bound_is_not_a_crossing() {
        let mut series = Series::default();
        for minute in 0..20 {
            let value = if minute == 10 { 500.0 } else { 40.0 };
            series.step(minute * MINUTE, value, Some(Side::Above));
            let finding = judge(&series, &HOT, Standing::Clear);
            assert!(!matches!(finding, Finding::Crossed { .. }), "minute {minute}: {finding:?}");
        }
    }

    #[test]
    fn two_readings_beyond_it_are() {
        let mut series = Series::default();
        for minute in 0..20 {
            series.step(minute * MINUTE, if minute >= 18 { 95.0 } else { 40.0 }, Some(Side::Above));
        }
        assert_eq!(judge(&series, &HOT, Standing::Clear), Finding::Crossed { value: 95.0 });
    }

    #[test]
    fn noise_at_the_bound_does_not_flicker() {
        let mut noise = Noise::new(9);
        let mut series = Series::default();
        let (mut standing, mut changes) = (Standing::Clear, 0);
        for minute in 0..2_000 {
            series.step(minute * MINUTE, 90.0 + 0.3 * noise.normal(), Some(Side::Above));
            let now = judge(&series, &HOT, standing).standing();
            changes += u32::from((now == Standing::Crossed) != (standing == Standing::Crossed));
            standing = now;
        }
        assert!(changes <= 3, "{changes} changes");
    }

    #[test]
    fn clears_when_the_value_is_clearly_back() {
        let mut series = Series::default();
        for minute in 0..10 {
            series.step(minute * MINUTE, 95.0, Some(Side::Above));
        }
        for minute in 10..16 {
            series.step(minute * MINUTE, 50.0, Some(Side::Above));
        }
        assert!(matches!(judge(&series, &HOT, Standing::Crossed), Finding::Clear(_)));
    }

    #[test]
    fn a_new_filter_clears_the_forecast() {
        let bound = Bound { value: 250.0, side: Side::Above, horizon_ms: 90 * DAY_MS };
        let mut noise = Noise::new(21);
        let mut series = Series::default();
        let mut standing = Standing::Clear;
        for hour in 0..1_000_i32 {
            let value = 120.0 + 0.1 * f64::from(hour) + 2.0 * noise.normal();
            series.step(i64::from(hour) * 60 * MINUTE, value, Some(Side::Above));
            standing = judge(&series, &bound, standing).standing();
        }
        assert_eq!(standing, Standing::Expected);
        for hour in 1_000..1_004_i32 {
            series.step(i64::from(hour) * 60 * MINUTE, 120.0 + 2.0 * noise.normal(), Some(Side::Above));
        }
        assert!(matches!(judge(&series, &bound, standing), Finding::Clear(_)));
    }

    #[test]
    fn white_noise_alone_rarely_opens_anything() {
        let bound = Bound { value: 20.0, side: Side::Above, horizon_ms: 90 * DAY_MS };
        let mut opened = 0;
        for seed in 0..200 {
            let mut noise = Noise::new(seed);
            let mut series = Series::default();
            for hour in 0..200 {
                series.step(hour * 60 * MINUTE, 10.0 + noise.normal(), Some(Side::Above));
            }
            opened +=
                u32::from(judge(&series, &bound, Standing::Clear) != Finding::Clear(NoForecast::NoTrend));
        }
        assert!(opened <= 2, "{opened} of 200");
    }
}

#[cfg(test)]
#[path = "wear_tests.rs"]
mod wear_tests;
