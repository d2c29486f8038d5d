//! Time: the only place that asks the machine for it.
//!
//! Trusted time is `max(clock, floor)`. The floor is the newest time that signed metadata or a signed
//! answer proved, so a device whose clock starts at 1970 neither accepts expired metadata nor refuses to
//! work. Where a signed answer says that the machine's clock is wrong by more than a day, the answer and
//! the time that passed since stand in for it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use crate::collect::wire_time;

/// 2026-11-01T00:00:00Z: no clock of a device that runs this version can rightly be earlier.
const BUILD_TIME: i64 = 1_793_491_200_000;
/// A clock that differs more from a signed time is wrong.
const WRONG: i64 = 24 * 3600 * 1000;
/// Clocks of devices and servers differ by some minutes without any of them being wrong.
const BEHIND: i64 = 10 * 60 * 1000;

type Source = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Trusted time in milliseconds since the epoch. Clones share one floor.
#[derive(Clone)]
pub struct Clock {
    source: Source,
    ticks: Source,
    floor: Arc<AtomicI64>,
    proved: Arc<Mutex<Option<Proved>>>,
    /// What the machine's clock showed beyond the server's when they last talked; [`UNHEARD`] before.
    offset: Arc<AtomicI64>,
}

const UNHEARD: i64 = i64::MIN;

/// A signed time, and when it was heard.
#[derive(Clone, Copy)]
struct Proved {
    time: i64,
    tick: i64,
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
    pub fn from_source(source: Source) -> Self {
        let start = monotonic();
        let ticks = move || i64::try_from((monotonic() - start).as_millis()).unwrap_or(i64::MAX);
        Self::with_ticks(source, Arc::new(ticks))
    }

    /// The same with another measure of how much time passed, in milliseconds from any point.
    pub fn with_ticks(source: Source, ticks: Source) -> Self {
        let offset = Arc::new(AtomicI64::new(UNHEARD));
        Self { source, ticks, floor: Arc::new(AtomicI64::new(BUILD_TIME)), proved: Arc::default(), offset }
    }

    /// Now, never below the floor.
    pub fn now(&self) -> i64 {
        let shown = (self.source)();
        let time = self.expected().filter(|expected| contradict(shown, *expected)).unwrap_or(shown);
        time.max(self.floor.load(Ordering::Relaxed))
    }

    /// What the machine's clock shows, whatever was proved.
    pub fn unproved(&self) -> i64 {
        (self.source)()
    }

    /// Milliseconds that passed since some moment of this process; never goes back, whatever the clock
    /// shows.
    pub fn ticks(&self) -> i64 {
        (self.ticks)()
    }

    /// Raises the floor; a lower value changes nothing.
    pub fn raise_floor(&self, millis: i64) {
        self.floor.fetch_max(millis, Ordering::Relaxed);
    }

    /// Forgets what was proved, but for `millis`: who proved it is not trusted any more.
    pub fn forget(&self, millis: i64) {
        *self.proved.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.floor.store(millis.max(BUILD_TIME), Ordering::Relaxed);
    }

    /// Takes note of a signed time that was heard just now.
    pub fn prove(&self, millis: i64) {
        let proved = Proved { time: millis, tick: self.ticks() };
        *self.proved.lock().unwrap_or_else(PoisonError::into_inner) = Some(proved);
        self.raise_floor(millis);
    }

    /// Takes note of what the server's clock shows. Nobody signed that, so it changes nothing but what is told
    /// of this clock.
    pub fn hear(&self, millis: i64) {
        self.offset.store((self.source)().saturating_sub(millis), Ordering::Relaxed);
    }

    /// How far the machine's clock was ahead of the server's when they last talked, in milliseconds.
    pub fn offset(&self) -> Option<i64> {
        Some(self.offset.load(Ordering::Relaxed)).filter(|offset| *offset != UNHEARD)
    }

    /// Whether this clock is so far ahead of what the server's shows that readings taken by it are from tomorrow, and no
    /// signed time says which of them is right.
    pub fn is_far_ahead(&self) -> bool {
        self.expected().is_none() && self.offset().is_some_and(|offset| offset > WRONG)
    }

