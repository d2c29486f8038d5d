//! Tells which devices fell silent, and which are back.

use std::time::Duration;

use super::driver::Tasks;
use crate::service::{Context, offline::reconcile};

/// A walk over the devices in memory; beside the minutes that a silence lasts before it counts.
const PERIOD: Duration = Duration::from_secs(5);

/// Starts it.
pub fn spawn(tasks: &mut Tasks, ctx: &Context) {
    tasks.spawn("offline", PERIOD, Some(ctx.offline.woken()), |ctx| async move { reconcile(&ctx).await });
}
