//! Flags alerts, and takes the flag from them, when silences begin and end.

use std::time::Duration;

use super::driver::Tasks;
use crate::service::{Context, suppression::reconcile};

/// How late the end of a silence may be noticed; each run costs five statements.
const PERIOD: Duration = Duration::from_secs(5);

/// Starts it.
pub fn spawn(tasks: &mut Tasks, ctx: &Context) {
    tasks.spawn(
        "suppression",
        PERIOD,
        Some(ctx.suppression.woken()),
        |ctx| async move { reconcile(&ctx).await },
    );
}
