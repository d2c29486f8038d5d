//! When the line crosses a bound: a distribution of the crossing time, or why there is none.

use serde::{Deserialize, Serialize};

use crate::{Bound, Series, days, millis, series::View, trend::Line};

/// Readings since the last restart before a line is believed at all.
const MIN_READINGS: u32 = 8;
/// A line is not drawn further than this many times the span it was seen over.
const MAX_STRETCH: f64 = 10.0;
/// Independent readings from which the band may be called an 80 % band. With fewer the spread
/// itself is uncertain by more than a sixth (1 / sqrt(2 · 18)), and the claim with it.
const CLAIM_EFFECTIVE: f64 = 20.0;
/// … and only where the line is drawn on by at most this share of the time it was seen to hold, and
/// has not bent lately: what wears faster and faster is not a line, and its date comes early.
const CLAIM_STRETCH: f64 = 1.0 / 3.0;
/// The standard normal's 90th percentile.
const Z90: f64 = 1.281_551_565_545;
/// Steps in which P90 is looked for between P50 and the horizon.
const SCAN: u32 = 256;

/// When a bound will be crossed. Times in milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// One in ten that it is crossed before.
    pub p10_ms: i64,
    /// As likely before as after.
    pub p50_ms: i64,
    /// Nine in ten that it is crossed before; none when that lies beyond the horizon.
    pub p90_ms: Option<i64>,
    /// How likely the crossing falls between P10 and P90, in percent; none when too few readings or
    /// too short a history carry the claim.
    pub percent: Option<u8>,
    /// Change per day.
    pub slope_per_day: f64,
    /// Its standard deviation.
    pub slope_error: f64,
    /// Standard deviation of the readings around the line.
    pub spread: f64,
    /// Readings since the last restart.
    pub readings: u32,
    /// Days they span.
    pub span_days: f64,
    /// Half-life of their weight, in days.
    pub half_life_days: f64,
}

impl Forecast {
    /// How it was found, for people; `unit` is the unit of the series.
    pub fn explanation(&self, unit: &str) -> String {
        let claim = match self.percent {
            // "an eight", "an eleven", "an eighteen", "an eighty-four".
            Some(percent @ (8 | 11 | 18 | 80..=89)) => format!("P10 to P90 is an {percent} % band"),
            Some(percent) => format!("P10 to P90 is a {percent} % band"),
            None => "not enough history to say how sure".to_owned(),
        };
        format!(
            "straight line through {} readings of {:.1} days, half weight after {} days: {:+.4} {unit} a day \
             (± {:.4}), readings within ± {:.4} {unit} of it; {claim}",
            self.readings,
            self.span_days,
            self.half_life_days,
            self.slope_per_day,
            self.slope_error,
            self.spread,
        )
    }
}

/// Why there is no forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoForecast {
    /// Not enough to draw a line through.
    #[error("too few readings")]
    TooFewReadings,
    /// The value stays, moves away from the bound, or moves less than its noise.
    #[error("no trend towards the limit")]
    NoTrend,
    /// It would cross later than the horizon, or later than so short a history can tell.
    #[error("the limit is further away than the horizon")]
    BeyondHorizon,
}

/// How much is asked of a trend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strictness {
    /// How many of its standard deviations the slope must differ from zero.
    pub significance: f64,
    /// The horizon is multiplied by this.
    pub horizon: f64,
}

impl Strictness {
    /// To say something new. Noise of its own passes three deviations once in 700 times.
    pub const OPEN: Strictness = Strictness { significance: 3.0, horizon: 1.0 };
    /// To stay with what was said: easier than to say it first, so that an alert does not flicker.
    pub const STAY: Strictness = Strictness { significance: 1.5, horizon: 1.25 };
}

/// When the series will cross `bound`, counted from its last reading.
pub fn forecast(series: &Series, bound: &Bound, strictness: Strictness) -> Result<Forecast, NoForecast> {
    let View { trend, half_life, neighbours, is_bent } = series.trend_for(bound.horizon_ms);
    let (Some((last_ms, _)), Some(line)) = (series.last(), trend.line()) else {
        return Err(NoForecast::TooFewReadings);
    };
    if trend.count() < MIN_READINGS || line.effective < 3.0 {
        return Err(NoForecast::TooFewReadings);
    }
    let slope = line.slope * bound.side.sign();
    if slope <= strictness.significance * line.slope_error() {
        return Err(NoForecast::NoTrend);
    }
    let span = days(last_ms.saturating_sub(trend.since_ms()));
    let path = Path::new(&line, &neighbours, bound, span, half_life);
    let p50 = (path.distance / slope).max(0.0);
    let horizon = days(bound.horizon_ms) * strictness.horizon;
    if p50 > horizon.min(MAX_STRETCH * span) {
        return Err(NoForecast::BeyondHorizon);
    }
    let z = student_90(line.effective - 2.0);
    Ok(Forecast {
        p10_ms: last_ms.saturating_add(millis(path.first(-z, 0.0, p50).unwrap_or(p50))),
        p50_ms: last_ms.saturating_add(millis(p50)),
        p90_ms: path.scan(z, p50, horizon).map(|x| last_ms.saturating_add(millis(x))),
        percent: (line.effective >= CLAIM_EFFECTIVE && p50 <= CLAIM_STRETCH * span && !is_bent).then_some(80),
        slope_per_day: line.slope,
        slope_error: line.slope_error(),
        spread: line.spread,
        readings: trend.count(),
        span_days: span,
        half_life_days: half_life,
    })
}

