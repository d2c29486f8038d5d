//! Nothing that a device sent stays: batches, archive, series, alerts, and what was to be told of them.
//!
//! An erasure is noted first and taken off the list last; everything between may be done again. So one that was cut off
//! is gone on with, by whichever replica comes first ([`resume`]), and to ask for it twice is to ask for it once.
//!
//! What stays is what keeps the device alive: its identity, its inventory, its labels, its updates, and the audit log, which
//! says that it was erased and nothing of what.

use super::{Context, Result, archive, devices::not_found};
use crate::{
    model::refusal::{Reason, Refusal},
    store::{
        audit::audit_append,
        devices::{device_get, device_update},
        erasures::{
            conclusions_erase, erasure_begin, erasure_end, erasure_is_pending, erasures_pending, inbox_erase,
        },
        inbox::inbox_lock,
    },
};

/// Batches deleted at once; others write in between.
const BATCH: i64 = 200;

/// Notes that everything of a device is to be erased. From here on it will be, whatever happens.
pub async fn begin(ctx: &Context, actor: &str, device_id: &str) -> Result<()> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    device_get(&mut tx, device_id).await?.ok_or_else(|| not_found(device_id))?;
    if !erasure_is_pending(&mut tx, device_id).await? {
        erasure_begin(&mut tx, device_id, now).await?;
        let resource = format!("devices/{device_id}");
        audit_append(&mut tx, now, actor, "EraseDevice", &resource, "everything it sent").await?;
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
    for device_id in pending {
        finish(ctx, &device_id).await?;
    }
    Ok(())
}

/// Erases everything of a device that was there when this was called, and takes it off the list.
///
/// Refused with `UNAVAILABLE` when somebody reads an earlier state of the database for too long: it is gone on with later.
pub async fn finish(ctx: &Context, device_id: &str) -> Result<()> {
    loop {
        let mut tx = ctx.db.write().await?;
        // Whoever consumes batches would put back what he concluded from them.
        inbox_lock(&mut tx).await?;
        let deleted = inbox_erase(&mut tx, device_id, BATCH).await?;
        if deleted == 0 {
            conclusions_erase(&mut tx, device_id).await?;
            if let Some(mut device) = device_get(&mut tx, device_id).await? {
                // Every replica reads it again, and with it that it has no alerts.
                device_update(&mut tx, &mut device, ctx.clock.now()).await?;
            }
        }
        tx.commit().await?;
        if deleted == 0 {
            break;
        }
    }
    let erased = archive::erase_device(ctx, device_id).await?;
    if !ctx.db.purge().await? {
        return Err(Refusal::new(
            Reason::Unavailable,
            "somebody reads an earlier state of the database, which still holds what was deleted",
            "nothing needs to be done: the erasure goes on by itself",
        )
        .into());
    }
    let mut tx = ctx.db.write().await?;
    erasure_end(&mut tx, device_id).await?;
    tx.commit().await?;
    ctx.devices.refresh(ctx, device_id).await?;
    tracing::info!(device = device_id, files = erased.files, "erased what a device sent");
    Ok(())
}

/// Whether an erasure of the device is under way.
pub async fn is_pending(ctx: &Context, device_id: &str) -> Result<bool> {
    let mut tx = ctx.db.read().await?;
    Ok(erasure_is_pending(&mut tx, device_id).await?)
}

#[cfg(test)]
#[path = "erasure_tests.rs"]
mod tests;
