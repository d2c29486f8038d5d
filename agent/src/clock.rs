//! Time: the only place that asks the machine for it.
//!
//! Trusted time is `max(system clock, floor)`. The floor is the newest time that signed metadata
//! proved, so a device whose clock starts at 1970 neither accepts expired metadata nor refuses
//! to work.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// 2026-11-01T00:00:00Z: no clock of a device that runs this version can rightly be earlier.
const BUILD_TIME: i64 = 1_793_491_200_000;

/// Trusted time in milliseconds since the epoch. Clones share one floor.
#[derive(Clone)]
pub struct Clock {
    source: Arc<dyn Fn() -> i64 + Send + Sync>,
    floor: Arc<AtomicI64>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("floor", &self.floor).finish_non_exhaustive()
    }
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::from_source(Arc::new(system_millis))
    }

    /// A clock that reads `source`, in milliseconds since the epoch.
    pub fn from_source(source: Arc<dyn Fn() -> i64 + Send + Sync>) -> Self {
        Self { source, floor: Arc::new(AtomicI64::new(BUILD_TIME)) }
    }

    /// Now, never below the floor.
    pub fn now(&self) -> i64 {
        (self.source)().max(self.floor.load(Ordering::Relaxed))
    }

    /// What the machine's clock shows, whatever was proved.
    pub fn unproved(&self) -> i64 {
        (self.source)()
    }

    /// Raises the floor; a lower value changes nothing.
    pub fn raise_floor(&self, millis: i64) {
        self.floor.fetch_max(millis, Ordering::Relaxed);
    }
}

/// How long until `deadline`, nothing if it has passed.
pub fn until(deadline: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(deadline.saturating_sub(now)).unwrap_or(0))
}

#[expect(clippy::disallowed_methods, reason = "this is the file that may ask for the time")]
fn system_millis() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_below_its_floor() {
        let clock = Clock::from_source(Arc::new(|| 5));
        assert_eq!(clock.now(), BUILD_TIME);
        let shared = clock.clone();
        shared.raise_floor(BUILD_TIME + 7);
        shared.raise_floor(BUILD_TIME + 3);
        assert_eq!(clock.now(), BUILD_TIME + 7);
    }

    #[test]
    fn a_passed_deadline_leaves_no_time() {
        assert_eq!(until(5, 9), Duration::ZERO);
        assert_eq!(until(9, 5), Duration::from_millis(4));
    }
}
