//! What time it is. Nothing else in this crate asks the machine.

use std::time::{Duration, Instant, SystemTime};

/// Where the time comes from.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The machine.
    System,
    /// Always the same moment, in milliseconds since 1970: for transcripts.
    Fixed(i64),
}

impl Clock {
    /// Milliseconds since 1970. A clock before 1970 reads 0.
    pub fn now(self) -> i64 {
        match self {
            #[expect(clippy::disallowed_methods, reason = "the one place that asks")]
            Clock::System => SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Clock::Fixed(now) => now,
        }
    }

    /// A stopwatch that starts now; that of a fixed clock reads zero.
    pub fn stopwatch(self) -> Stopwatch {
        match self {
            #[expect(clippy::disallowed_methods, reason = "the one place that asks")]
            Clock::System => Stopwatch(Some(Instant::now())),
            Clock::Fixed(_) => Stopwatch(None),
        }
    }
}

/// Measures how long something took.
#[derive(Debug)]
pub struct Stopwatch(Option<Instant>);

impl Stopwatch {
    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.map_or(Duration::ZERO, |start| start.elapsed())
    }
}
