//! Consumes stored readings soon after they arrive, until nothing waits.

use std::time::Duration;

use tokio::time::sleep;

use super::driver::Tasks;
use crate::service::{Context, Error, forecasts::consume};

/// For what another replica stored, and left when it died.
const PERIOD: Duration = Duration::from_secs(2);
/// Batches gather for so long after some were consumed: most of what consuming costs is for a transaction, whatever
/// number of them it takes in. Whoever waits for an alert does not notice.
const GATHER: Duration = Duration::from_millis(500);

/// Starts it.
pub fn spawn(tasks: &mut Tasks, ctx: &Context) {
    tasks.spawn("inbox", PERIOD, Some(ctx.inbox.arrived()), drain);
}

async fn drain(ctx: Context) -> Result<(), Error> {
    loop {
        let consumed = consume(&ctx).await?;
        if consumed.batches == 0 {
            return Ok(());
        }
        tracing::debug!(
            batches = consumed.batches,
            readings = consumed.readings,
            changes = consumed.changes,
            "consumed readings"
        );
        if ctx.stop.is_raised() {
            return Ok(());
        }
        if !consumed.is_full {
            tokio::select! {
                () = ctx.stop.raised() => {}
                () = sleep(GATHER) => {}
            }
        }
    }
}
