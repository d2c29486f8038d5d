//! A release for one device, by an operator's word instead of a rollout's: for a device that cannot call,
//! and takes the signed assignment from a file.
//!
//! It opens no update. What the device makes of it shows in its inventory once it calls again.

use slipway_trust::{DeviceFacts, ReleaseEntry, check_release};

use super::{Context, Error, Result, assignments, devices, update_steps::TRIES};
use crate::{
    model::{
        device::DeviceState,
        facts::Facts,
        refusal::{Reason, Refusal},
        release,
        time::Timestamp,
        trust::Assignment,
    },
    store::{
        StoreError,
        assignments::assignment_get,
        audit::audit_append,
        changes::{Kind, changes_bump},
        devices::{device_get, device_update},
    },
};

/// Assigns the release `name` to a device. One that is assigned already, and not due to be signed anew,
/// is given out as it is: asking twice answers the same bytes.
pub async fn assign(ctx: &Context, actor: &str, device_id: &str, name: &str) -> Result<Assignment> {
    let (product, version) = release::parse_name(name).ok_or_else(|| release::not_found(name))?;
    for _ in 0..TRIES {
        let now = ctx.clock.now();
        let mut tx = ctx.db.write().await?;
        let mut device =
            device_get(&mut tx, device_id).await?.ok_or_else(|| devices::not_found(device_id))?;
        let facts = ctx.devices.look(&mut tx, &device).await?;
        let trust = ctx.trust.require()?;
        let entry = trust.release(product, &version).ok_or_else(|| release::not_found(name))?;
        check(&facts, entry, now)?;
        let held = assignment_get(&mut tx, device_id).await?;
        if let Some(held) = held.filter(|held| held.release.as_deref() == Some(name) && !held.is_due(now)) {
            return Ok(held);
        }
        let signed = assignments::assign(&mut tx, ctx, device_id, product, Some(&version), now).await;
        let assignment = match signed {
            Ok(assignment) => assignment,
            // Another replica signed for the device meanwhile.
            Err(Error::Store(StoreError::Conflict { .. })) => continue,
            Err(error) => return Err(error),
        };
        audit_append(&mut tx, now, actor, "AssignRelease", &format!("devices/{device_id}"), name).await?;
        if !device_update(&mut tx, &mut device, now).await? {
            continue;
        }
        // Every replica has to know the version, or it would not hand the next one out.
        changes_bump(&mut tx, Kind::Devices).await?;
        tx.commit().await?;
        ctx.devices.refresh(ctx, device_id).await?;
        return Ok(assignment);
    }
    Err(Refusal::new(
        Reason::Unavailable,
        format!("the record of the device {device_id} changes too fast"),
        "try again in a moment",
    )
    .into())
}

/// What the device would refuse, or what it has to do instead.
fn check(facts: &Facts, entry: &ReleaseEntry, now: Timestamp) -> std::result::Result<(), Refusal> {
    let refuse = |problem: String, hint: &str| Err(Refusal::new(Reason::AssignmentRefused, problem, hint));
    let id = &facts.id;
    let is_over = facts.quarantined_until.is_some_and(|until| until <= now);
    let standing = match facts.state {
        DeviceState::Active => None,
        DeviceState::Quarantined if is_over => None,
        DeviceState::Quarantined => Some(("is quarantined", "`slipway device unquarantine` ends that")),
        DeviceState::Pending => Some(("waits for an operator's yes", "`slipway device approve` says yes")),
        DeviceState::Registered => Some(("has not enrolled yet", "enrol it first")),
        DeviceState::Revoked => Some(("was revoked", "enrol it again")),
    };
    if let Some((problem, hint)) = standing {
        return refuse(format!("the device {id} {problem}"), hint);
    }
    if let Some(active) = facts.active.as_ref().filter(|active| *active.version != *entry.version.as_str()) {
        let (version, rollout) = (&active.version, &active.rollout_id);
        return refuse(
            format!(
                "the device {id} was offered {version} by the rollout {rollout} and may be working on it"
            ),
            "wait for the end of that update, or abort the rollout",
        );
    }
    // What a device runs that never said so is for the device to judge.
    let is_known = facts.inventory_digest != 0;
    let device = DeviceFacts {
        product: &facts.product,
        hardware: &facts.hardware,
        installed: if is_known { facts.counter } else { u64::MAX },
        floor: facts.floor,
    };
    check_release(entry, &device).or_else(|error| {
        refuse(
            format!("the device {id} would refuse it: {error}"),
            "assign a release that is for this device",
        )
    })
}

#[cfg(test)]
#[path = "hand_assignments_tests.rs"]
mod tests;
