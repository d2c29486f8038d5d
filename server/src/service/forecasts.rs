//! Stored batches step the series, and what the series say becomes alerts.
//!
//! A chunk of batches, the state of the series it steps and the alerts that come of it are one
//! transaction: a crash leaves the chunk waiting and the state before it, never half of either.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use slipway_insight::{Finding, Series, Standing, State, StateError, judge};

use super::{Context, Error, Result, ingest};
use crate::{
    chain::chain,
    model::{
        alert::{self, Alert, Evidence, Observation, REOPEN_WITHIN},
        device::Device,
        id,
        limit::{Limit, MAX_LIMITS, wear},
        reading::{MAX_SERIES, Reading},
        time::{DAY, Timestamp},
    },
    store::{
        StoreError, Tx,
        alert_events::alert_event_append,
        alerts::{alert_insert, alert_update, alerts_of_device},
        devices::device_get,
        inbox::{InboxRow, inbox_consume, inbox_try_lock, inbox_waiting},
        limits::limits_page,
        series::{SeriesRow, series_of_device, series_put},
    },
};

/// Batches of one transaction. The other writers of SQLite wait for it: about 20 ms.
const CHUNK: i64 = 32;

/// People change alerts now and then; twice in a row during 20 ms is a storm that can wait.
const ATTEMPTS: usize = 3;

/// Older readings are history: a device that was offline hands over its backlog in order, and what
/// counts is where it ends. Two days, so that a sensor that is read once a day is never history.
const FRESH: Duration = DAY.saturating_mul(2);

/// What one chunk was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consumed {
    /// Batches.
    pub batches: usize,
    /// Readings.
    pub readings: usize,
    /// Changes of alerts.
    pub changes: usize,
}

/// Consumes the batches that wait longest. Zero batches: nothing waits, or another replica is at it.
pub async fn consume(ctx: &Context) -> Result<Consumed> {
    for _ in 0..ATTEMPTS {
        if let Some(consumed) = attempt(ctx).await? {
            return Ok(consumed);
        }
    }
    Ok(Consumed::default())
}

/// None when somebody acknowledged or resolved one of the alerts meanwhile: nothing happened.
async fn attempt(ctx: &Context) -> Result<Option<Consumed>> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    if !inbox_try_lock(&mut tx).await? {
        return Ok(Some(Consumed::default()));
    }
    let rows = inbox_waiting(&mut tx, CHUNK).await?;
    if rows.is_empty() {
        return Ok(Some(Consumed::default()));
    }
    let limits = limits_page(&mut tx, "", i64::try_from(MAX_LIMITS).unwrap_or(i64::MAX)).await?;
    let mut consumed = Consumed { batches: rows.len(), ..Consumed::default() };
    let mut changes = Vec::new();
    for (device_id, batches) in by_device(&rows) {
        let readings = decode(device_id, &batches);
        consumed.readings += readings.len();
        match device_step(ctx, &mut tx, device_id, readings, &limits, now).await {
            Ok(Some(changed)) => changes.extend(changed),
            Ok(None) => return Ok(None),
            // One broken row must not hold up the fleet; the readings stay in the inbox.
            Err(Error::Store(error @ StoreError::Inconsistent { .. })) => {
                tracing::error!(device = device_id, error = %chain(&error), "skipped readings of a device");
            }
            Err(other) => return Err(other),
        }
    }
    for row in &rows {
        if !inbox_consume(&mut tx, row).await? {
            return Err(Error::Internal(format!(
                "batch {} of {} was consumed twice",
                row.sequence, row.device_id
            )));
        }
    }
    consumed.changes = changes.len();
    let position = append(&mut tx, &changes).await?;
    tx.commit().await?;
    if let Some(position) = position {
        ctx.alerts.moved(position);
    }
    Ok(Some(consumed))
}

/// Appends the events of changed alerts, last in a transaction; returns the newest position.
pub(super) async fn append(tx: &mut Tx, changes: &[Alert]) -> Result<Option<i64>> {
    let mut position = None;
    for alert in changes {
        position = Some(alert_event_append(tx, alert).await?);
    }
    Ok(position)
}

fn by_device(rows: &[InboxRow]) -> BTreeMap<&str, Vec<&InboxRow>> {
    let mut map: BTreeMap<&str, Vec<&InboxRow>> = BTreeMap::new();
    for row in rows {
        map.entry(row.device_id.as_str()).or_default().push(row);
    }
    for batches in map.values_mut() {
        batches.sort_by_key(|row| row.sequence);
    }
    map
}

fn decode(device_id: &str, batches: &[&InboxRow]) -> Vec<Reading> {
    let mut readings = Vec::new();
    for row in batches {
        match ingest::decode(&row.readings) {
            Some(batch) => readings.extend(batch),
            None => {
                tracing::error!(device = device_id, sequence = row.sequence, "a stored batch cannot be read")
            }
        }
    }
    readings
}

