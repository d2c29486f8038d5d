//! Stored batches step the series, and what the series say becomes alerts.
//!
//! A chunk of batches, the state of the series it steps and the alerts that come of it are one
//! transaction: a crash leaves the chunk waiting and the state before it, never half of either.
//!
//! A chunk is only a matter of cost. Batches are taken one by one in the order in which they were received,
//! and judged as of the moment when each was: the same batches come to the same states and alerts however
//! they are cut into chunks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Context, Error, Result,
    alert_book::{AlertBook, circumstances},
    cohorts::{self, FitsCache},
    device_cache::DeviceEntry,
    ingest,
    wear::WearCache,
};
use crate::{
    chain::chain,
    model::{
        alert::{Alert, REOPEN_WITHIN},
        anomaly_rules::AnomalyRules,
        id,
        limit::MAX_LIMITS,
        time::Timestamp,
    },
    store::{
        StoreError, Tx,
        alert_events::alert_event_append,
        alerts::alerts_of_devices,
        devices::devices_generations,
        inbox::{InboxRow, inbox_try_lock},
        inbox_chunk::{Chunk, inbox_chunk, inbox_consumed},
        limits::limits_page,
        series::{SeriesPage, series_of_devices, series_save},
        tracks::{TrackRow, tracks_of_devices, tracks_save},
        wear::{PartRow, wear_part_delete, wear_parts_of_devices, wear_parts_save},
    },
};

mod judged;
mod learned;
mod silent;
mod tracked;
mod watched;
mod worn;

pub use silent::clear_silent;
use watched::{Changes, Limits, Watched};
use worn::Worn;

/// Bytes of readings in one transaction, about 5,000 readings. The other writers of SQLite wait for it: about 40 ms.
const CHUNK_BYTES: usize = 256 * 1024;
/// Batches of one transaction. Every series of their devices is in memory meanwhile: 70 MB when each has as many as
/// there may be and reports one of them.
const CHUNK_ROWS: usize = 128;

/// People change alerts now and then; twice in a row during 40 ms is a storm that can wait.
const ATTEMPTS: usize = 3;

/// Devices with too many series that the log has named; with more, one more says nothing.
const NAMED: usize = 1000;

/// What the consumer keeps in memory: nothing that counts.
#[derive(Clone, Debug, Default)]
pub struct Forecasts {
    rules: Arc<AnomalyRules>,
    /// Devices that the log has named, once each.
    crowded: Arc<Mutex<BTreeSet<String>>>,
    fits: FitsCache,
    wear: WearCache,
}

impl Forecasts {
    /// With these rules on which anomalies are told.
    pub fn new(rules: AnomalyRules) -> Self {
        Forecasts { rules: Arc::new(rules), ..Forecasts::default() }
    }

    fn left_out(&self, device_id: &str, series: usize) {
        let mut named = self.crowded.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() < NAMED && named.insert(device_id.to_owned()) {
            tracing::warn!(
                device = device_id,
                series,
                "a device has more series than are forecast; told once until the server starts again"
            );
        }
    }
}

/// What one chunk was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consumed {
    /// Batches.
    pub batches: usize,
    /// Readings.
    pub readings: usize,
    /// Changes of alerts.
    pub changes: usize,
    /// Whether more batches may wait.
    pub is_full: bool,
}

/// Consumes the batches that wait longest. Zero batches: nothing waits, or another replica is at it.
pub async fn consume(ctx: &Context) -> Result<Consumed> {
    consume_chunk(ctx, CHUNK_BYTES, CHUNK_ROWS).await
}

async fn consume_chunk(ctx: &Context, bytes: usize, rows: usize) -> Result<Consumed> {
    for _ in 0..ATTEMPTS {
        if let Some(consumed) = attempt(ctx, bytes, rows).await? {
            return Ok(consumed);
        }
    }
    Ok(Consumed::default())
}

