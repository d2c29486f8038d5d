//! What devices measured, for people: series, readings for a chart, and exports. A device out of the caller's scope does
//! not exist for him.

use std::collections::{BTreeMap, BTreeSet};

use slipway_archive::Row;

use super::{
    Context, Result,
    archive::{Devices, Readings, Select, inbox_page},
    devices,
    token_cache::TokenCaller,
};
use crate::{
    model::{
        bucket::{Buckets, Point},
        device::DataClass,
        page::Page,
        selector::Selector,
        time::Timestamp,
    },
    store::{
        archive::archive_through,
        archive_series::{ArchivedSeries, archive_series_of_device},
        devices::{device_get, devices_page},
        series::series_of_device,
    },
};

/// Devices read at once.
const CHUNK: i64 = 500;

/// The readings of one series, for a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// The newest reading; none when there is none.
    pub newest: Option<Newest>,
    /// The points, by time.
    pub points: Vec<Point>,
    /// Length of a bucket, ms; none if each point is a reading.
    pub bucket: Option<i64>,
    /// Readings in all.
    pub readings: u64,
}

/// The last reading of a series, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Newest {
    /// UCUM unit.
    pub unit: String,
    /// Its class.
    pub class: DataClass,
    /// When.
    pub at: Timestamp,
    /// What.
    pub value: f64,
}

/// Refuses a device that is not there, or not for this caller.
pub async fn check_visible(ctx: &Context, caller: &TokenCaller, device_id: &str) -> Result<()> {
    let mut tx = ctx.db.read().await?;
    let device = device_get(&mut tx, device_id).await?;
    if device.is_some_and(|device| caller.may_see(&device)) {
        return Ok(());
    }
    Err(devices::not_found(device_id).field("parent").into())
}

/// One page of the series of a device, by component and metric, and the token of the next.
pub async fn series(ctx: &Context, device_id: &str, page: &Page) -> Result<(Vec<ArchivedSeries>, String)> {
    let mut newest: BTreeMap<(String, String), ArchivedSeries> = BTreeMap::new();
    let mut add = |one: ArchivedSeries| {
        let key = (one.component.clone(), one.metric.clone());
        match newest.get(&key) {
            Some(known) if known.last_at >= one.last_at => {}
            _ => drop(newest.insert(key, one)),
        }
    };
    let mut tx = ctx.db.read().await?;
    let through = archive_through(&mut tx).await?;
    archive_series_of_device(&mut tx, device_id).await?.into_iter().for_each(&mut add);
    let mut after = None;
    while let Some((rows, last)) = inbox_page(&mut tx, device_id, through, after.as_ref()).await? {
        for (class, row) in rows {
            add(ArchivedSeries {
                component: row.component.to_string(),
                metric: row.metric.to_string(),
                class,
                unit: row.unit.to_string(),
                last_at: Timestamp::from_millis(row.time),
                last_value: row.value,
            });
        }
        after = Some(last);
    }
    // What is archived may be newer than its list says; what is watched knows its newest reading.
    for row in series_of_device(&mut tx, device_id).await? {
        let last_at = Timestamp::from_millis(row.last_at);
        if let Some(one) = newest.get_mut(&(row.component, row.metric))
            && one.last_at < last_at
        {
            (one.last_at, one.last_value, one.unit) = (last_at, row.last_value, row.unit);
        }
    }
    drop(tx);
    // Neither name may hold a space.
    let key = |one: &ArchivedSeries| format!("{} {}", one.component, one.metric);
    let place = page.after.as_deref().unwrap_or_default();
    let after = |one: &ArchivedSeries| {
        place.is_empty()
            || place.split_once(' ').is_some_and(|(component, metric)| {
                (one.component.as_str(), one.metric.as_str()) > (component, metric)
            })
    };
    let mut rest = newest.into_values().filter(after);
    let found: Vec<ArchivedSeries> = rest.by_ref().take(page.size).collect();
    let next = match (rest.next(), found.last()) {
        (Some(_), Some(last)) => page.next(&key(last)),
        _ => String::new(),
    };
    Ok((found, next))
}

/// The readings that `select` selects, all of one series, in at most `most` points.
pub async fn draw(ctx: &Context, select: Select, most: usize, at_least: Option<i64>) -> Result<Drawn> {
    let mut buckets = Buckets::new(most, at_least);
    let mut newest: Option<Row> = None;
    let mut readings = Readings::begin(ctx, select).await?;
    while let Some(page) = readings.next().await? {
        for row in page {
            buckets.add(row.time, row.value);
            if newest.as_ref().is_none_or(|known| known.time <= row.time) {
                newest = Some(row);
            }
        }
    }
    let newest = newest.and_then(|row| {
        Some(Newest {
            unit: row.unit.to_string(),
            class: DataClass::parse(&row.class)?,
            at: Timestamp::from_millis(row.time),
            value: row.value,
        })
    });
    let readings = buckets.readings();
    let (points, bucket) = buckets.finish();
    Ok(Drawn { newest, points, bucket, readings })
}

/// The devices of the caller's scope that a selector selects; the empty one selects all of them.
pub async fn selected(ctx: &Context, caller: &TokenCaller, selector: &Selector) -> Result<Devices> {
    let (mut ids, mut after) = (BTreeSet::new(), String::new());
    let mut tx = ctx.db.read().await?;
    loop {
        let page = devices_page(&mut tx, &after, CHUNK).await?;
        let Some(last) = page.last() else { return Ok(Devices::Many(ids)) };
        after.clone_from(&last.id);
        let chosen = page.iter().filter(|device| caller.may_see(*device) && selector.matches(*device));
        ids.extend(chosen.map(|device| device.id.clone()));
    }
}