    /// Takes from times that have not come yet what the machine's clock is ahead of the signed time: they are of
    /// readings that were taken by it before.
    pub fn set_right<'a>(&self, times: impl IntoIterator<Item = &'a mut prost_types::Timestamp>) {
        let (now, shown) = (self.now(), self.unproved());
        let ahead = shown.saturating_sub(now);
        if ahead <= WRONG {
            return;
        }
        for time in times {
            let millis = time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000);
            if millis > now.saturating_add(BEHIND) {
                *time = wire_time(millis.saturating_sub(ahead));
            }
        }
    }

    /// Whether the machine's clock cannot be believed: it contradicts the last signed time, or without
    /// one shows less than was proved.
    pub fn is_in_doubt(&self) -> bool {
        let shown = (self.source)();
        match self.expected() {
            Some(expected) => contradict(shown, expected),
            None => shown + BEHIND < self.floor.load(Ordering::Relaxed),
        }
    }

    /// What the clock should show by the last signed time.
    fn expected(&self) -> Option<i64> {
        let proved = (*self.proved.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(proved.time.saturating_add(self.ticks() - proved.tick))
    }
}

fn contradict(shown: i64, expected: i64) -> bool {
    shown.saturating_sub(expected).saturating_abs() > WRONG
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

#[expect(clippy::disallowed_methods, reason = "this is the file that may ask for the time")]
fn monotonic() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600 * 1000;

    /// A clock, what it shows, and what passed.
    fn by_hand() -> (Clock, Arc<AtomicI64>, Arc<AtomicI64>) {
        let (shown, passed) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
        let read = |from: &Arc<AtomicI64>| -> Source {
            let from = from.clone();
            Arc::new(move || from.load(Ordering::Relaxed))
        };
        (Clock::with_ticks(read(&shown), read(&passed)), shown, passed)
    }

    #[test]
    fn a_signed_time_stands_in_for_a_clock_that_is_wrong() {
        let (clock, shown, passed) = by_hand();
        let truth = BUILD_TIME + 1000 * 24 * HOUR;
        // 1970, the end of the century, and right.
        for wrong in [0, 4_102_444_800_000] {
            shown.store(wrong, Ordering::Relaxed);
            clock.prove(truth);
            assert_eq!((clock.now(), clock.unproved()), (truth, wrong));
            assert!(clock.is_in_doubt());
            passed.fetch_add(2 * HOUR, Ordering::Relaxed);
            assert_eq!(clock.now(), truth + 2 * HOUR, "it goes on");
            // Somebody sets the clock: from now on it is believed.
            shown.store(truth + 2 * HOUR + 5, Ordering::Relaxed);
            assert_eq!(clock.now(), truth + 2 * HOUR + 5);
            assert!(!clock.is_in_doubt());
            // It jumps back.
            shown.store(truth - 48 * HOUR, Ordering::Relaxed);
            assert_eq!(clock.now(), truth + 2 * HOUR);
            assert!(clock.is_in_doubt());
        }
    }

    #[test]
    fn readings_from_tomorrow_are_set_right_by_a_signed_time() {
        let (clock, shown, _) = by_hand();
        let truth = BUILD_TIME + 1000 * 24 * HOUR;
        shown.store(truth + 72 * HOUR, Ordering::Relaxed);
        assert!(!clock.is_far_ahead(), "nothing is known of the server's yet");
        clock.hear(truth);
        assert!(clock.is_far_ahead());
        let mut times = [-72, -1, 0].map(|hours| wire_time(truth + (72 + hours) * HOUR));
        let before = times;
        clock.set_right(&mut times);
        assert_eq!(times, before, "nobody signed anything");
        clock.prove(truth);
        assert!(!clock.is_far_ahead());
        clock.set_right(&mut times);
        // The first was taken when the clock was right.
        assert_eq!(times, [0, -1, 0].map(|hours| wire_time(truth + hours * HOUR)));
        shown.store(truth, Ordering::Relaxed);
        clock.set_right(&mut times);
        assert_eq!(times[2], wire_time(truth), "a clock that is right is believed");
    }

    #[test]
    fn without_a_signed_time_only_what_is_below_the_floor_is_in_doubt() {
        let (clock, shown, _) = by_hand();
        assert!(clock.is_in_doubt());
        shown.store(BUILD_TIME - 1000, Ordering::Relaxed);
        assert!(!clock.is_in_doubt(), "a second is nothing");
        shown.store(i64::MAX / 2, Ordering::Relaxed);
        assert!(!clock.is_in_doubt(), "nobody can know");
    }

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
