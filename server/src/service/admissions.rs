//! Admission: the one act by which a device gets an update from a rollout.

use std::sync::Arc;

use super::{Context, Error, Result, assignments, device_cache::DeviceEntry};
use crate::{
    model::{
        admission::{self, ActiveRollout, Verdict},
        device::Device,
        facts::Facts,
        id,
        rollout::RolloutState,
        time::Timestamp,
        trust::Assignment,
        update::{Reason, Update, UpdateState},
    },
    store::{
        StoreError, Tx,
        changes::{Kind, changes_bump},
        devices::{device_get, device_update},
        rollouts::rollout_hold,
        updates::update_insert,
        waves::wave_admit,
    },
};

/// Admits the device to the rollout that offers it something, if one still does when asked in the
/// transaction that writes: counter, update, history and signed assignment are durable together.
///
/// None when nothing is offered after all: the wave is full, the rollout was paused, another
/// replica was faster. That is no error; the next poll asks again.
pub async fn admit(
    ctx: &Context,
    device_id: &str,
    now: Timestamp,
) -> Result<Option<(Arc<DeviceEntry>, Assignment)>> {
    let mut tx = ctx.db.write().await?;
    let Some(mut device) = device_get(&mut tx, device_id).await? else { return Ok(None) };
    let facts = ctx.devices.look(&mut tx, &device).await?;
    let rollouts = ctx.rollouts.snapshot();
    let offer = admission::decide(&facts, rollouts.iter().map(Arc::as_ref), now);
    let Some((active, verdict)) = offer else {
        // Memory was behind.
        drop(tx);
        ctx.devices.refresh(ctx, device_id).await?;
        return Ok(None);
    };
    let update = update_of(ctx, &facts, active, &verdict, now);
    let Some(assignment) = write(&mut tx, ctx, &mut device, active, &update, now).await? else {
        drop(tx);
        ctx.rollouts.mark_stale();
        ctx.wake.rollouts();
        ctx.devices.refresh(ctx, device_id).await?;
        return Ok(None);
    };
    tx.commit().await?;

    if !update.rolls_back {
        ctx.rollouts.count(&update.rollout_id, update.wave, |counts| {
            counts.in_flight += 1;
            counts.admitted += 1;
        });
    }
    if let Some(deadline) = update.deadline_at {
        ctx.rollouts.expect_by(deadline);
    }
    ctx.devices.refresh(ctx, device_id).await?;
    ctx.wake.rollouts();
    Ok(ctx.devices.get(device_id).map(|entry| (entry, assignment)))
}

/// All of it, or nothing that may be kept.
async fn write(
    tx: &mut Tx,
    ctx: &Context,
    device: &mut Device,
    active: &ActiveRollout,
    update: &Update,
    now: Timestamp,
) -> Result<Option<Assignment>> {
    let wanted = if update.rolls_back { RolloutState::RollingBack } else { RolloutState::Running };
    if rollout_hold(tx, &active.id).await? != Some(wanted) {
        return Ok(None);
    }
    if !update.rolls_back && !wave_admit(tx, &active.id, update.wave).await? {
        return Ok(None);
    }
    match update_insert(tx, update).await {
        Ok(()) => {}
        Err(StoreError::Conflict { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let version = update.version.parse().ok();
    let signed = assignments::assign(tx, ctx, &device.id, &update.product, version.as_ref(), now).await;
    let assignment = match signed {
        Ok(assignment) => assignment,
        // Another replica signed for the device meanwhile.
        Err(Error::Store(StoreError::Conflict { .. })) => return Ok(None),
        Err(Error::Refused(refusal)) => {
            // The poll goes on: it brings the device the metadata that may be the cure.
            tracing::warn!(device = device.id, rollout = %active.id, %refusal, "an offer could not be signed");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    // Its time is over, or it would not be offered anything. The count of failures stays: the next one
    // quarantines it for twice as long.
    device.end_quarantine();
    if !device_update(tx, device, now).await? {
        return Ok(None);
    }
    changes_bump(tx, Kind::Rollouts).await?;
    Ok(Some(assignment))
}

fn update_of(
    ctx: &Context,
    facts: &Facts,
    active: &ActiveRollout,
    verdict: &Verdict,
    now: Timestamp,
) -> Update {
    Update {
        id: id::mint(now, ctx.rng.bytes()),
        device_id: facts.id.to_string(),
        rollout_id: active.id.to_string(),
        wave: verdict.wave,
        product: active.rollout.product.clone(),
        version: verdict.version.to_string(),
        from_version: facts.version.to_string(),
        from_counter: facts.counter,
        rolls_back: verdict.rolls_back,
        state: UpdateState::Offered,
        reason: Reason::default(),
        bytes_fetched: 0,
        bytes_written: 0,
        attempt: 0,
        created_at: now,
        updated_at: now,
        deadline_at: Some(now.after(active.rollout.update_timeout)),
        finished_at: None,
        settled: false,
        generation: 1,
    }
}
