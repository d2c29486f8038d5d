//! Consumes stored readings as soon as they arrive, until nothing waits.

use std::time::Duration;

use super::driver::Tasks;
use crate::service::{Context, Error, forecasts::consume};

/// For what another replica stored, and left when it died.
const PERIOD: Duration = Duration::from_secs(2);

/// Starts it.
pub fn spawn(tasks: &mut Tasks, ctx: &Context) {
    tasks.spawn("inbox", PERIOD, Some(ctx.inbox.arrived()), drain);
}

async fn drain(ctx: Context) -> Result<(), Error> {
    while !ctx.stop.is_raised() {
        let consumed = consume(&ctx).await?;
        if consumed.batches == 0 {
            break;
        }
        tracing::debug!(
            batches = consumed.batches,
            readings = consumed.readings,
            changes = consumed.changes,
            "consumed readings"
        );
    }
    Ok(())
}
