//! Whether the clock of the server can be relied on to drop readings: what is dropped does not come back.
//!
//! A clock that is ahead for a moment makes everything look older than is kept. So nothing is dropped by a time that the
//! clock has just come to: it is believed when it went on in small steps, seen now and then, for a day. Until then holds what
//! was believed before.

use std::time::Duration;

use super::time::{DAY, Timestamp, span_millis};

/// A larger step, either way, puts what was seen before in doubt. A server that is off overnight makes smaller ones.
const JUMP: Duration = DAY;
/// A step counts as no more than this: what the clock did while nobody looked is not known.
const COUNTED: Duration = Duration::from_secs(3600);
/// So long a clock must have gone on.
const STEADY: Duration = DAY;

/// What is remembered of a clock; as it is by default, nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SteadyClock {
    /// What it showed when it was last looked at.
    pub seen: Option<Timestamp>,
    /// How long it has gone on in small steps, in ms; no more than is asked for.
    pub steady: i64,
    /// The last time that was believed.
    pub believed: Option<Timestamp>,
}

impl SteadyClock {
    /// What is known after it showed `now`.
    pub fn look(self, now: Timestamp) -> SteadyClock {
        let Some(seen) = self.seen else { return SteadyClock { seen: Some(now), ..self } };
        let step = now.millis().saturating_sub(seen.millis());
        let steady = if step.saturating_abs() > span_millis(JUMP) {
            0
        } else {
            (self.steady + step.clamp(0, span_millis(COUNTED))).min(span_millis(STEADY))
        };
        let believed = if steady >= span_millis(STEADY) { Some(now) } else { self.believed };
        SteadyClock { seen: Some(now), steady, believed }
    }

    /// By which time things are old, where the clock shows `now`; none when it was never seen to be steady.
    pub fn old_by(&self, now: Timestamp) -> Option<Timestamp> {
        // One that was ahead for days, and believed, was put right since.
        self.believed.map(|believed| believed.min(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_795_356_185);
    const STEP: Duration = Duration::from_secs(600);

    /// Looked at every ten minutes, for so long; and what it shows then.
    fn run(mut clock: SteadyClock, from: Timestamp, span: Duration) -> (SteadyClock, Timestamp) {
        let mut now = from;
        while now < from.after(span) {
            now = now.after(STEP);
            clock = clock.look(now);
        }
        (clock, now)
    }

    #[test]
    fn it_is_believed_after_a_day() {
        let (clock, now) = run(SteadyClock::default().look(START), START, DAY - STEP);
        assert_eq!(clock.old_by(now), None);
        let clock = clock.look(now.after(STEP));
        assert_eq!(clock.old_by(now.after(STEP)), Some(now.after(STEP)));
    }

    #[test]
    fn one_that_is_wrong_for_less_than_a_day_changes_nothing() {
        let (clock, right) = run(SteadyClock::default().look(START), START, 2 * DAY);
        assert_eq!(clock.old_by(right), Some(right));
        for wrong in [right.after(400 * DAY), right.before(400 * DAY)] {
            let (clock, now) = run(clock, wrong, DAY / 2);
            assert_eq!(clock.old_by(now), Some(right.min(now)), "ahead, or behind");
            let (clock, now) = run(clock, right.after(DAY / 2), DAY / 2);
            assert_eq!(clock.old_by(now), Some(right));
            let (clock, now) = run(clock, now, DAY);
            assert_eq!(clock.old_by(now), Some(now));
        }
        // After a day it is taken for right, as it is after the server was off for months; not once it is put right.
        let (clock, now) = run(clock, right.after(400 * DAY), 2 * DAY);
        assert_eq!(clock.old_by(now), Some(now));
        assert_eq!(clock.look(right).old_by(right), Some(right));
    }

    #[test]
    fn a_server_that_is_off_overnight_comes_to_a_day_in_a_few() {
        let (mut clock, mut now) = (SteadyClock::default().look(START), START);
        for _ in 0..3 {
            assert_eq!(clock.believed, None);
            (clock, now) = run(clock, now, DAY / 3);
            now = now.after(2 * (DAY / 3));
        }
        assert!(clock.believed.is_some());
        // What it does while nobody looks is an hour at most.
        let asleep = SteadyClock::default().look(START).look(START.after(DAY));
        assert_eq!(asleep.steady, span_millis(COUNTED));
    }

    #[test]
    fn any_clock_has_an_end() {
        let ends = [i64::MIN, i64::MAX, 0].map(Timestamp::from_millis);
        for (first, second) in ends.into_iter().flat_map(|a| ends.map(|b| (a, b))) {
            assert_eq!(SteadyClock::default().look(first).look(second).believed, None);
        }
    }
}
