//! Capacities of batteries, cycle by cycle until they were worn out.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use slipway_insight::cohort::approach::{Approach, Approaches, Life};

/// A battery is worn out at this share of what it held when new.
const WORN_OUT: f64 = 0.85;
/// Answers count between these shares of a life.
const JUDGED: (f64, f64) = (0.5, 0.9);
/// Prometheus' `predict_linear` draws a line through a window; the best of these, for each cohort.
const WINDOWS: [usize; 3] = [20, 50, 100];

/// Cycle and capacity.
type Readings = Vec<(f64, f64)>;

/// What came out for one cohort.
pub struct Verdict {
    pub cohort: String,
    pub reached: usize,
    pub censored: usize,
    /// Mean error as a share of the life.
    pub error: f64,
    /// The same of `predict_linear`, with the window that suits the cohort best.
    pub linear: f64,
    /// Share of answers within the 80 % band, where one was claimed.
    pub coverage: Option<f64>,
}

/// Each battery judged by what the others of its cohort teach.
pub fn verdicts(folder: &Path) -> Result<Vec<Verdict>> {
    let path = folder.join("capacity.csv");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut cohorts: BTreeMap<&str, BTreeMap<&str, Readings>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let mut words = line.split(',');
        let mut word = || words.next().with_context(|| format!("{}: {line}", path.display()));
        let (cohort, cell) = (word()?, word()?);
        let reading = (word()?.parse()?, word()?.parse()?);
        cohorts.entry(cohort).or_default().entry(cell).or_default().push(reading);
    }
    Ok(cohorts.into_iter().map(|(name, cells)| judge(name, cells.into_values())).collect())
}

fn judge(cohort: &str, cells: impl Iterator<Item = Readings>) -> Verdict {
    let life = |readings: Readings| {
        let mut first: Vec<f64> = readings.iter().take(5).map(|reading| reading.1).collect();
        first.sort_by(f64::total_cmp);
        Life { limit: WORN_OUT * first[first.len() / 2], readings }
    };
    let lives: Vec<Life> = cells.map(life).collect();
    let ends: Vec<Option<usize>> = lives.iter().map(end).collect();
    let (mut errors, mut linear, mut within) = (Vec::new(), WINDOWS.map(|_| Vec::new()), Vec::new());
    for (number, (life, end)) in lives.iter().zip(&ends).enumerate() {
        let Some(end) = *end else { continue };
        let others: Vec<Life> = lives
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != number)
            .map(|(_, life)| life.clone())
            .collect();
        let Some(cohort) = Approaches::learn(&others) else { continue };
        let mut part = Approach::default();
        let length = end as f64;
        for (at, (time, value)) in life.readings[..end].iter().enumerate() {
            part.step(*time, *value);
            let left = (end - at) as f64;
            let share = at as f64 / length;
            let judged = (JUDGED.0..=JUDGED.1).contains(&share);
            let Some(outlook) = part.outlook(&cohort, life.limit).filter(|_| judged) else { continue };
            errors.push((outlook.p50 - left).abs() / length);
            within.extend(outlook.band.map(|(low, high)| f64::from((low..=high).contains(&left))));
            for (errors, window) in linear.iter_mut().zip(WINDOWS) {
                let predicted =
                    predict_linear(&life.readings[(at + 1).saturating_sub(window)..=at], life.limit);
                // A line that leads away, or nearly, says "never"; that is no worse than five lives.
                errors.push((predicted.clamp(0.0, 5.0 * length) - left).abs() / length);
            }
        }
    }
    let reached = ends.iter().flatten().count();
    Verdict {
        cohort: cohort.to_owned(),
        reached,
        censored: ends.len() - reached,
        error: mean(&errors),
        linear: linear.iter().map(|errors| mean(errors)).fold(f64::INFINITY, f64::min),
        coverage: (!within.is_empty()).then(|| mean(&within)),
    }
}

/// The first reading of three of which two are beyond the limit.
fn end(life: &Life) -> Option<usize> {
    let beyond = |three: &[(f64, f64)]| three.iter().filter(|reading| reading.1 <= life.limit).count() >= 2;
    life.readings.windows(3).position(beyond).map(|place| place + 1)
}

/// Readings until the least-squares line through `readings` reaches the limit.
fn predict_linear(readings: &[(f64, f64)], limit: f64) -> f64 {
    let count = readings.len() as f64;
    let x = readings.iter().map(|reading| reading.0).sum::<f64>() / count;
    let y = readings.iter().map(|reading| reading.1).sum::<f64>() / count;
    let sxx: f64 = readings.iter().map(|reading| (reading.0 - x).powi(2)).sum();
    let sxy: f64 = readings.iter().map(|reading| (reading.0 - x) * (reading.1 - y)).sum();
    let slope = sxy / sxx;
    let now = y + slope * (readings.last().map_or(0.0, |last| last.0) - x);
    if slope < 0.0 { (limit - now) / slope } else { f64::INFINITY }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
