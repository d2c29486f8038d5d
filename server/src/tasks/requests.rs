//! Forgets request ids that nobody will repeat any more.

use std::time::Duration;

use super::driver::Tasks;
use crate::{limits, store::requests::requests_delete_before};

const PERIOD: Duration = Duration::from_secs(3600);

/// Starts it.
pub fn spawn(tasks: &mut Tasks) {
    tasks.spawn("requests", PERIOD, None, |ctx| async move {
        let mut tx = ctx.db.write().await?;
        requests_delete_before(&mut tx, ctx.clock.now().before(limits::REQUEST_MEMORY)).await?;
        tx.commit().await?;
        Ok(())
    });
}
