//! Waiting before the same call is made again.

use std::time::Duration;

use tonic::Status;

use crate::{
    error::{Failure, is_transient},
    output::Console,
    rng,
};

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(15);
const PAUSE_FIRST: Duration = Duration::from_millis(250);

/// Why following a stream stopped.
#[derive(Debug)]
pub enum Stop {
    /// For good.
    Failure(Failure),
    /// The stream broke, or was refused; `Backoff` decides which.
    Broken(Status),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Broken(status)
    }
}

/// Counts attempts that failed in a row and pauses ever longer, with jitter, so that many watchers of
/// one server do not return to it at the same moment.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Something worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Pauses after a stream broke, and says once that it did.
    ///
    /// # Errors
    /// What stopped it for good.
    pub async fn pause_stream(
        &mut self,
        stop: Stop,
        attempts: u32,
        console: &Console,
    ) -> Result<(), Failure> {
        let broken = match stop {
            Stop::Failure(failure) => return Err(failure),
            Stop::Broken(status) => status,
        };
        if self.failures == 0 && is_transient(&broken) {
            console.say("the connection is lost; trying again, nothing will be missed");
        }
        self.pause(broken, attempts).await
    }

    /// Pauses after a failure that may pass by itself; gives back any other, and one too many.
    ///
    /// # Errors
    /// The failure itself.
    pub async fn pause(&mut self, status: Status, attempts: u32) -> Result<(), Failure> {
        if !is_transient(&status) || self.failures >= attempts {
            return Err(status.into());
        }
        let pause = pause_after(self.failures, rng::fraction());
        self.failures += 1;
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Half of the pause is certain, half is chance.
fn pause_after(failures: u32, fraction: f64) -> Duration {
    let full = PAUSE_FIRST.saturating_mul(1 << failures.min(10)).min(PAUSE_MAX);
    full / 2 + full.mul_f64(fraction.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        assert_eq!(pause_after(0, 0.0), Duration::from_millis(125));
        assert_eq!(pause_after(0, 1.0), Duration::from_millis(250));
        assert_eq!(pause_after(40, 1.0), PAUSE_MAX);
    }

    #[tokio::test]
    async fn what_will_not_pass_is_given_back_at_once() {
        let mut backoff = Backoff::default();
        assert!(backoff.pause(Status::not_found("gone"), 5).await.is_err());
        assert!(backoff.pause(Status::unavailable("away"), 0).await.is_err());
    }
}
