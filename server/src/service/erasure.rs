//! Nothing that a device sent stays, or nothing of one class: batches, archive, series, alerts, and what was to be told of
//! them.
//!
//! An erasure is noted first and taken off the list last; everything between may be done again. So one that was cut off
//! is gone on with, by whichever replica comes first ([`resume`]), and to ask for it twice is to ask for it once.
//!
//! What stays is what keeps the device alive: its identity, its inventory, its labels, its updates, and the audit log, which
//! says that it was erased and nothing of what.

use prost::Message as _;
use slipway_proto::v1;

use super::{Context, Result, archive, cohorts, devices::not_found, ingest};
use crate::{
    model::{
        device::DataClass,
        erasure::{Attribution, Erasure},
        refusal::{Reason, Refusal},
        time::Timestamp,
        wear::{MAX_MODELS, WearTerms},
    },
    store::{
        Tx,
        alerts::alerts_of_device,
        archive_inbox::inbox_of_device,
        archive_series::archive_series_of_device,
        audit::audit_append,
        cohorts::{lives_erase_series, lives_of_device},
        devices::{device_get, device_update},
        erasures::{
            alert_erase, conclusions_erase, erasure_begin, erasure_end, erasure_is_pending, erasures_pending,
            inbox_erase, inbox_rewrite,
        },
        inbox::{InboxRow, inbox_lock},
        series::{series_of_devices, series_save},
        tracks::{track_delete, tracks_of_devices},
        wear::{wear_models_page, wear_part_delete, wear_parts_of_devices},
    },
};

/// Batches deleted at once; others write in between.
const BATCH: i64 = 200;

/// Notes that something of a device is to be erased. From here on it will be, whatever happens.
pub async fn begin(ctx: &Context, actor: &str, erasure: &Erasure) -> Result<()> {
    let now = ctx.clock.now();
    let device_id = &erasure.device_id;
    let mut tx = ctx.db.write().await?;
    device_get(&mut tx, device_id).await?.ok_or_else(|| not_found(device_id))?;
    if !erasure_is_pending(&mut tx, erasure).await? {
        erasure_begin(&mut tx, erasure, now).await?;
        let resource = format!("devices/{device_id}");
        let detail = match erasure.class {
            None => "everything it sent".to_owned(),
            Some(class) => format!("everything it sent of the class {}", class.as_str()),
        };
        audit_append(&mut tx, now, actor, "EraseDevice", &resource, &detail).await?;
    }
    tx.commit().await?;
    ctx.erasure.notify_one();
    Ok(())
}

/// Goes on with every erasure that was begun.
pub async fn resume(ctx: &Context) -> Result<()> {
    let mut tx = ctx.db.read().await?;
    let pending = erasures_pending(&mut tx).await?;
    drop(tx);
    for erasure in pending {
        finish(ctx, &erasure).await?;
    }
    Ok(())
}

/// Erases what was there of a device when this was called, and takes it off the list.
///
/// Refused with `UNAVAILABLE` when somebody reads an earlier state of the database for too long: it is gone on with later.
pub async fn finish(ctx: &Context, erasure: &Erasure) -> Result<()> {
    let device_id = &erasure.device_id;
    match erasure.class {
        None => forget(ctx, device_id).await?,
        Some(class) => forget_class(ctx, device_id, class).await?,
    }
    let erased = archive::erase_device(ctx, device_id, erasure.class).await?;
    // What was learned from many is learned again without this one, or forgotten.
    cohorts::learn(ctx).await?;
    if !ctx.db.purge().await? {
        return Err(Refusal::new(
            Reason::Unavailable,
            "somebody reads an earlier state of the database, which still holds what was deleted",
            "nothing needs to be done: the erasure goes on by itself",
        )
        .into());
    }
    let mut tx = ctx.db.write().await?;
    erasure_end(&mut tx, erasure).await?;
    tx.commit().await?;
    ctx.devices.refresh(ctx, device_id).await?;
    let class = erasure.class.map_or("all", DataClass::as_str);
    tracing::info!(device = device_id, class, files = erased.files, "erased what a device sent");
    Ok(())
}

/// Whether this erasure is under way.
pub async fn is_pending(ctx: &Context, erasure: &Erasure) -> Result<bool> {
    let mut tx = ctx.db.read().await?;
    Ok(erasure_is_pending(&mut tx, erasure).await?)
}

/// Deletes every batch of a device, and what was concluded from them.
async fn forget(ctx: &Context, device_id: &str) -> Result<()> {
    loop {
        let mut tx = ctx.db.write().await?;
        // Whoever consumes batches would put back what he concluded from them.
        inbox_lock(&mut tx).await?;
        let deleted = inbox_erase(&mut tx, device_id, BATCH).await?;
        if deleted == 0 {
            conclusions_erase(&mut tx, device_id).await?;
            touch(ctx, &mut tx, device_id).await?;
        }
        tx.commit().await?;
        if deleted == 0 {
            return Ok(());
        }
    }
}

