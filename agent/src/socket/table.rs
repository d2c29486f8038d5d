//! What programs told since the last readings were taken: one entry a series, and no more series than configured.

use std::collections::BTreeMap;

use slipway_proto::v1::Reading;

use super::settings::Settings;
use crate::collect::{SYSTEM, wire_time};

/// Longest name of a component, of a metric, of a unit, as the server takes them.
const COMPONENT: usize = 63;
const METRIC: usize = 128;
const UNIT: usize = 16;
/// A series that nobody told of for so long makes room for another, in milliseconds.
const IDLE: i64 = 3_600_000;
/// What no program may call its metrics: they are the agent's.
const OURS: &str = "slipway.";

/// What a program tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// What is now.
    Is(f64),
    /// By how much what was has changed.
    Moved(f64),
    /// So much more than before.
    More(f64),
    /// So much since a moment, in any unit that does not repeat: a program that starts over has another.
    Since(f64, u64),
}

/// Series by component and metric.
#[derive(Debug)]
pub struct Table {
    settings: Settings,
    run_id: String,
    series: BTreeMap<(String, String), Series>,
    /// Series made so far: what counts from zero anew is told apart by it.
    made: u64,
    refused: u64,
    complaint: Option<String>,
}

#[derive(Debug)]
struct Series {
    unit: String,
    value: f64,
    /// Where it counts from; empty when it does not count.
    start: String,
    fresh: bool,
    /// When it was drained last, having been told; none before.
    told: Option<i64>,
}

impl Table {
    /// An empty one.
    pub fn new(settings: &Settings, run_id: &str) -> Self {
        Self {
            settings: settings.clone(),
            run_id: run_id.to_owned(),
            series: BTreeMap::new(),
            made: 0,
            refused: 0,
            complaint: None,
        }
    }

    /// Takes a value, or counts it among those refused. The component is the configured one when it is empty; the
    /// unit is 1.
    ///
    /// # Errors
    /// Why it was refused.
    pub fn take(&mut self, component: &str, metric: &str, unit: &str, value: Value) -> Result<(), String> {
        let taken = self.try_take(component, metric, unit, value);
        if let Err(why) = &taken {
            self.refuse(why);
        }
        taken
    }

    /// Counts a value that was not even one.
    pub fn refuse(&mut self, why: &str) {
        self.refused = self.refused.saturating_add(1);
        self.complaint.get_or_insert_with(|| why.to_owned());
    }

    /// Every series that was told of since, as of `now` in milliseconds.
    pub fn drain(&mut self, now: i64) -> Vec<Reading> {
        let mut readings = Vec::new();
        for ((component, metric), series) in &mut self.series {
            if std::mem::take(&mut series.fresh) {
                series.told = Some(now);
                readings.push(Reading {
                    component: component.clone(),
                    metric: metric.clone(),
                    unit: series.unit.clone(),
                    data_class: self.settings.class(metric).into(),
                    time: Some(wire_time(now)),
                    value: series.value,
                    boot_id: series.start.clone(),
                });
            }
        }
        // A clock that goes back ends an idle time as well.
        self.series.retain(|_, series| series.told.is_none_or(|told| (0..IDLE).contains(&(now - told))));
        readings
    }

    /// How many values were refused so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The first reason to refuse since this was asked last.
    pub fn complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }

    fn try_take(&mut self, component: &str, metric: &str, unit: &str, value: Value) -> Result<(), String> {
        let metric = metric_name(metric)?;
        let component = if component.is_empty() { self.settings.component.as_str() } else { component };
        if !is_component(component) {
            return Err(format!("the component {} is no name, or the agent's own", shown(component)));
        }
        let unit = if unit.is_empty() { "1" } else { unit };
        if unit.len() > UNIT || !unit.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("{} is no UCUM unit of at most {UNIT} characters", shown(unit)));
        }
        let (Value::Is(number) | Value::Moved(number) | Value::More(number) | Value::Since(number, _)) =
            value;
        if !number.is_finite() {
            return Err(format!("the value of {metric} is no number"));
        }
        if matches!(value, Value::More(number) if number < 0.0) {
            return Err(format!("the counter {metric} was to become less"));
        }
        let counts_on = matches!(value, Value::More(_));
        let key = (component.to_owned(), metric);
        let known = self.series.get(&key);
        if known.is_none() && self.series.len() >= self.settings.series {
            let most = self.settings.series;
            return Err(format!("{} is one series too many: metrics.series is {most}", shown(&key.1)));
        }
        // A program that begins to count what it measured, or in another unit, begins anew.
        let known =
            known.filter(|series| series.unit == unit && counts_on == series.start.starts_with(&self.run_id));
        let before = known.map_or(0.0, |series| series.value);
        let start = match (value, known) {
            (Value::Is(_) | Value::Moved(_), _) => String::new(),
            (Value::Since(_, 0), _) => String::new(),
            (Value::Since(_, start), _) => format!("otlp-{start}"),
            (Value::More(_), Some(series)) => series.start.clone(),
            (Value::More(_), None) => {
                self.made += 1;
                format!("{}.{}", self.run_id, self.made)
            }
        };
        let value = match value {
            Value::Is(value) | Value::Since(value, _) => value,
            Value::Moved(by) | Value::More(by) => before + by,
        };
        if !value.is_finite() {
            return Err(format!("{} grew beyond every number", shown(&key.1)));
        }
        let told = self.series.get(&key).and_then(|series| series.told);
        self.series.insert(key, Series { unit: unit.to_owned(), value, start, fresh: true, told });
        Ok(())
    }
}

/// A name in the letters that names of metrics have. OpenTelemetry does not tell case apart either.
pub(super) fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

/// A metric's name, if it can be one.
fn metric_name(name: &str) -> Result<String, String> {
    let plain = plain(name);
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'/');
    if !(1..=METRIC).contains(&plain.len()) || !plain.bytes().all(allowed) {
        return Err(format!("the metric {} is no name", shown(name)));
    }
    if plain.starts_with(OURS) {
        return Err(format!("the metric {} has a name that is the agent's own", shown(name)));
    }
    Ok(plain)
}

/// Whether a program may speak of a component of this name: not of the machine as a whole.
pub(crate) fn is_component(name: &str) -> bool {
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.' | b'/');
    (1..=COMPONENT).contains(&name.len()) && name.bytes().all(allowed) && name != SYSTEM
}

/// What a stranger said, fit to be shown: quoted, escaped and short.
pub(crate) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(40).collect();
    format!("{cut:?}{}", if cut.len() < text.len() { "…" } else { "" })
}