/// The line on its way to the bound, and how uncertain it becomes.
struct Path<'a> {
    line: &'a Line,
    /// From the line's level at the last reading to the bound; negative when it is crossed.
    distance: f64,
    /// Slope towards the bound.
    slope: f64,
    /// Variance of the slope that a day adds: what the half-life says about how long slopes last.
    drift: f64,
}

impl<'a> Path<'a> {
    fn new(line: &'a Line, neighbours: &[Option<Line>], bound: &Bound, span: f64, half_life: f64) -> Self {
        // A filter that forgets at rate λ is the right one for a slope that wanders with variance
        // λ⁴ · noise · interval a day (docs/forecasting.md). The mean interval between readings is
        // the weighted span over the sum of weights.
        let rate = std::f64::consts::LN_2 / half_life;
        let interval = (1.0 - (-rate * span).exp()) / rate / line.weight;
        let implied = rate.powi(4) * line.noise * interval;
        // What the slope seems to have wandered between the mean times of two memories. Noise is in it
        // and stays in it: nothing tells the two apart, and a band too wide is the better error.
        let seen = neighbours.iter().flatten().fold(0.0_f64, |most, other| {
            let apart = (other.mean_x - line.mean_x).abs();
            if apart > 0.0 { most.max((other.slope - line.slope).powi(2) / apart) } else { most }
        });
        Path {
            line,
            distance: -bound.excess(line.level),
            slope: line.slope * bound.side.sign(),
            drift: implied.max(seen),
        }
    }

    /// By how many standard deviations the bound is passed `x` days after the last reading.
    fn score(&self, x: f64) -> f64 {
        let variance = self.line.variance(x) + self.drift * (x - self.line.mean_x).powi(3) / 3.0;
        (self.slope * x - self.distance) / variance.sqrt()
    }

    /// Where the score reaches `target` between `low` and `high`, given that it grows there.
    fn first(&self, target: f64, mut low: f64, mut high: f64) -> Option<f64> {
        if self.score(high) < target {
            return None;
        }
        if self.score(low) >= target {
            return Some(low);
        }
        for _ in 0..60 {
            let middle = low.midpoint(high);
            if self.score(middle) < target { low = middle } else { high = middle }
        }
        Some(high)
    }

    /// As [`Path::first`], where the score may fall again: far out, uncertainty outgrows the slope.
    fn scan(&self, target: f64, low: f64, high: f64) -> Option<f64> {
        let width = (high - low) / f64::from(SCAN);
        (1..=SCAN)
            .map(|step| low + width * f64::from(step))
            .find(|x| self.score(*x) >= target)
            .and_then(|x| self.first(target, x - width, x))
    }
}

