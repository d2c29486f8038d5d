//! One poll of a device. When nothing changed it is answered from memory: no SQL, no signature.

use std::{sync::Arc, time::Duration};

use slipway_trust::Versions;

use super::{Context, Result, admissions, assignments, device_cache::DeviceEntry, presence::Contact};
use crate::{
    model::{
        admission,
        device::Inventory,
        facts::Active,
        refusal::{Reason, Refusal},
        time::Timestamp,
        trust::{Assignment, Delta},
    },
    service::update_steps::TRIES,
    store::{
        assignments::assignment_get,
        changes::{Kind, changes_bump},
        devices::{device_get, device_update},
        updates::updates_settle,
    },
};

/// A device that was given something to do comes back this soon to hear of a change of mind.
const WHILE_BUSY: Duration = Duration::from_secs(15);
/// A device that was asked for its inventory comes back at once.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Polls a second that one replica takes without losing its breath: a quarter of what one core can.
const POLLS_PER_SECOND: u64 = 4_000;

/// What a device says.
#[derive(Clone, Debug, Default)]
pub struct CheckIn {
    /// Signed metadata that it holds.
    pub have: Versions,
    /// Fingerprint of its inventory.
    pub inventory_digest: u64,
    /// The inventory, when it changed or was asked for.
    pub inventory: Option<Inventory>,
    /// Id of the update it works on.
    pub update_id: Option<String>,
}

/// What it hears.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// New metadata.
    pub trust: Option<Delta>,
    /// The update to work on.
    pub offer: Option<Offer>,
    /// When to come back.
    pub next_check_in: Duration,
    /// Its inventory is not known.
    pub want_inventory: bool,
    /// What it works on is no longer wanted.
    pub cancel_update: bool,
}

/// An update to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// `devices/{id}/updates/{id}`.
    pub update: String,
    /// `releases/{product}/{version}`.
    pub release: String,
    /// When it counts as timed out.
    pub deadline: Timestamp,
}

/// Answers one poll.
pub async fn check_in(ctx: &Context, entry: Arc<DeviceEntry>, call: CheckIn) -> Result<Answer> {
    let now = ctx.clock.now();
    if entry.called(call.have, now) {
        ctx.offline.came_back();
    }
    let mut entry = entry;
    if let Some(inventory) = call.inventory.filter(|inventory| inventory.digest != entry.inventory_digest) {
        entry = record_inventory(ctx, &entry, inventory, now).await?;
    }
    let named = call.update_id.as_deref();
    if named.is_some() && named != active_id(&entry) {
        // Memory and the device disagree: another replica may know better.
        let mut tx = ctx.db.read().await?;
        entry = ctx.devices.reread(&mut tx, &entry.id).await?.unwrap_or(entry);
    }
    let want_inventory = call.inventory_digest != entry.inventory_digest;
    if named.is_none() && !want_inventory && entry.taken.iter().any(|taken| !taken.settled) {
        entry = settle(ctx, entry).await?;
    }
    let mut assignment: Option<Assignment> = None;
    if named.is_none() && entry.active.is_none() && !want_inventory {
        let rollouts = ctx.rollouts.snapshot();
        if admission::decide(&entry, rollouts.iter().map(Arc::as_ref), now).is_some()
            && let Some((admitted, signed)) = admissions::admit(ctx, &entry.id, now).await?
        {
            (entry, assignment) = (admitted, Some(signed));
        }
    }
    if assignment.is_none() {
        (entry, assignment) = known_assignment(ctx, entry, &call.have, now).await?;
    }
    let cancel_update = named.is_some() && named != active_id(&entry);
    let offer = entry.active.as_deref().filter(|active| named != Some(&*active.update_id) && !cancel_update);
    let next_check_in = next_check_in(ctx, &entry, want_inventory);
    ctx.presence.saw(&entry.id, Contact { seen_at: now, next_check_in_at: now.after(next_check_in) });
    Ok(Answer {
        trust: ctx.trust.delta_for(&call.have, &entry.product, assignment.as_ref(), now),
        offer: offer.map(|active| offer_of(&entry, active)),
        next_check_in,
        want_inventory,
        cancel_update,
    })
}

fn active_id(entry: &DeviceEntry) -> Option<&str> {
    entry.active.as_ref().map(|active| &*active.update_id)
}

