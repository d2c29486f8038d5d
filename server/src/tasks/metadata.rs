//! Keeps the online signatures fresh, so that devices can tell a quiet server from a frozen one.

use std::time::Duration;

use super::driver::Tasks;
use crate::service::{Context, Error, signing};

/// How often it is looked whether something is due. The timestamp is signed daily for seven days,
/// so even days of failures go unnoticed by devices.
const PERIOD: Duration = Duration::from_secs(15 * 60);

/// Starts it.
pub fn spawn(tasks: &mut Tasks) {
    tasks.spawn("metadata", PERIOD, None, sign_what_is_due);
}

async fn sign_what_is_due(ctx: Context) -> Result<(), Error> {
    if signing::renew(&ctx).await? {
        tracing::info!("online signatures were renewed");
    }
    Ok(())
}