/// The 90th percentile of Student's t, by the Cornish-Fisher expansion; within 1 % from three
/// degrees of freedom on.
fn student_90(freedom: f64) -> f64 {
    let freedom = freedom.max(3.0);
    let z = Z90;
    z + (z.powi(3) + z) / (4.0 * freedom)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * freedom * freedom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DAY_MS, Side, testing::Noise};

    const HOUR: i64 = 3_600_000;

    fn bound(value: f64, side: Side, days: i64) -> Bound {
        Bound { value, side, horizon_ms: days * DAY_MS }
    }

    #[test]
    fn a_clean_line_crosses_where_it_must() {
        let mut series = Series::default();
        for day in 0..40 {
            series.step(day * DAY_MS, 100.0 + f64::from(i32::try_from(day).unwrap()), Some(Side::Above));
        }
        let found = forecast(&series, &bound(150.0, Side::Above, 90), Strictness::OPEN).unwrap();
        assert!((found.p50_ms - 50 * DAY_MS).abs() < HOUR, "{found:?}");
        assert!(found.p10_ms <= found.p50_ms && found.p50_ms <= found.p90_ms.unwrap());
        assert_eq!(found.percent, Some(80));
        for (percent, words) in
            [(80, "an 80 %"), (8, "an 8 %"), (90, "a 90 %"), (18, "an 18 %"), (50, "a 50 %")]
        {
            let said = Forecast { percent: Some(percent), ..found.clone() }.explanation("%");
            assert!(said.ends_with(&format!("; P10 to P90 is {words} band")), "{said}");
        }
    }

    #[test]
    fn every_refusal_says_why() {
        let mut series = Series::default();
        let far = bound(1000.0, Side::Above, 90);
        assert_eq!(forecast(&series, &far, Strictness::OPEN), Err(NoForecast::TooFewReadings));
        let mut noise = Noise::new(1);
        for hour in 0..100 {
            series.step(hour * HOUR, 10.0 + noise.normal(), Some(Side::Above));
        }
        assert_eq!(forecast(&series, &far, Strictness::OPEN), Err(NoForecast::NoTrend));
        let mut slow = Series::default();
        for hour in 0..100 {
            slow.step(hour * HOUR, 10.0 + 0.01 * f64::from(i32::try_from(hour).unwrap()), Some(Side::Above));
        }
        assert_eq!(forecast(&slow, &far, Strictness::OPEN), Err(NoForecast::BeyondHorizon));
        let away = bound(0.0, Side::Below, 90);
        assert_eq!(forecast(&slow, &away, Strictness::OPEN), Err(NoForecast::NoTrend));
    }

    #[test]
    fn minutes_of_history_do_not_forecast_months() {
        let mut series = Series::default();
        for second in 0..60 {
            series.step(second * 10_000, f64::from(i32::try_from(second).unwrap()), Some(Side::Above));
        }
        let far = bound(100_000.0, Side::Above, 90);
        assert_eq!(forecast(&series, &far, Strictness::OPEN), Err(NoForecast::BeyondHorizon));
    }

    /// Wear with known truth: `slope` a day, wandering by `wander` of itself a day. Returns how
    /// often the true crossing fell within the claimed band, and in how many runs one was claimed.
    fn coverage(wander: f64, correlation: f64, seed: u64) -> (f64, u32) {
        let (mut inside, mut claimed) = (0, 0);
        for run in 0..400 {
            let mut noise = Noise::new(seed + run);
            let mut series = Series::default();
            let (mut truth, mut slope, mut error) = (0.0, 0.8 + 0.4 * noise.unit(), 0.0);
            let mut said: Option<Forecast> = None;
            let mut crossed = None;
            for step in 0..4000_i64 {
                let at = step * 6 * HOUR;
                truth += slope / 4.0;
                slope += wander * noise.normal() / 2.0;
                error = correlation * error + (1.0 - correlation * correlation).sqrt() * noise.normal();
                if truth >= 100.0 {
                    crossed = Some(at);
                    break;
                }
                // One moment to speak in each run, while there is still way to go.
                if said.is_none() {
                    series.step(at, truth + 2.0 * error, Some(Side::Above));
                    if truth > 80.0 {
                        said = forecast(&series, &bound(100.0, Side::Above, 90), Strictness::OPEN).ok();
                        if said.is_none() {
                            break;
                        }
                    }
                }
            }
            let (Some(said), Some(crossed)) = (said, crossed) else { continue };
            if said.percent.is_some() {
                claimed += 1;
                inside += u32::from(said.p10_ms <= crossed && said.p90_ms.is_none_or(|p90| crossed <= p90));
            }
        }
        (f64::from(inside) / f64::from(claimed), claimed)
    }

    #[test]
    fn the_band_covers_what_it_claims() {
        // A slope that never changes is easier than the half-life assumes: the band may be wide.
        let (steady, runs) = coverage(0.0, 0.0, 1_000);
        assert!(runs > 300 && (0.78..=0.99).contains(&steady), "steady slope: {steady} of {runs}");
        // Noise that resembles its neighbour carries less than its count.
        let (correlated, runs) = coverage(0.0, 0.8, 2_000);
        assert!(
            runs > 100 && (0.70..=0.97).contains(&correlated),
            "correlated noise: {correlated} of {runs}"
        );
        // A slope that wanders is what the drift term is for: 0.4 % a day here, 2 % over a month.
        let (wandering, runs) = coverage(0.004, 0.0, 3_000);
        assert!(runs > 300 && (0.70..=0.97).contains(&wandering), "wandering slope: {wandering} of {runs}");
    }

    #[test]
    fn student_agrees_with_tables() {
        for (freedom, table) in [(3.0, 1.638), (5.0, 1.476), (10.0, 1.372), (30.0, 1.310), (1e9, 1.2816)] {
            assert!((student_90(freedom) - table).abs() < 0.015, "{freedom}");
        }
    }
}