/// Takes the readings of a class out of a device's batches, and deletes what was concluded from them.
///
/// What was concluded goes first, while the readings still say of which series, and again at the end, when no batch is left
/// from which it could have come back meanwhile.
async fn forget_class(ctx: &Context, device_id: &str, class: DataClass) -> Result<()> {
    conclude(ctx, device_id, class).await?;
    let mut after: Option<InboxRow> = None;
    loop {
        let mut tx = ctx.db.write().await?;
        inbox_lock(&mut tx).await?;
        let rows = inbox_of_device(&mut tx, device_id, ALL_JOBS, after.as_ref(), BATCH).await?;
        for row in &rows {
            if let Some(readings) = without(row, class) {
                inbox_rewrite(&mut tx, row, &readings).await?;
            }
        }
        tx.commit().await?;
        match rows.into_iter().next_back() {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    conclude(ctx, device_id, class).await
}

/// Also the batches that were archived: their readings stay for an hour.
const ALL_JOBS: i64 = -1;

/// Deletes what was concluded from readings of a class.
async fn conclude(ctx: &Context, device_id: &str, class: DataClass) -> Result<()> {
    let mut tx = ctx.db.write().await?;
    inbox_lock(&mut tx).await?;
    let mut known = Attribution::new(class);
    for series in archive_series_of_device(&mut tx, device_id).await? {
        known.note(&series.component, &series.metric, series.class);
    }
    let mut after: Option<InboxRow> = None;
    loop {
        let rows = inbox_of_device(&mut tx, device_id, ALL_JOBS, after.as_ref(), BATCH).await?;
        for reading in rows.iter().filter_map(|row| ingest::decode(&row.readings)).flatten() {
            if let Some(class) = reading.class {
                known.note(&reading.component, &reading.metric, class);
            }
        }
        match rows.into_iter().next_back() {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    for mut page in series_of_devices(&mut tx, &[device_id]).await? {
        let before = page.series.len();
        page.series.retain(|series| !known.is_erased(&series.component, &series.metric));
        if page.series.len() < before {
            series_save(&mut tx, &[page]).await?;
        }
    }
    for track in tracks_of_devices(&mut tx, &[device_id]).await? {
        if known.is_erased(&track.component, &track.metric) {
            track_delete(&mut tx, device_id, &track.component, &track.metric).await?;
        }
    }
    for (component, metric) in lives_of_device(&mut tx, device_id).await? {
        if known.is_erased(&component, &metric) {
            lives_erase_series(&mut tx, device_id, &component, &metric).await?;
        }
    }
    let models = wear_models_page(&mut tx, "", i64::try_from(MAX_MODELS).unwrap_or(i64::MAX)).await?;
    // All of its sensors tell how a part wears. Which those were of a model that is gone, nobody knows.
    let is_of_class = |model_id: &str| {
        let terms = models.iter().map(|model| &model.terms).find(|terms| terms.id == model_id);
        let is_erased = |terms: &WearTerms| {
            terms.sensors.iter().any(|sensor| known.is_erased(&terms.component, &sensor.metric))
        };
        terms.is_none_or(is_erased)
    };
    for part in wear_parts_of_devices(&mut tx, &[device_id]).await? {
        if is_of_class(&part.model_id) {
            wear_part_delete(&mut tx, device_id, &part.model_id).await?;
        }
    }
    for alert in alerts_of_device(&mut tx, device_id, Timestamp::from_millis(i64::MIN)).await? {
        let metric = &alert.evidence.metric;
        // One that is about no series, as that it is silent, says nothing of any class.
        let is_erased = !metric.is_empty() && known.is_erased(&alert.component, metric);
        if is_erased || alert.wear_model().is_some_and(is_of_class) {
            alert_erase(&mut tx, device_id, &alert.id).await?;
        }
    }
    touch(ctx, &mut tx, device_id).await?;
    tx.commit().await?;
    Ok(())
}

/// The readings of a batch without those of a class; none when it has no such. A batch that cannot be read has none left.
fn without(row: &InboxRow, class: DataClass) -> Option<Vec<u8>> {
    let Ok(mut batch) = v1::SendTelemetryRequest::decode(row.readings.as_slice()) else {
        return Some(Vec::new());
    };
    let before = batch.readings.len();
    batch.readings.retain(|reading| ingest::class(reading.data_class) != Some(class));
    (batch.readings.len() < before).then(|| batch.encode_to_vec())
}

/// Every replica reads the device again, and with it what alerts it has.
async fn touch(ctx: &Context, tx: &mut Tx, device_id: &str) -> Result<()> {
    if let Some(mut device) = device_get(tx, device_id).await? {
        device_update(tx, &mut device, ctx.clock.now()).await?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "erasure_tests.rs"]
mod tests;
