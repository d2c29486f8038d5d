//! Looks every few minutes for what many devices have in common, and every hour at what is kept of their series.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::driver::Tasks;
use crate::{
    model::time::Timestamp,
    service::{Context, Error, cross_section, fleet_findings},
};

/// What a version does to a fleet shows over hours.
const PERIOD: Duration = Duration::from_secs(300);
/// What it does to readings shows over the last 20 of them.
const CROSS_SECTION: Duration = Duration::from_secs(3600);

/// Starts it.
pub fn spawn(tasks: &mut Tasks) {
    let looked_at: Arc<Mutex<Option<Timestamp>>> = Arc::default();
    tasks.spawn("fleet", PERIOD, None, move |ctx| {
        let looked_at = looked_at.clone();
        async move {
            if let Some(changes @ 1..) = fleet_findings::look(&ctx).await? {
                tracing::info!(changes, "findings about the fleet changed");
            }
            let before = *looked_at.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(now) = cross_section(&ctx, before).await? {
                *looked_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
            }
            Ok(())
        }
    });
}

/// Looks at the series of the fleet when it is time; returns when it did.
async fn cross_section(ctx: &Context, before: Option<Timestamp>) -> Result<Option<Timestamp>, Error> {
    let now = ctx.clock.now();
    let is_time = before.is_none_or(|before| now.since(before) >= CROSS_SECTION || before > now);
    if !is_time && !cross_section::is_wanted(ctx).await? {
        return Ok(None);
    }
    let Some(looked) = cross_section::look(ctx).await? else { return Ok(None) };
    tracing::debug!(devices = looked.devices, limits = looked.limits, "looked at the series of the fleet");
    if looked.changes > 0 {
        tracing::info!(changes = looked.changes, "findings about versions changed");
    }
    Ok(Some(now))
}
