//! Lets cohorts learn from the parts that reached their limits since they last did.

use std::time::Duration;

use super::driver::Tasks;
use crate::service::cohorts;

/// Parts live for weeks; one more of many changes little.
const PERIOD: Duration = Duration::from_secs(300);

/// Starts it.
pub fn spawn(tasks: &mut Tasks) {
    tasks.spawn("cohorts", PERIOD, None, |ctx| async move {
        let learned = cohorts::learn(&ctx).await?;
        if learned > 0 {
            tracing::info!(cohorts = learned, "learned from parts that reached their limits");
        }
        Ok(())
    });
}
