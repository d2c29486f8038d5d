//! Time: the only place of this program that asks the machine for it. The suites move it with libfaketime.

use std::time::{SystemTime, UNIX_EPOCH};

use slipway_trust::Date;

/// The machine's clock.
#[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
pub fn now() -> Date {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Date::from_unix(since.as_secs().try_into().unwrap_or(i64::MAX))
}
