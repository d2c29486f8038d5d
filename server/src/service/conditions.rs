//! What the living alerts say of devices, kept in memory for the selectors of rollouts: a check-in asks
//! them without a statement.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use super::{Context, Result};
use crate::store::{
    alert_events::alert_events_devices,
    changes::{Kind, changes_get},
};

/// Events looked at in one go.
const FETCH: i64 = 1000;

/// How far the events of alerts have been followed.
#[derive(Clone, Debug, Default)]
pub struct Conditions(Arc<AtomicI64>);

/// What is in memory is as of now: remembers where to go on from. Before the devices are read.
pub async fn start(ctx: &Context) -> Result<()> {
    let mut tx = ctx.db.read().await?;
    let position = changes_get(&mut tx, Kind::AlertEvents).await?;
    ctx.conditions.0.store(position, Ordering::SeqCst);
    Ok(())
}

/// Takes over what changed since the last time, by whichever replica.
pub async fn follow(ctx: &Context) -> Result<()> {
    loop {
        let from = ctx.conditions.0.load(Ordering::SeqCst);
        let mut tx = ctx.db.read().await?;
        let to = changes_get(&mut tx, Kind::AlertEvents).await?;
        if to <= from {
            return Ok(());
        }
        let events = alert_events_devices(&mut tx, from, FETCH).await?;
        // Nothing there: pruned, which takes a replica that slept for weeks.
        let reached = events.last().map_or(to, |(position, _)| *position);
        let devices: BTreeSet<&str> =
            events.iter().map(|(_, id)| id.as_str()).filter(|id| ctx.devices.get(id).is_some()).collect();
        for id in devices {
            ctx.devices.reread(&mut tx, id).await?;
        }
        ctx.conditions.0.store(reached, Ordering::SeqCst);
    }
}
