//! When to talk to the server next: pure, the generator is a parameter.

use std::time::Duration;

use rand::{Rng, RngExt as _};

/// First pause after a failure. Doubled for every further failure.
const BACKOFF_START: Duration = Duration::from_secs(1);
/// Longest pause after failures: a server that was away for hours is found again within minutes.
const BACKOFF_LIMIT: Duration = Duration::from_secs(300);
/// The server may not ask to be polled faster than this, nor be silent for longer than the other:
/// a wrong answer must neither burn the battery nor lose the device.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Longest pause of a device that was revoked: a mistake is found out within the hour.
const SHUT_OUT: Duration = Duration::from_secs(3600);
/// When the server said nothing.
const DEFAULT: Duration = Duration::from_secs(300);

/// When the next check-in is due, how many have failed in a row, and how many led to nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Schedule {
    failures: u32,
    fruitless: u32,
}

impl Schedule {
    /// The server answered and asked for a pause; it spreads the fleet itself, so no jitter here. One that
    /// offers again and again what the device has refused or finished is asked less and less often.
    pub fn answered(&mut self, asked: Option<Duration>, rng: &mut impl Rng) -> Duration {
        self.failures = 0;
        let pause = asked.unwrap_or(DEFAULT).clamp(SHORTEST, LONGEST);
        let repeats = self.fruitless.saturating_sub(1);
        if repeats == 0 { pause } else { (pause + backoff(repeats, rng)).min(LONGEST) }
    }

    /// The server answered that this device has no place in the fleet any more. That may be taken back, so it
    /// is asked again, but seldom.
    pub fn shut_out(&mut self, rng: &mut impl Rng) -> Duration {
        self.failures = 0;
        SHUT_OUT / 2 + Duration::from_millis(rng.random_range(0..=SHUT_OUT.as_millis() as u64 / 2))
    }

    /// An offer led to nothing: it was refused, or there was nothing left to do for it.
    pub fn fruitless(&mut self) {
        self.fruitless = self.fruitless.saturating_add(1);
    }

    /// Nothing was offered, or what was offered is being installed.
    pub fn fruitful(&mut self) {
        self.fruitless = 0;
    }

    /// Whether the end of an update is worth a check-in at once: not when it ended before it began.
    pub fn may_hurry(&self) -> bool {
        self.fruitless == 0
    }

    /// Whether a report goes at once: the second of the same refusal has time until the next check-in.
    pub fn is_news(&self) -> bool {
        self.fruitless <= 1
    }

    /// The server did not answer: exponential backoff with full jitter, so that a fleet does not
    /// come back in step after an outage.
    pub fn failed(&mut self, rng: &mut impl Rng) -> Duration {
        self.failures = self.failures.saturating_add(1);
        backoff(self.failures, rng)
    }
}

/// When to renew a certificate that holds from `from` to `to`, in milliseconds: at a random moment between
/// half and two thirds of its life, so that a fleet that was enrolled in a day does not renew in a day, and
/// there is time left to fail in.
pub fn renewal(from: i64, to: i64, rng: &mut impl Rng) -> i64 {
    let life = to.saturating_sub(from).max(0);
    from.saturating_add(life / 2).saturating_add(rng.random_range(0..=life / 6))
}

/// The pause before try `failures + 1`: a uniformly chosen part of a limit that doubles each time.
pub fn backoff(failures: u32, rng: &mut impl Rng) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let limit = BACKOFF_START.saturating_mul(1 << doublings).min(BACKOFF_LIMIT);
    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(rng.random_range(0..=millis)).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn the_server_decides_within_reason() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut schedule = Schedule::default();
        assert_eq!(schedule.answered(Some(Duration::from_secs(7)), &mut rng), Duration::from_secs(7));
        assert_eq!(schedule.answered(Some(Duration::ZERO), &mut rng), SHORTEST);
        assert_eq!(schedule.answered(Some(Duration::MAX), &mut rng), LONGEST);
        assert_eq!(schedule.answered(None, &mut rng), DEFAULT);
    }

    #[test]
    fn an_offer_that_leads_to_nothing_is_not_hurried_after() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut schedule = Schedule::default();
        let asked = Duration::from_secs(2);
        assert!(schedule.may_hurry() && schedule.is_news());
        schedule.fruitless();
        assert!(!schedule.may_hurry() && schedule.is_news(), "it is reported, and that is all");
        assert_eq!(schedule.answered(Some(asked), &mut rng), asked);
        let mut longest = Duration::ZERO;
        for repeats in 1..40_u32 {
            schedule.fruitless();
            assert!(!schedule.is_news());
            let pause = schedule.answered(Some(asked), &mut rng);
            let limit = BACKOFF_START.saturating_mul(1 << (repeats - 1).min(16)).min(BACKOFF_LIMIT);
            assert!((asked..=asked + limit).contains(&pause), "{repeats}: {pause:?}");
            assert_eq!(schedule.answered(Some(Duration::MAX), &mut rng), LONGEST);
            longest = longest.max(pause);
        }
        assert!(longest > Duration::from_secs(150), "minutes lie between two rounds in the end");
        schedule.fruitful();
        assert!(schedule.may_hurry());
        assert_eq!(schedule.answered(Some(asked), &mut rng), asked);
    }

    #[test]
    fn renews_between_half_and_two_thirds_of_a_life() {
        let mut rng = StdRng::seed_from_u64(1);
        let draws: Vec<i64> = (0..1000).map(|_| renewal(6_000, 12_000, &mut rng)).collect();
        assert!(draws.iter().all(|at| (9_000..=10_000).contains(at)));
        assert!(draws.iter().min().unwrap() < &9_050 && draws.iter().max().unwrap() > &9_950);
        assert_eq!(renewal(5, 5, &mut rng), 5);
        assert_eq!(renewal(7, 3, &mut rng), 7, "one that never held is due at once");
    }

    #[test]
    fn backs_off_with_full_jitter_and_starts_over_after_an_answer() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut schedule = Schedule::default();
        let mut longest = Duration::ZERO;
        for failures in 1..40_u32 {
            let pause = schedule.failed(&mut rng);
            let limit = BACKOFF_START.saturating_mul(1 << failures.min(16)).min(BACKOFF_LIMIT);
            assert!((SHORTEST..=limit).contains(&pause), "{failures}: {pause:?}");
            longest = longest.max(pause);
        }
        assert!(longest > Duration::from_secs(150), "the jitter reaches the upper half of the range");
        schedule.answered(None, &mut rng);
        assert!(schedule.failed(&mut rng) <= BACKOFF_START);
    }
}