fn offer_of(entry: &DeviceEntry, active: &Active) -> Offer {
    Offer {
        update: format!("devices/{}/updates/{}", entry.id, active.update_id),
        release: format!("releases/{}/{}", entry.product, active.version),
        deadline: active.deadline_at,
    }
}

/// The device's assignment where it lacks it, or where it has to be signed anew; none otherwise.
async fn known_assignment(
    ctx: &Context,
    entry: Arc<DeviceEntry>,
    have: &Versions,
    now: Timestamp,
) -> Result<(Arc<DeviceEntry>, Option<Assignment>)> {
    let Some(signed) = entry.assignment else { return Ok((entry, None)) };
    if signed.due_at <= now {
        let mut tx = ctx.db.write().await?;
        let held = assignment_get(&mut tx, &entry.id).await?;
        if let Some(held) = held {
            match assignments::renew_if_due(&mut tx, ctx, &held, &entry.product, now).await {
                Ok(Some(renewed)) => {
                    tx.commit().await?;
                    let mut tx = ctx.db.read().await?;
                    let entry = ctx.devices.reread(&mut tx, &entry.id).await?.unwrap_or(entry);
                    return Ok((entry, Some(renewed)));
                }
                Ok(None) => {}
                // It is good for as long again; the log says why it could not be signed.
                Err(error) => {
                    tracing::warn!(device = %entry.id, %error, "an assignment could not be signed anew")
                }
            }
        }
    }
    if signed.version <= have.assignment {
        return Ok((entry, None));
    }
    let mut tx = ctx.db.read().await?;
    let held = assignment_get(&mut tx, &entry.id).await?;
    Ok((entry, held))
}

/// Takes over what the device says of itself. OK after commit.
async fn record_inventory(
    ctx: &Context,
    entry: &DeviceEntry,
    inventory: Inventory,
    now: Timestamp,
) -> Result<Arc<DeviceEntry>> {
    for _ in 0..TRIES {
        let mut tx = ctx.db.write().await?;
        let Some(mut device) = device_get(&mut tx, &entry.id).await? else { break };
        device.inventory = inventory.clone();
        device.have = entry.have();
        if device_update(&mut tx, &mut device, now).await? {
            tx.commit().await?;
            let mut tx = ctx.db.read().await?;
            let known = ctx.devices.reread(&mut tx, &entry.id).await?;
            return known.ok_or_else(|| unknown(&entry.id).into());
        }
    }
    Err(unknown(&entry.id).into())
}

/// The device works on nothing, and what it runs is known: so is what its ended updates left behind.
async fn settle(ctx: &Context, entry: Arc<DeviceEntry>) -> Result<Arc<DeviceEntry>> {
    let mut tx = ctx.db.write().await?;
    updates_settle(&mut tx, &entry.id).await?;
    // The generation of the record makes every replica read it again.
    if let Some(mut device) = device_get(&mut tx, &entry.id).await?
        && device_update(&mut tx, &mut device, ctx.clock.now()).await?
    {
        changes_bump(&mut tx, Kind::Devices).await?;
        tx.commit().await?;
        ctx.devices.refresh(ctx, &entry.id).await?;
        ctx.wake.rollouts();
    }
    // Where another change was faster, the next poll settles it.
    Ok(ctx.devices.get(&entry.id).unwrap_or(entry))
}

fn unknown(id: &str) -> Refusal {
    Refusal::new(
        Reason::Unavailable,
        format!("the record of the device {id} changes too fast"),
        "check in again in a moment",
    )
    .retry_after(AT_ONCE)
}

/// When the device shall come back: the interval, stretched so that the fleet does not ask for more
/// than a server has, and spread by a quarter, so that a fleet that was switched on at once does not
/// stay in step.
fn next_check_in(ctx: &Context, entry: &DeviceEntry, want_inventory: bool) -> Duration {
    if want_inventory {
        return AT_ONCE;
    }
    let least = Duration::from_secs(u64::try_from(ctx.devices.len()).unwrap_or(u64::MAX) / POLLS_PER_SECOND);
    let mut interval = ctx.check_in_interval.max(least);
    if entry.active.is_some() {
        interval = interval.min(WHILE_BUSY.max(least));
    }
    interval.mul_f64(0.75 + ctx.rng.unit() / 2.0)
}

#[cfg(test)]
#[path = "check_in_tests.rs"]
mod tests;
