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
    for (percent, words) in [(80, "an 80 %"), (8, "an 8 %"), (90, "a 90 %"), (18, "an 18 %"), (50, "a 50 %")]
    {
        let said = Forecast { percent: Some(percent), ..found.clone() }.explanation("%");
        assert!(said.ends_with(&format!("; P10 to P90 is {words} band")), "{said}");
    }
    let of = |unit| Forecast { percent: None, span_days: 0.3, ..found.clone() }.explanation(unit);
    assert_eq!(
        of("1").split_once("; ").unwrap().1,
        "too little history for a percentage: P10 and P90 are rough"
    );
    assert!(of("1").starts_with("straight line through 40 readings of 7.2 hours, half weight after "));
    for (unit, said) in
        [("1", "+1.0000 a day"), ("{erase}", "+1.0000 erase a day"), ("Pa", "+1.0000 Pa a day")]
    {
        assert!(of(unit).contains(said), "{}", of(unit));
    }
}

#[test]
fn others_give_the_dates_and_the_series_says_whether_there_is_a_trend() {
    let bound = bound(150.0, Side::Above, 60);
    let precedent = |p50: f64| Precedent { p10: p50 / 2.0, p50, p90: 3.0 * p50, lives: 31 };
    let rising = |slope: f64| {
        let mut noise = Noise::new(4);
        let mut series = Series::default();
        for day in 0..40_i32 {
            let value = 100.0 + slope * f64::from(day) + 0.1 * noise.normal();
            series.step(i64::from(day) * DAY_MS, value, Some(Side::Above));
        }
        series
    };
    // By its own line it would take years.
    let slow = rising(0.05);
    assert_eq!(forecast(&slow, &bound, Strictness::OPEN), Err(NoForecast::BeyondHorizon));
    let found = forecast_with(&slow, &bound, Strictness::OPEN, Some(&precedent(30.0))).unwrap();
    let last = 39 * DAY_MS;
    assert_eq!((found.p10_ms, found.p50_ms), (last + 15 * DAY_MS, last + 30 * DAY_MS));
    assert_eq!((found.p90_ms, found.percent, found.comparable), (None, Some(80), 31));
    assert!((found.slope_per_day - 0.05).abs() < 0.01);
    let said = found.explanation("Pa");
    assert!(
        said.starts_with("by how 31 comparable parts") && said.contains("an 80 % band, measured"),
        "{said}"
    );
    let far = forecast_with(&rising(1.0), &bound, Strictness::OPEN, Some(&precedent(70.0)));
    assert_eq!(far, Err(NoForecast::BeyondHorizon), "others took longer than the line says");
    let stays = forecast_with(&rising(0.0), &bound, Strictness::OPEN, Some(&precedent(30.0)));
    assert_eq!(stays, Err(NoForecast::NoTrend));
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

#[test]
fn a_trend_must_have_lasted_for_a_day_or_a_quarter_of_a_short_horizon() {
    // A disk on which a new device installs its software: from 40 % to 60 %, in a minute, in eight, in a day.
    let filled = |readings: i64, every_ms: i64, slope_per_day: f64| {
        let mut series = Series::default();
        for reading in 0..readings {
            let at = reading * every_ms;
            series.step(at, 0.4 + slope_per_day * days(at), Some(Side::Above));
        }
        series
    };
    let full = |days| bound(0.95, Side::Above, days);
    for (readings, every_ms) in [(9, 7_000), (67, 7_000), (23, HOUR)] {
        let steep = filled(readings, every_ms, 0.2 * 86_400_000.0 / (every_ms * readings) as f64);
        for strictness in [Strictness::OPEN, Strictness::STAY] {
            assert_eq!(forecast(&steep, &full(30), strictness), Err(NoForecast::TooShort), "{readings}");
        }
    }
    // After a day it is told, and where the limit looks ahead for a day after six hours.
    assert!(forecast(&filled(25, HOUR, 0.2), &full(30), Strictness::OPEN).is_ok());
    let by_the_hour = filled(7, HOUR, 0.8);
    assert_eq!(forecast(&by_the_hour, &full(1), Strictness::OPEN), Err(NoForecast::TooFewReadings));
    assert!(forecast(&filled(13, HOUR / 2, 0.8), &full(1), Strictness::OPEN).is_ok());
    assert_eq!(forecast(&filled(12, HOUR / 2, 0.8), &full(1), Strictness::OPEN), Err(NoForecast::TooShort));
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
    assert!(runs > 100 && (0.70..=0.97).contains(&correlated), "correlated noise: {correlated} of {runs}");
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
