//! When the line crosses a bound: a distribution of the crossing time, or why there is none.

use serde::{Deserialize, Serialize};

use crate::{Bound, Series, cohort::approach::Precedent, days, millis, series::View, trend::Line};

/// Readings since the last restart before a line is believed at all.
const MIN_READINGS: u32 = 8;
/// A line is not drawn further than this many times the span it was seen over.
const MAX_STRETCH: f64 = 10.0;
/// Days that a line must have been seen over: within less than a day, what comes and goes with the day looks like wear,
/// and so does the first hour of a device, which writes its logs and caches.
const MIN_SPAN: f64 = 1.0;
/// … or this share of the horizon, where the limit looks ahead by less than four days.
const MIN_SHARE: f64 = 0.25;
/// Independent readings from which the band may be called an 80 % band. With fewer the spread
/// itself is uncertain by more than a sixth (1 / sqrt(2 · 18)), and the claim with it.
const CLAIM_EFFECTIVE: f64 = 20.0;
/// … and only where the line is drawn on by at most this share of the time it was seen to hold, and
/// has not bent lately: what wears faster and faster is not a line, and its date comes early.
const CLAIM_STRETCH: f64 = 1.0 / 3.0;
/// Half of a step, in standard deviations of what a line through steps leaves over: √3.
const HALF_STEP: f64 = 1.732_050_807_568_877_2;
/// A memory that looks ahead for at least this share of the horizon may say that there is no trend any more.
const END_SHARE: f64 = 0.25;
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
    /// From how many comparable parts, which came to the same limit, the dates were learned; 0 when they are
    /// those of the line.
    #[serde(default)]
    pub comparable: u32,
    /// Where they were learned from what several sensors said of other parts until those failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_lives: Option<ByLives>,
}

/// What dates stand on that were learned from the recorded lives of other parts; how many is in [`Forecast::comparable`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ByLives {
    /// Sensors that show the wear.
    pub sensors: u32,
    /// Root mean square error of P50 on lives that it was not learned from, in days.
    pub error_days: f64,
}

impl Forecast {
    /// How it was found, for people; `unit` is the unit of the series.
    pub fn explanation(&self, unit: &str) -> String {
        let claim = match self.percent {
            // "an eight", "an eleven", "an eighteen", "an eighty-four".
            Some(percent @ (8 | 11 | 18 | 80..=89)) => format!("P10 to P90 is an {percent} % band"),
            Some(percent) => format!("P10 to P90 is a {percent} % band"),
            None => "too little history for a percentage: P10 and P90 are rough".to_owned(),
        };
        let told = |days: f64| match days {
            span if span < 1.0 => format!("{:.1} hours", span * 24.0),
            span => format!("{span:.1} days"),
        };
        if let Some(ByLives { sensors, error_days }) = self.by_lives {
            let of = if sensors == 1 { "sensor" } else { "sensors" };
            return format!(
                "by how {sensors} {of} went in the recorded lives of {} parts until they failed, held against {} readings \
                 of this one; {claim}, measured on lives that it was not learned from, where the date was off by {} \
                 (root mean square)",
                self.comparable,
                self.readings,
                told(error_days),
            );
        }
        // A share has the unit "1", and what is counted one in braces.
        let unit = match unit {
            "" | "1" => String::new(),
            other => format!(" {}", other.trim_matches(['{', '}'])),
        };
        let seen = told(self.span_days);
        let line = format!(
            "straight line through {} readings of {seen}, half weight after {} days: {:+.4}{unit} a day (± {:.4}), \
             readings within ± {:.4}{unit} of it",
            self.readings, self.half_life_days, self.slope_per_day, self.slope_error, self.spread,
        );
        match self.comparable {
            0 => format!("{line}; {claim}"),
            lives => format!(
                "by how {lives} comparable parts came to this limit, which was nearer than a straight line for those \
                 among them that it was tried on; {claim}, measured on them; the line by itself: {line}"
            ),
        }
    }
}

/// Why there is no forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoForecast {
    /// Not enough to draw a line through.
    #[error("too few readings")]
    TooFewReadings,
    /// It went back, and what came before says nothing any more.
    #[error("its readings begin anew, as with a new part or after a refill")]
    BeganAnew,
    /// The value stays, moves away from the bound, or moves less than its noise.
    #[error("no trend towards the limit")]
    NoTrend,
    /// It would cross later than the horizon, or later than so short a history can tell.
    #[error("the limit is further away than the horizon")]
    BeyondHorizon,
    /// There is a trend, seen for too short a time to be told from what comes and goes with the day.
    #[error("the trend is too young to forecast by")]
    TooShort,
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
    forecast_with(series, bound, strictness, None)
}

