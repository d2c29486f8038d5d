//! Points in time, to the millisecond.

use std::time::Duration;

/// 24 hours.
pub const DAY: Duration = Duration::from_secs(86_400);

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis)
    }

    /// From seconds since the epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Timestamp(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Later by `span`; stops at the end of time.
    pub fn after(self, span: Duration) -> Self {
        Timestamp(self.0.saturating_add(span_millis(span)))
    }

    /// Earlier by `span`; stops at the beginning of time.
    pub fn before(self, span: Duration) -> Self {
        Timestamp(self.0.saturating_sub(span_millis(span)))
    }

    /// How long since `earlier`; zero when it is not earlier.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A span in milliseconds, as columns hold it.
pub fn span_millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
