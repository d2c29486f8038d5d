//! Wakes the watchers of alerts for what other replicas did, and for changed scopes.

use std::time::Duration;

use super::driver::Tasks;
use crate::service::alert_watch::poll;

/// How long an event of another replica, or a changed label, takes to reach a watcher, at most.
/// One statement, and none while nobody watches.
const PERIOD: Duration = Duration::from_secs(1);

/// Starts it.
pub fn spawn(tasks: &mut Tasks) {
    tasks.spawn("alert feed", PERIOD, None, |ctx| async move { poll(&ctx).await });
}
