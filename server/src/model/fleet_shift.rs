//! What a version does to the readings of its devices: one alert instead of a thousand, also where no device alone is
//! unusual and no limit is set.
//!
//! The last readings of devices on a version are compared with those of the others of the same product and hardware, at
//! the same time, by rank. That alone would tell of every difference between who was updated first and who was not; so to
//! be told it also has to have changed on those devices more than on the others, measured against the weeks before.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use slipway_insight::{
    Side,
    fleet::{Shift, shift},
};
use slipway_trust::Version;

use super::{
    alert::{Alert, Evidence, Kind, Severity},
    alert_text::{metric_words, quantity},
    cross_section::Groups,
    fleet::FleetFinding,
    learned::Model,
    time::Timestamp,
};

/// Fewer devices on either side are not compared.
pub const LEAST_DEVICES: usize = 10;
/// Versions of one model that are compared: the newest.
const VERSIONS: usize = 20;
/// Ratio to what devices have without it; a smaller difference is nothing to act on.
const LEAST_SHARE: f64 = 0.05;
/// A device of the version changed more than one of the others with this probability.
const CHANGED: f64 = 0.7;
/// They grow with age or fall with each restart: they differ between versions and say nothing of them.
const AGES: [&str; 3] = ["system.uptime", "slipway.boots", "slipway.unclean_reboots"];
/// What the causes of these alerts begin with.
const CAUSE: &str = "level/";

/// What is compared: one metric in one place of one model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Measure {
    /// Metric.
    pub metric: String,
    /// Whose.
    pub model: Model,
}

/// One device.
#[derive(Clone, Debug)]
pub struct Compared {
    /// What it runs.
    pub version: Arc<str>,
    /// About its last 20 readings.
    pub now: f64,
    /// How much more that is than in the weeks before.
    pub change: f64,
    /// How far its readings lie from each other, on average.
    pub deviation: f64,
    /// Of a counter: all of it is of its rate, a second.
    pub is_rate: bool,
}

/// Whether an alert about the fleet is one of these.
pub fn is_one(alert: &Alert) -> bool {
    alert.kind == Kind::Fleet && alert.cause.starts_with(CAUSE)
}

/// Whether a metric is worth comparing.
pub fn is_comparable(metric: &str) -> bool {
    !AGES.contains(&metric)
}

/// What versions do to the readings of their devices, one of each product, version and metric. `living` are the alerts
/// about the fleet that are not resolved: what was told stays told until it is clearly gone, and what alerts of devices
/// tell already is not told again. `bad` says which side of a metric limits call bad; none where they do not say.
pub fn shifts(
    groups: &Groups<Measure, Compared>,
    living: &[Alert],
    bad: impl Fn(&str) -> Option<Side>,
    now: Timestamp,
) -> Vec<FleetFinding> {
    let told: BTreeSet<&str> = living.iter().map(|alert| alert.cause.as_str()).collect();
    let pairs: Vec<(&Measure, Pair)> = groups
        .iter()
        .flat_map(|(measure, group)| compare(group).into_iter().map(move |pair| (measure, pair)))
        .collect();
    let comparisons = pairs.len();
    // Of a metric in several places the clearest, with how clear it is in decades.
    let mut found: BTreeMap<String, (f64, FleetFinding)> = BTreeMap::new();
    for (measure, pair) in pairs {
        let name = format!("{}/version/{}/{}", measure.model.product, pair.version, measure.metric);
        let cause = format!("{CAUSE}{name}");
        let before = told.contains(cause.as_str());
        if told.contains(format!("fleet/{name}").as_str()) || !pair.is_told(comparisons, before) {
            continue;
        }
        let is_worse = bad(&measure.metric).map(|side| pair.rises() == (side == Side::Above));
        let severity = match is_worse {
            // What limits want: an update that helps is no trouble.
            Some(false) => continue,
            Some(true) => Severity::Warning,
            None => Severity::Info,
        };
        let decades = pair.levels.decades;
        if found.get(&cause).is_none_or(|(known, _)| *known < decades) {
            found.insert(cause.clone(), (decades, finding(cause, measure, &pair, severity, now)));
        }
    }
    found.into_values().map(|(_, finding)| finding).collect()
}

