//! Everything the server holds of a device, part by part: memory does not grow with what there is.

use std::{
    collections::{BTreeMap, BTreeSet},
    vec::IntoIter,
};

use slipway_archive::Row;

use super::{
    Context, Result,
    archive::{self, Readings},
    devices::{self, Seen},
};
use crate::{
    model::{
        alert::{Alert, Evidence},
        dictionary,
        time::Timestamp,
        update::{HistoryLine, Update},
    },
    store::{
        alerts::alerts_of_device, audit::audit_append, update_lists::updates_page, updates::history_list,
    },
};

/// Updates read at once.
const PAGE: i64 = 100;
/// Series that are counted; readings of further ones are exported all the same.
const SERIES: usize = 10_000;

/// One part.
#[derive(Clone, Debug)]
pub enum Part {
    /// What it is.
    Device(Box<Seen>),
    /// An update, with its history.
    Update(Box<Update>, Vec<HistoryLine>),
    /// An alert.
    Alert(Box<Alert>),
    /// At least one reading.
    Readings(Vec<Row>),
    /// A series, and how many readings it had.
    Series(Series, u64),
    /// A metric of its readings or alerts, and what it means.
    Metric(Metric),
}

/// What a metric means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// UCUM unit.
    pub unit: String,
    /// Data class; empty when no reading says.
    pub class: String,
    /// From where it counts; empty when only the owner knows.
    pub kind: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// Whether it is the owner's.
    pub is_owners: bool,
}

/// What identifies a series of a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// Part of the device.
    pub component: String,
    /// Metric name.
    pub metric: String,
    /// UCUM unit.
    pub unit: String,
    /// Data class.
    pub class: String,
}

/// An export under way.
#[derive(Debug)]
pub struct Export {
    ctx: Context,
    device_id: String,
    series: BTreeMap<Series, u64>,
    /// Metrics of alerts, with their units.
    told: BTreeMap<String, String>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Device(Box<Seen>),
    /// Those older than this one, and those that were read.
    Updates(Option<String>, IntoIter<Update>),
    Alerts(IntoIter<Alert>),
    Readings(Box<Readings>),
    Series(std::collections::btree_map::IntoIter<Series, u64>),
    Metrics(IntoIter<Metric>),
}

impl Export {
    /// Begins; that it was asked for is in the audit log. Refused with `DEVICE_NOT_FOUND`.
    pub async fn begin(ctx: &Context, actor: &str, device_id: &str) -> Result<Self> {
        let seen = devices::get(ctx, device_id).await?;
        let mut tx = ctx.db.write().await?;
        let resource = format!("devices/{device_id}");
        audit_append(&mut tx, ctx.clock.now(), actor, "ExportDevice", &resource, "").await?;
        tx.commit().await?;
        Ok(Export {
            ctx: ctx.clone(),
            device_id: device_id.to_owned(),
            series: BTreeMap::new(),
            told: BTreeMap::new(),
            stage: Stage::Device(Box::new(seen)),
        })
    }

    /// The next part; none at the end.
    pub async fn next(&mut self) -> Result<Option<Part>> {
        loop {
            match &mut self.stage {
                Stage::Device(seen) => {
                    let device = Part::Device(seen.clone());
                    self.stage = Stage::Updates(None, Vec::new().into_iter());
                    return Ok(Some(device));
                }
                Stage::Updates(before, read) => {
                    if let Some(update) = read.next() {
                        *before = Some(update.id.clone());
                        let mut tx = self.ctx.db.read().await?;
                        let history = history_list(&mut tx, &update.id).await?;
                        return Ok(Some(Part::Update(Box::new(update), history)));
                    }
                    let mut tx = self.ctx.db.read().await?;
                    let page = updates_page(&mut tx, Some(&self.device_id), before.as_deref(), PAGE).await?;
                    if page.is_empty() {
                        // Few: one for each part and cause, kept for a year.
                        let since = Timestamp::from_millis(i64::MIN);
                        let alerts = alerts_of_device(&mut tx, &self.device_id, since).await?;
                        self.stage = Stage::Alerts(alerts.into_iter());
                    } else {
                        *read = page.into_iter();
                    }
                }
                Stage::Alerts(alerts) => match alerts.next() {
                    Some(alert) => {
                        let Evidence { metric, unit, .. } = &alert.evidence;
                        if !metric.is_empty() {
                            self.told.insert(metric.clone(), unit.clone());
                        }
                        return Ok(Some(Part::Alert(Box::new(alert))));
                    }
                    None => {
                        let readings = archive::readings_of_device(&self.ctx, &self.device_id).await?;
                        self.stage = Stage::Readings(Box::new(readings));
                    }
                },
                Stage::Readings(readings) => match readings.next().await? {
                    Some(page) => {
                        page.iter().for_each(|row| count(&mut self.series, row));
                        return Ok(Some(Part::Readings(page)));
                    }
                    None => self.stage = Stage::Series(self.series.clone().into_iter()),
                },
                Stage::Series(series) => match series.next() {
                    Some((series, readings)) => return Ok(Some(Part::Series(series, readings))),
                    None => self.stage = Stage::Metrics(metrics(&self.series, &self.told).into_iter()),
                },
                Stage::Metrics(metrics) => return Ok(metrics.next().map(Part::Metric)),
            }
        }
    }
}

/// Each metric once, by name: as the dictionary has it, or as the readings and alerts do.
fn metrics(series: &BTreeMap<Series, u64>, told: &BTreeMap<String, String>) -> Vec<Metric> {
    let names: BTreeSet<&str> =
        series.keys().map(|series| series.metric.as_str()).chain(told.keys().map(String::as_str)).collect();
    let metric = |name: &str| match dictionary::find(name) {
        Some(entry) => Metric {
            name: name.to_owned(),
            unit: entry.unit.to_owned(),
            class: entry.class.as_str().to_owned(),
            kind: entry.kind,
            meaning: entry.meaning,
            is_owners: false,
        },
        None => {
            let measured = series.keys().find(|series| series.metric == name);
            let unit = measured.map(|series| series.unit.clone()).or_else(|| told.get(name).cloned());
            Metric {
                name: name.to_owned(),
                unit: unit.unwrap_or_default(),
                class: measured.map(|series| series.class.clone()).unwrap_or_default(),
                kind: "",
                meaning: "The owner's own: a program of the device sends it, and whoever wrote that knows what it says",
                is_owners: true,
            }
        }
    };
    names.into_iter().map(metric).collect()
}

fn count(series: &mut BTreeMap<Series, u64>, row: &Row) {
    let one = Series {
        component: row.component.to_string(),
        metric: row.metric.to_string(),
        unit: row.unit.to_string(),
        class: row.class.to_string(),
    };
    if series.len() < SERIES || series.contains_key(&one) {
        *series.entry(one).or_default() += 1;
    }
}