/// None when somebody acknowledged or resolved one of the alerts meanwhile: nothing happened.
async fn attempt(ctx: &Context, bytes: usize, rows: usize) -> Result<Option<Consumed>> {
    let mut tx = ctx.db.write().await?;
    if !inbox_try_lock(&mut tx).await? {
        return Ok(Some(Consumed::default()));
    }
    let Chunk { rows, is_full } = inbox_chunk(&mut tx, bytes, rows).await?;
    if rows.is_empty() {
        return Ok(Some(Consumed::default()));
    }
    let Some((consumed, changes)) = step(ctx, &mut tx, &rows).await? else { return Ok(None) };
    if inbox_consumed(&mut tx, &rows).await? != rows.len() as u64 {
        return Err(Error::Internal("a batch of readings was consumed twice".to_owned()));
    }
    let position = append(&mut tx, &changes).await?;
    tx.commit().await?;
    if let Some(position) = position {
        ctx.alerts.moved(position);
    }
    Ok(Some(Consumed { is_full, ..consumed }))
}

/// Steps and saves the series of these batches, and writes the alerts that changed; returns those in their order.
/// None when somebody else changed one meanwhile.
async fn step(ctx: &Context, tx: &mut Tx, rows: &[InboxRow]) -> Result<Option<(Consumed, Vec<Alert>)>> {
    let limits = limits_page(tx, "", i64::try_from(MAX_LIMITS).unwrap_or(i64::MAX)).await?;
    let limits = Limits::new(&limits);
    let oldest = rows.iter().map(|row| row.received_at).min().map(Timestamp::from_millis);
    let oldest = oldest.unwrap_or_else(|| ctx.clock.now());
    let circumstances = circumstances(tx, oldest).await?;
    let mut loaded = known(ctx, tx, rows, oldest).await?;
    let mut fits = Arc::default();
    if !limits.is_empty() {
        fits = ctx.forecasts.fits.current(tx).await?;
        let ids: Vec<&str> = loaded.keys().copied().collect();
        for row in tracks_of_devices(tx, &ids).await? {
            if let Some(known) = loaded.get_mut(row.device_id.as_str()) {
                known.tracks.push(row);
            }
        }
    }
    let wear = ctx.forecasts.wear.current(tx).await?;
    if !wear.all().is_empty() {
        let ids: Vec<&str> = loaded.keys().copied().collect();
        for row in wear_parts_of_devices(tx, &ids).await? {
            if let Some(known) = loaded.get_mut(row.device_id.as_str()) {
                known.parts.push(row);
            }
        }
    }
    let entries: Vec<Arc<DeviceEntry>> = loaded.values().map(|known| known.device.clone()).collect();
    let mut devices: BTreeMap<&str, Watched> = BTreeMap::new();
    for (entry, (id, Loaded { pages, tracks, parts, alerts, .. })) in entries.iter().zip(loaded) {
        let worn = Worn::new(entry, &wear, &parts);
        let book = AlertBook::new(&circumstances, Some(&***entry), alerts, oldest);
        devices.insert(id, Watched::new(entry, book, pages, &tracks, worn, &ctx.forecasts.rules, &fits));
    }
    let mut consumed = Consumed { batches: rows.len(), ..Consumed::default() };
    for row in rows {
        // A device that was removed, or one that cannot be read.
        let Some(device) = devices.get_mut(row.device_id.as_str()) else { continue };
        let Some(readings) = ingest::decode(&row.readings) else {
            tracing::error!(device = row.device_id, sequence = row.sequence, "a stored batch cannot be read");
            continue;
        };
        consumed.readings += readings.len();
        let received = Timestamp::from_millis(row.received_at);
        let mint = || id::mint(ctx.clock.now(), ctx.rng.bytes());
        if !device.take(tx, readings, &limits, received, mint).await? {
            return Ok(None);
        }
    }
    let (mut pages, mut tracks, mut lives, mut changes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut parts = Vec::new();
    for (device_id, device) in devices {
        if device.left_out() > 0 {
            ctx.forecasts.left_out(device_id, device.left_out());
        }
        let changed: Changes = device.into_changes();
        pages.extend(changed.pages);
        tracks.extend(changed.tracks);
        lives.extend(changed.lives);
        parts.extend(changed.parts);
        for model_id in changed.gone {
            wear_part_delete(tx, device_id, &model_id).await?;
        }
        changes.extend(changed.alerts);
    }
    series_save(tx, &pages).await?;
    tracks_save(tx, &tracks).await?;
    wear_parts_save(tx, &parts).await?;
    cohorts::put(tx, lives).await?;
    consumed.changes = changes.len();
    Ok(Some((consumed, changes)))
}

/// What is kept of a device.
struct Loaded {
    device: Arc<DeviceEntry>,
    pages: Vec<SeriesPage>,
    /// None while there are no limits.
    tracks: Vec<TrackRow>,
    /// None while there are no wear models.
    parts: Vec<PartRow>,
    /// Newest first.
    alerts: Vec<Alert>,
}

impl Loaded {
    fn new(device: Arc<DeviceEntry>) -> Self {
        Loaded { device, pages: Vec::new(), tracks: Vec::new(), parts: Vec::new(), alerts: Vec::new() }
    }
}

/// The devices of these batches, as far as they are still there and can be read.
async fn known<'a>(
    ctx: &Context,
    tx: &mut Tx,
    rows: &'a [InboxRow],
    oldest: Timestamp,
) -> Result<BTreeMap<&'a str, Loaded>> {
    let ids: BTreeSet<&str> = rows.iter().map(|row| row.device_id.as_str()).collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    // What was resolved long before the oldest batch of the chunk stays so.
    let since = oldest.before(REOPEN_WITHIN);
    match load(ctx, tx, &ids, since).await {
        Err(Error::Store(StoreError::Inconsistent { .. })) => {}
        loaded => return loaded,
    }
    // One broken row must not hold up the fleet; the readings stay in the inbox.
    let mut devices = BTreeMap::new();
    for id in ids {
        match load(ctx, tx, &[id], since).await {
            Ok(loaded) => devices.extend(loaded),
            Err(Error::Store(error @ StoreError::Inconsistent { .. })) => {
                tracing::error!(device = id, error = %chain(&error), "skipped readings of a device");
            }
            Err(other) => return Err(other),
        }
    }
    Ok(devices)
}

