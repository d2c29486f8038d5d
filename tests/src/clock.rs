//! Waiting for what other processes do; the only file of the tests that asks the clock.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until `condition` gives a value.
///
/// # Panics
///
/// When it gave none within `limit`.
pub async fn wait_for<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> F,
) -> T {
    let start = stopwatch();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// A monotonic point, to measure how long something took.
#[expect(clippy::disallowed_methods, reason = "the one place of the tests that asks the clock")]
pub fn stopwatch() -> Instant {
    Instant::now()
}