/// Devices with a version beside those without it.
struct Pair {
    version: Arc<str>,
    levels: Shift,
    changes: Shift,
    devices: usize,
    others: usize,
    /// What one device's readings differ by, in the middle of the others.
    deviation: f64,
    is_rate: bool,
}

fn compare(group: &[Compared]) -> Vec<Pair> {
    let mut versions: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
    for device in group {
        *versions.entry(&device.version).or_default() += 1;
    }
    let mut versions: Vec<(Option<Version>, &Arc<str>)> = versions
        .into_iter()
        .filter(|(_, devices)| *devices >= LEAST_DEVICES && group.len() - devices >= LEAST_DEVICES)
        .map(|(version, _)| (version.parse().ok(), version))
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.truncate(VERSIONS);
    versions.into_iter().filter_map(|(_, version)| Pair::of(version, group)).collect()
}

impl Pair {
    fn of(version: &Arc<str>, group: &[Compared]) -> Option<Self> {
        let (ours, others): (Vec<&Compared>, Vec<&Compared>) =
            group.iter().partition(|device| device.version == *version);
        let of = |devices: &[&Compared], value: fn(&Compared) -> f64| -> Vec<f64> {
            devices.iter().map(|device| value(device)).collect()
        };
        let levels = shift(&of(&ours, |device| device.now), &of(&others, |device| device.now))?;
        let changes = shift(&of(&ours, |device| device.change), &of(&others, |device| device.change))?;
        let mut deviations = of(&others, |device| device.deviation);
        deviations.sort_by(f64::total_cmp);
        Some(Pair {
            version: version.clone(),
            levels,
            changes,
            devices: ours.len(),
            others: others.len(),
            deviation: deviations.get(deviations.len() / 2).copied().unwrap_or_default(),
            is_rate: ours.iter().any(|device| device.is_rate),
        })
    }

    fn rises(&self) -> bool {
        self.levels.larger > 0.5
    }

    /// Whether it is this version that changed, in that direction, and not the others.
    fn has_changed(&self) -> bool {
        let Shift { larger, median, others_median, .. } = self.changes;
        let (towards, by) = if self.rises() { (larger, median) } else { (1.0 - larger, -median) };
        towards >= CHANGED && by > others_median.abs()
    }

    fn is_told(&self, comparisons: usize, before: bool) -> bool {
        let (own, other) = (self.levels.median, self.levels.others_median);
        let apart = (own - other).abs();
        let is_much = apart >= self.deviation && apart >= LEAST_SHARE * own.abs().max(other.abs());
        self.levels.is_told_among(comparisons, before) && (before || (is_much && self.has_changed()))
    }
}

/// What is told of a metric that lies elsewhere with a version than without it.
fn finding(
    cause: String,
    measure: &Measure,
    pair: &Pair,
    severity: Severity,
    now: Timestamp,
) -> FleetFinding {
    let Measure { metric, model } = measure;
    let what = metric_words(metric);
    let (more, beyond) = if pair.rises() { ("higher", "above") } else { ("lower", "below") };
    let say = |value: f64| {
        let text = quantity(value, &model.unit);
        if pair.is_rate { format!("{text} a second") } else { text }
    };
    let summary = format!(
        "With version {} {what} of {} is {more}: half of {} devices of {} on hardware {} are {beyond} {}, half of {} \
             others {beyond} {}.",
        pair.version,
        model.component,
        pair.devices,
        model.product,
        model.hardware,
        say(pair.levels.median),
        pair.others,
        say(pair.levels.others_median),
    );
    let recommendation = format!(
        "Look at what version {} changed that makes {what} {more}, before more devices get it.",
        pair.version
    );
    FleetFinding {
        cause,
        selector: format!("product = \"{}\" AND version = \"{}\"", model.product, pair.version),
        severity,
        summary,
        recommendation,
        evidence: Evidence {
            metric: metric.clone(),
            unit: model.unit.clone(),
            value: pair.levels.median,
            at_ms: now.millis(),
            limit: pair.levels.others_median,
            slope_per_day: 0.0,
            readings: u32::try_from(pair.devices).unwrap_or(u32::MAX),
        },
    }
}

#[cfg(test)]
#[path = "fleet_shift_tests.rs"]
mod tests;