async fn load<'a>(
    ctx: &Context,
    tx: &mut Tx,
    ids: &[&'a str],
    since: Timestamp,
) -> Result<BTreeMap<&'a str, Loaded>> {
    let mut devices = BTreeMap::new();
    for (id, generation) in devices_generations(tx, ids).await? {
        let known = ctx.devices.get(&id).filter(|entry| entry.generation == generation);
        let device = match known {
            Some(device) => Some(device),
            None => ctx.devices.reread(tx, &id).await?,
        };
        let place = ids.iter().find(|known| **known == id);
        if let (Some(id), Some(device)) = (place, device) {
            devices.insert(*id, Loaded::new(device));
        }
    }
    for page in series_of_devices(tx, ids).await? {
        if let Some(known) = devices.get_mut(page.device_id.as_str()) {
            known.pages.push(page);
        }
    }
    for alert in alerts_of_devices(tx, ids, since).await? {
        if let Some(known) = devices.get_mut(alert.device_id.as_str()) {
            known.alerts.push(alert);
        }
    }
    Ok(devices)
}

/// Appends the events of changed alerts, last in a transaction; returns the newest position.
pub(super) async fn append(tx: &mut Tx, changes: &[Alert]) -> Result<Option<i64>> {
    let mut position = None;
    for alert in changes {
        position = Some(alert_event_append(tx, alert).await?);
    }
    Ok(position)
}

#[cfg(test)]
mod anomaly_tests;
#[cfg(test)]
mod chunk_tests;
#[cfg(test)]
#[path = "forecasts_tests.rs"]
mod tests;
#[cfg(test)]
mod worn_tests;