/// All readings of one device; returns the alerts that changed, already written. None when one of
/// them was changed by somebody else meanwhile.
async fn device_step(
    ctx: &Context,
    tx: &mut Tx,
    device_id: &str,
    readings: Vec<Reading>,
    limits: &[Limit],
    now: Timestamp,
) -> Result<Option<Vec<Alert>>> {
    let Some(device) = device_get(tx, device_id).await? else { return Ok(Some(Vec::new())) };
    let limits: Vec<&Limit> = limits.iter().filter(|limit| limit.selector.matches(&device)).collect();
    let mut known: BTreeMap<(String, String), SeriesRow> = series_of_device(tx, device_id)
        .await?
        .into_iter()
        .map(|row| ((row.component.clone(), row.metric.clone()), row))
        .collect();
    let alerts = alerts_of_device(tx, device_id, now.before(REOPEN_WITHIN)).await?;
    let mut changes = Vec::new();
    let mut left_out: HashSet<String> = HashSet::new();
    for ((component, metric), mut readings) in by_series(readings) {
        let before = known.remove(&(component.clone(), metric.clone()));
        if before.is_none() && known.len() >= MAX_SERIES {
            left_out.insert(metric);
            continue;
        }
        let about: Vec<&Limit> =
            limits.iter().copied().filter(|limit| limit.is_about(&component, &metric)).collect();
        readings.sort_by_key(|reading| reading.at);
        let (state, unit) = step(&device, before.as_ref(), &readings, &about);
        let series = &state.series;
        let Some((last_at, last_value)) = series.last() else { continue };
        let mut bytes = Vec::new();
        state.encode(&mut bytes);
        let row = SeriesRow {
            component: component.clone(),
            metric: metric.clone(),
            unit,
            state: bytes,
            last_value,
            last_at,
        };
        series_put(tx, device_id, &row).await?;
        if now.since(Timestamp::from_millis(last_at)) > FRESH {
            known.insert((component, metric), row);
            continue;
        }
        let seen = Seen { device: &device, row: &row, series, alerts: &alerts };
        for change in seen.changes(&about, || id::mint(now, ctx.rng.bytes()), now) {
            if !write(tx, &change, &alerts).await? {
                return Ok(None);
            }
            changes.push(change);
        }
        known.insert((component, metric), row);
    }
    if !left_out.is_empty() {
        tracing::warn!(
            device = device_id,
            metrics = left_out.len(),
            "a device has more series than are forecast"
        );
    }
    Ok(Some(changes))
}

fn by_series(readings: Vec<Reading>) -> BTreeMap<(String, String), Vec<Reading>> {
    let mut map: BTreeMap<(String, String), Vec<Reading>> = BTreeMap::new();
    for reading in readings {
        map.entry((reading.component.clone(), reading.metric.clone())).or_default().push(reading);
    }
    map
}

/// The series after its readings, and its unit.
fn step(
    device: &Device,
    before: Option<&SeriesRow>,
    readings: &[Reading],
    limits: &[&Limit],
) -> (State, String) {
    let wear = wear(limits.iter().copied());
    let mut unit = before.map(|row| row.unit.clone()).unwrap_or_default();
    let mut state = before.map_or_else(State::default, |row| restored(device, row));
    for reading in readings {
        if reading.unit != unit {
            // Numbers in another unit are another series.
            state = State::default();
            unit.clone_from(&reading.unit);
        }
        if let Some(at) = reading.at {
            state.step(at.millis(), reading.value, &reading.boot_id, wear);
        }
    }
    (state, unit)
}

fn restored(device: &Device, row: &SeriesRow) -> State {
    State::decode(&row.state).unwrap_or_else(|error| {
        // After an upgrade this is how a new layout begins; anything else is worth a look.
        if matches!(error, StateError::Version(_)) {
            tracing::info!(device = device.id, metric = row.metric, %error, "a series starts afresh");
        } else {
            tracing::error!(device = device.id, metric = row.metric, %error, "a series starts afresh");
        }
        State::default()
    })
}

/// A series that was stepped, and the alerts of its device.
struct Seen<'a> {
    device: &'a Device,
    row: &'a SeriesRow,
    series: &'a Series,
    alerts: &'a [Alert],
}

impl Seen<'_> {
    /// The alerts as they are to be from now on, as far as they change.
    fn changes(&self, limits: &[&Limit], mint: impl Fn() -> String, now: Timestamp) -> Vec<Alert> {
        let mut changes = Vec::new();
        for limit in limits {
            // Newest first: the living one, or the one that was resolved last.
            let current = self.of_series().find(|alert| alert.cause == limit.id);
            let standing = current.map_or(Standing::Clear, Alert::standing);
            let finding = judge(self.series, &limit.bound(), standing);
            let evidence = self.evidence(limit, &finding);
            let seen = Observation {
                device_id: &self.device.id,
                component: &self.row.component,
                limit,
                evidence: &evidence,
                finding: &finding,
            };
            changes.extend(alert::advance(current, &seen, mint(), now));
        }
        let orphans = self.of_series().filter(|alert| {
            alert.is_of_limit() && alert.is_living() && !limits.iter().any(|limit| limit.id == alert.cause)
        });
        changes.extend(orphans.map(|alert| {
            alert.cleared("Nothing to do any more: the limit no longer applies to this device.", now)
        }));
        changes
    }

    fn of_series(&self) -> impl Iterator<Item = &Alert> {
        self.alerts
            .iter()
            .filter(|alert| alert.component == self.row.component && alert.evidence.metric == self.row.metric)
    }

    fn evidence(&self, limit: &Limit, finding: &Finding) -> Evidence {
        let view = self.series.trend_for(limit.bound().horizon_ms);
        let value = match finding {
            Finding::Crossed { value } => *value,
            Finding::Expected(_) | Finding::Clear(_) => self.row.last_value,
        };
        Evidence {
            metric: self.row.metric.clone(),
            unit: self.row.unit.clone(),
            value,
            at_ms: self.row.last_at,
            limit: limit.value,
            slope_per_day: view.trend.line().map_or(0.0, |line| line.slope),
            readings: view.trend.count(),
        }
    }
}

/// Writes a changed alert; false when somebody else changed it meanwhile.
async fn write(tx: &mut Tx, change: &Alert, before: &[Alert]) -> Result<bool> {
    if before.iter().any(|alert| alert.id == change.id) {
        return Ok(alert_update(tx, change).await?);
    }
    alert_insert(tx, change).await?;
    Ok(true)
}

#[cfg(test)]
#[path = "forecasts_tests.rs"]
mod tests;
