//! Looks every few minutes for what many devices have in common.

use std::time::Duration;

use super::driver::Tasks;
use crate::service::fleet_findings;

/// What a version does to a fleet shows over hours.
const PERIOD: Duration = Duration::from_secs(300);

/// Starts it.
pub fn spawn(tasks: &mut Tasks) {
    tasks.spawn("fleet", PERIOD, None, |ctx| async move {
        if let Some(changes @ 1..) = fleet_findings::look(&ctx).await? {
            tracing::info!(changes, "findings about the fleet changed");
        }
        Ok(())
    });
}
