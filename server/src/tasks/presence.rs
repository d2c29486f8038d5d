//! Writes last contacts in batches.

use std::time::Duration;

use super::driver::Tasks;

/// At most one write per device in this time.
const PERIOD: Duration = Duration::from_secs(15);

/// Starts it.
pub fn spawn(tasks: &mut Tasks) {
    tasks.spawn("presence", PERIOD, None, |ctx| async move { ctx.presence.flush(&ctx).await });
}
