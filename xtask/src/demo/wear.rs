//! A part that wears out: the air filter of one pump. Its differential pressure rises until an alert says when it will
//! cross its limit; the customer whose pump it is hears it, and nobody else.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::cli::{Stream, list, text};
use super::fleet::{CUSTOMERS, Fleet, path};
use super::show::Show;
use crate::clock::{self, Stopwatch};

/// The pump with the old filter.
pub const DEVICE: &str = "pump-03";

const COMPONENT: &str = "air-filter";
const METRIC: &str = "hw.filter.differential_pressure";

/// A clean filter resists by 60 Pa; at 250 it has to be changed.
const CLEAN: f64 = 60.0;
const LIMIT: f64 = 250.0;

/// The series: a reading an hour for sixty days, the last one now; the limit is crossed twelve days later.
const DAYS: f64 = 60.0;
const DAYS_LEFT: f64 = 12.0;
const READINGS: u32 = 60 * 24;

/// How far the middle of the forecast may be from the truth, days.
const TOLERANCE: f64 = 4.0;

/// How long an alert may take, from the agent's start to the client's screen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes the recorded series as the agent replays it.
///
/// The pressure grows by the same amount every day, as dust does that comes at a steady rate; it follows the load of the
/// day (±4 Pa), and the sensor adds ±2.5 Pa.
pub fn write_series(file: &Path) -> Result<()> {
    let mut text = "seconds,component,metric,unit,class,value\n".to_owned();
    let mut noise = Noise(0x5117_0a11);
    for reading in 0..=READINGS {
        let days = DAYS * f64::from(reading) / f64::from(READINGS);
        let wear = (LIMIT - CLEAN) / (DAYS + DAYS_LEFT) * days;
        let load = 4.0 * (days * std::f64::consts::TAU).sin();
        let value = CLEAN + wear + load + 2.5 * noise.next();
        let seconds = days * 86_400.0;
        text.push_str(&format!("{seconds:.0},{COMPONENT},{METRIC},Pa,diagnostic,{value:.2}\n"));
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Numbers between -1 and 1 that look like chance and are the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        // The generator of Knuth's MMIX; its upper bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let upper = u32::try_from(self.0 >> 33).unwrap_or_default();
        f64::from(upper) / f64::from(u32::MAX >> 1) * 2.0 - 1.0
    }
}

/// Both customers watch; the series is replayed; returns what happened in a sentence.
pub fn alert(fleet: &mut Fleet, show: &Show) -> Result<String> {
    let [(mine, _), (other, _)] = CUSTOMERS;
    let admin = fleet.admin();
    admin.run(&[
        "limit",
        "set",
        COMPONENT,
        "--metric",
        METRIC,
        &format!("--value={LIMIT}"),
        "--component",
        COMPONENT,
        "--part",
        "air filter",
        "--lead-time",
        "5d",
    ])?;
    let client = fleet.client(mine)?;
    let stranger = fleet.client(other)?;
    let watching = client.stream(&["alert", "watch"])?;
    let watching_too = stranger.stream(&["alert", "watch"])?;

    let series = fleet.dir().join("air-filter.csv");
    write_series(&series)?;
    fleet.allow_diagnostics(DEVICE)?;
    let watch = Stopwatch::start();
    fleet.start_agent(DEVICE, &["--replay", path(&series)?, "--telemetry-interval", "1"])?;
    show.note(&format!("{DEVICE} replays {READINGS} hours of its air filter"));

    let alert = first_alert(&watching, &watch, || fleet.check_alive())?;
    let seconds = watch.seconds();
    let days = check(&alert)?;
    show.note(&format!("{mine} hears: {}", text(&alert, "/summary")));

    // The other client had the same time and more; its list is empty because it may not see the device, not because
    // its token is bad.
    stranger.run(&["token", "whoami"]).context("the other client's token does not work")?;
    let seen = stranger.json(&["alert", "list"])?;
    let heard = watching_too.said();
    if !list(&seen, "").is_empty() || !heard.is_empty() {
        bail!("{other} saw an alert of {mine}'s {DEVICE}: {seen} {heard:?}");
    }
    let again = client.json(&["alert", "list"])?;
    if list(&again, "").len() != 1 {
        bail!("{mine} should see exactly one alert, the living one, but sees {again}");
    }
    Ok(format!(
        "{DEVICE}: {mine}'s service desk heard after {seconds:.1} s that the limit is {days:.0} days away \
         (truth: {DAYS_LEFT:.0}); {other}'s heard nothing"
    ))
}

fn first_alert(stream: &Stream, watch: &Stopwatch, mut check: impl FnMut() -> Result<()>) -> Result<Value> {
    while let Some(left) = PATIENCE.checked_sub(watch.elapsed()) {
        let Some(change) = stream.next(left, &mut check).context("no alert reached the client")? else {
            bail!("the client's `slipway alert watch` ended before an alert came");
        };
        if let Some(alert) = change.get("alert").filter(|alert| alert.is_object())
            && text(alert, "/component") == COMPONENT
            && !text(alert, "/forecast/p50").is_empty()
        {
            return Ok(alert.clone());
        }
    }
    bail!("no alert with a forecast reached the client within {} seconds", PATIENCE.as_secs())
}

/// Is the alert about the right part, and its forecast sensible? Returns the days to the middle of the forecast.
fn check(alert: &Value) -> Result<f64> {
    let device = text(alert, "/device");
    if device != format!("devices/{DEVICE}") {
        bail!("the alert is about {device}, not {DEVICE}");
    }
    let now = clock::unix_seconds();
    let days = |name: &str| -> Result<f64> {
        let time = text(alert, &format!("/forecast/{name}"));
        let at = clock::parse_utc(time).with_context(|| format!("forecast.{name} is '{time}'"))?;
        // A forecast is decades away at most: exact in an f64.
        Ok((at - now) as f64 / 86_400.0)
    };
    let (early, middle) = (days("p10")?, days("p50")?);
    if early > middle || (middle - DAYS_LEFT).abs() > TOLERANCE {
        bail!("the limit is {DAYS_LEFT} days away, but the forecast says {middle:.1} (P10 {early:.1})");
    }
    Ok(middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_rises_to_just_below_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("series.csv");
        write_series(&file).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let values: Vec<f64> =
            text.lines().skip(1).map(|line| line.rsplit(',').next().unwrap().parse().unwrap()).collect();
        assert_eq!(values.len(), 1441);
        assert!(values.iter().all(|value| *value < LIMIT));
        let mean = |part: &[f64]| part.iter().sum::<f64>() / f64::from(u32::try_from(part.len()).unwrap());
        let (first, last) = (mean(&values[..24]), mean(&values[values.len() - 24..]));
        let slope = (last - first) / (DAYS - 1.0);
        assert!(((LIMIT - last) / slope - DAYS_LEFT).abs() < 1.5, "{first} {last}");
        write_series(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
}
