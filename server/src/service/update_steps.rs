//! What happens to an update, in the caller's transaction: its row, its history, its wave's
//! counters and its device's record move together, once.

use super::{Context, Result};
use crate::{
    model::{
        device::{Approval, Component, Device, DeviceState, SYSTEM},
        time::Timestamp,
        update::{HistoryLine, Outcome, Reason, Update, UpdateState, quarantine},
        wave::Counts,
    },
    store::{
        Tx,
        changes::{Kind, changes_bump},
        devices::{device_get, device_update},
        updates::{history_append, update_store},
        waves::wave_finish,
    },
};

/// How often a transaction that lost a race is tried again: each time somebody else got ahead.
pub(crate) const TRIES: usize = 8;

/// Moves `update` to `state`. False when somebody was faster: nothing of the transaction may be
/// kept then.
pub(crate) async fn enter(
    tx: &mut Tx,
    ctx: &Context,
    update: &mut Update,
    state: UpdateState,
    reason: Reason,
    actor: &str,
    now: Timestamp,
) -> Result<bool> {
    update.state = state;
    update.updated_at = now;
    if state.is_terminal() {
        update.finished_at = Some(now);
        update.deadline_at = None;
        update.reason = reason.clone();
    }
    if !update_store(tx, update).await? {
        return Ok(false);
    }
    history_append(tx, &update.id, &HistoryLine { state, at: now, actor: actor.to_owned(), reason }).await?;
    let Some(outcome) = state.outcome() else { return Ok(true) };
    if !update.rolls_back {
        wave_finish(tx, &update.rollout_id, update.wave, outcome, 1).await?;
    }
    if let Some(mut device) = device_get(tx, &update.device_id).await? {
        settle(ctx, &mut device, update, outcome, now);
        if !device_update(tx, &mut device, now).await? {
            return Ok(false);
        }
    }
    changes_bump(tx, Kind::Rollouts).await?;
    Ok(true)
}

/// Brings memory in step with an update that this process just ended, after the commit.
pub(crate) async fn ended(ctx: &Context, update: &Update) -> Result<()> {
    if let Some(outcome) = update.state.outcome().filter(|_| !update.rolls_back) {
        ctx.rollouts.count(&update.rollout_id, update.wave, |counts| count(counts, outcome));
    }
    ctx.rollouts.mark_stale();
    ctx.devices.refresh(ctx, &update.device_id).await?;
    ctx.wake.rollouts();
    Ok(())
}

fn count(counts: &mut Counts, outcome: Outcome) {
    counts.in_flight = counts.in_flight.saturating_sub(1);
    match outcome {
        Outcome::Success => counts.succeeded += 1,
        Outcome::Failure => counts.failed += 1,
        Outcome::Neither => counts.cancelled += 1,
    }
}

/// What the end of an update means for the device.
fn settle(ctx: &Context, device: &mut Device, update: &Update, outcome: Outcome, now: Timestamp) {
    match outcome {
        Outcome::Success => {
            device.failures = 0;
            device.end_quarantine();
            // What it runs is known now, before its next inventory says so.
            let version = update.version.parse().ok();
            let release = version.and_then(|version| ctx.trust.release(&update.product, &version));
            let counter = release.map_or(0, |release| release.counter);
            let components = &mut device.inventory.components;
            let at = components.iter().position(|known| known.component == SYSTEM).unwrap_or(0);
            match components.get_mut(at) {
                Some(running) => {
                    running.version.clone_from(&update.version);
                    running.counter = counter;
                }
                None => components.push(Component {
                    component: SYSTEM.to_owned(),
                    version: update.version.clone(),
                    counter,
                    digest: String::new(),
                    slot: String::new(),
                }),
            }
        }
        Outcome::Failure => {
            device.failures = device.failures.saturating_add(1);
            if let Some(span) = quarantine(device.failures).filter(|_| device.state != DeviceState::Revoked) {
                device.state = DeviceState::Quarantined;
                // No time ends the wait for an operator's yes.
                let is_waiting = device.standing.renewal == Approval::Waiting;
                device.quarantined_until = (!is_waiting).then(|| now.after(span));
                tracing::warn!(
                    device = device.id,
                    failures = device.failures,
                    hours = span.as_secs() / 3600,
                    "the device failed too many updates in a row: quarantined"
                );
            }
        }
        Outcome::Neither => {}
    }
}