/// The same, where others may have shown how it goes on from here: then the dates are theirs. Whether there is a
/// trend at all is for the series itself to say.
pub fn forecast_with(
    series: &Series,
    bound: &Bound,
    strictness: Strictness,
    precedent: Option<&Precedent>,
) -> Result<Forecast, NoForecast> {
    let mut told = Err(NoForecast::TooFewReadings);
    for view in series.trends_for(bound.horizon_ms) {
        told = by_view(series, &view, bound, strictness, precedent);
        let reach = view.reach();
        let is_within = match &told {
            Ok(forecast) => days(forecast.p50_ms.saturating_sub(series.last_ms)) <= reach,
            // That wear has ended is for a memory to say that looks ahead for more than the night.
            Err(NoForecast::NoTrend) => reach >= END_SHARE * days(bound.horizon_ms),
            Err(_) => false,
        };
        if is_within {
            break;
        }
    }
    told
}

fn by_view(
    series: &Series,
    view: &View<'_>,
    bound: &Bound,
    strictness: Strictness,
    precedent: Option<&Precedent>,
) -> Result<Forecast, NoForecast> {
    let View { trend, half_life, neighbours, is_bent } = *view;
    let (Some((last_ms, _)), Some(line)) = (series.last(), trend.line()) else {
        return Err(NoForecast::TooFewReadings);
    };
    if trend.count() < MIN_READINGS && series.restarts() > 0 {
        return Err(NoForecast::BeganAnew);
    }
    // Of a slope that changed neighbours resemble each other because the line does not bend, not because they say little.
    let independent = if is_bent { line.worth } else { line.effective };
    if trend.count() < MIN_READINGS || independent < 3.0 {
        return Err(NoForecast::TooFewReadings);
    }
    let slope = line.slope * bound.side.sign();
    if slope <= strictness.significance * line.slope_error() {
        return Err(NoForecast::NoTrend);
    }
    let span = days(last_ms.saturating_sub(trend.since_ms()));
    let horizon = days(bound.horizon_ms) * strictness.horizon;
    let dates = match precedent {
        Some(precedent) => Dates::by_others(precedent, horizon),
        None => {
            let path = Path::new(&line, &neighbours, bound, span, half_life);
            path.dates(student_90(line.effective - 2.0), horizon, span, !is_bent)
        }
    };
    let Dates { p10, p50, p90, percent, comparable } = dates.ok_or(NoForecast::BeyondHorizon)?;
    // Of the horizon that was set: what stays said is asked for no longer a history than what is said first.
    if span < MIN_SPAN.min(MIN_SHARE * days(bound.horizon_ms)) {
        return Err(NoForecast::TooShort);
    }
    let at = |ahead| last_ms.saturating_add(millis(ahead));
    Ok(Forecast {
        p10_ms: at(p10),
        p50_ms: at(p50),
        p90_ms: p90.map(at),
        percent,
        comparable,
        slope_per_day: line.slope,
        slope_error: line.slope_error(),
        spread: line.spread,
        readings: trend.count(),
        span_days: span,
        half_life_days: half_life,
        by_lives: None,
    })
}

/// The distribution of the crossing time, in days after the last reading.
struct Dates {
    p10: f64,
    p50: f64,
    p90: Option<f64>,
    percent: Option<u8>,
    comparable: u32,
}

impl Dates {
    /// None when the middle one is beyond the horizon.
    fn by_others(others: &Precedent, horizon: f64) -> Option<Self> {
        (others.p50 <= horizon).then(|| Dates {
            p10: others.p10,
            p50: others.p50,
            p90: (others.p90 <= horizon).then_some(others.p90),
            percent: Some(80),
            comparable: u32::try_from(others.lives).unwrap_or(u32::MAX),
        })
    }
}

/// The line on its way to the bound, and how uncertain it becomes.
struct Path<'a> {
    line: &'a Line,
    /// From the line's level at the last reading to where readings are at the bound; negative when it is crossed.
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
        // Readings, and not the line, come to the bound. Those that go in steps are there half a step before it.
        let beside = if line.is_shaped { HALF_STEP * line.spread } else { 0.0 };
        Path {
            line,
            distance: -bound.excess(line.level) - beside,
            slope: line.slope * bound.side.sign(),
            drift: implied.max(seen),
        }
    }

    /// None when the line comes to the bound later than the horizon, or than so short a span can tell. `z` is how
    /// many standard deviations P10 and P90 are away.
    fn dates(&self, z: f64, horizon: f64, span: f64, is_straight: bool) -> Option<Dates> {
        let p50 = (self.distance / self.slope).max(0.0);
        if p50 > horizon.min(MAX_STRETCH * span) {
            return None;
        }
        let is_line = is_straight && !self.line.is_shaped;
        let is_claimed = self.line.effective >= CLAIM_EFFECTIVE && p50 <= CLAIM_STRETCH * span && is_line;
        Some(Dates {
            p10: self.first(-z, 0.0, p50).unwrap_or(p50),
            p50,
            p90: self.scan(z, p50, horizon),
            percent: is_claimed.then_some(80),
            comparable: 0,
        })
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
#[path = "forecast_tests.rs"]
mod tests;
