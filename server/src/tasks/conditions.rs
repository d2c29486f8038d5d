//! Keeps what living alerts say of devices in memory, for the selectors of rollouts.

use std::time::Duration;

use super::driver::Tasks;
use crate::service::{Context, conditions::follow};

/// How long an alert of another replica takes to reach this one's polls, at most; one statement. An
/// admission reads them again in its own transaction.
const PERIOD: Duration = Duration::from_secs(2);

/// Starts it.
pub fn spawn(tasks: &mut Tasks, ctx: &Context) {
    tasks.spawn("conditions", PERIOD, Some(ctx.alerts.moves()), |ctx| async move { follow(&ctx).await });
}
