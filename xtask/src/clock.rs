//! The one place of this tool that asks what time it is: to report how long a step took, and to give up in time.

use std::time::{Duration, Instant};

/// A running stopwatch.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts one.
    #[expect(clippy::disallowed_methods, reason = "this file is where the tool asks for the time")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Seconds since the start, as a table shows them.
    pub fn seconds(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}
