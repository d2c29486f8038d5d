//! Goes on with erasures that were begun: at once, and those of a server that was cut off when it is back.

use std::time::Duration;

use super::driver::Tasks;
use crate::service::{Context, erasure};

/// For what another replica began, and left when it died.
const PERIOD: Duration = Duration::from_secs(60);

/// Starts it.
pub fn spawn(tasks: &mut Tasks, ctx: &Context) {
    tasks.spawn(
        "erasure",
        PERIOD,
        Some(ctx.erasure.clone()),
        |ctx| async move { erasure::resume(&ctx).await },
    );
}
