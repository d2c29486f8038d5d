//! Gates: what must hold before the next wave opens. All arithmetic is in integers.

use std::time::Duration;

/// A gate, with every default filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Share of finished updates that must have succeeded, in percent.
    pub min_success_percent: u32,
    /// So many finished updates decide; 0 for those of all devices of the wave seen lately.
    pub min_sample: u32,
    /// More failures than this decide at once.
    pub max_failures: u32,
    /// More than this share of failures fails the wave, in percent.
    pub max_failure_percent: u32,
    /// How long it must hold.
    pub soak: Duration,
}

/// What a gate counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Succeeded since the last resume.
    pub succeeded: u32,
    /// Failed, rolled back, rejected or timed out since the last resume.
    pub failed: u32,
    /// Taken back.
    pub cancelled: u32,
    /// Devices of the wave that were seen lately and could still finish. A device that was not
    /// seen does not hold the fleet.
    pub waiting: u64,
    /// Devices of the wave that could still finish and were not seen lately: they do not hold a wave
    /// that has results, but a wave of nothing else has none.
    pub absent: u64,
}

/// What the gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Too early.
    Undecided,
    /// It holds.
    Holds,
    /// It tripped.
    Fails(Failure),
}

/// Why a gate tripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Too many failures.
    Failures {
        /// How many.
        failed: u32,
        /// Of how many.
        finished: u32,
        /// The share that was allowed, in percent.
        allowed_percent: u32,
    },
    /// Nobody is left who could make it hold.
    TooFewSuccesses {
        /// How many.
        succeeded: u32,
        /// Of how many.
        finished: u32,
        /// The share that was asked for, in percent.
        wanted_percent: u32,
    },
    /// Every update was taken back: that proves nothing.
    AllCancelled,
}

impl Gate {
    /// Judges a wave.
    pub fn judge(&self, tally: &Tally) -> Judgement {
        let finished = tally.succeeded.saturating_add(tally.failed);
        let everybody = tally.waiting == 0;
        let sampled = (self.min_sample != 0 && finished >= self.min_sample) || everybody;
        if passes(tally.failed, finished, self.max_failure_percent)
            && (sampled || tally.failed > self.max_failures)
        {
            return Judgement::Fails(Failure::Failures {
                failed: tally.failed,
                finished,
                allowed_percent: self.max_failure_percent,
            });
        }
        if finished == 0 {
            return match (everybody && tally.absent == 0, tally.cancelled) {
                (false, _) => Judgement::Undecided,
                // A wave without devices has nothing to prove.
                (true, 0) => Judgement::Holds,
                (true, _) => Judgement::Fails(Failure::AllCancelled),
            };
        }
        if sampled && reaches(tally.succeeded, finished, self.min_success_percent) {
            return Judgement::Holds;
        }
        if everybody {
            return Judgement::Fails(Failure::TooFewSuccesses {
                succeeded: tally.succeeded,
                finished,
                wanted_percent: self.min_success_percent,
            });
        }
        Judgement::Undecided
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Failures { failed, finished, allowed_percent } => {
                write!(f, "{failed} of {finished} finished updates failed, more than {allowed_percent} %")
            }
            Failure::TooFewSuccesses { succeeded, finished, wanted_percent } => write!(
                f,
                "{succeeded} of {finished} finished updates succeeded, fewer than {wanted_percent} %, and no \
                 device is left to change that"
            ),
            Failure::AllCancelled => f.write_str("every update was cancelled, which proves nothing"),
        }
    }
}

/// Whether `part` of `whole` is more than `percent`.
fn passes(part: u32, whole: u32, percent: u32) -> bool {
    u64::from(part) * 100 > u64::from(percent) * u64::from(whole)
}

/// Whether `part` of `whole` is at least `percent`.
fn reaches(part: u32, whole: u32, percent: u32) -> bool {
    u64::from(part) * 100 >= u64::from(percent) * u64::from(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn gate(min_success: u32, min_sample: u32, max_failures: u32, max_failure: u32) -> Gate {
        Gate {
            min_success_percent: min_success,
            min_sample,
            max_failures,
            max_failure_percent: max_failure,
            soak: Duration::ZERO,
        }
    }

    #[test]
    fn judgements() {
        let plain = gate(95, 0, 0, 5);
        let sample = gate(95, 10, 0, 5);
        let patient = gate(90, 10, 2, 10);
        let strict = gate(95, 4, 5, 30);
        // gate, succeeded, failed, cancelled, waiting, expected
        let table = [
            (plain, 0, 0, 0, 3, "undecided"),
            (plain, 2, 0, 0, 1, "undecided"),
            (plain, 3, 0, 0, 0, "holds"),
            (plain, 0, 0, 0, 0, "holds"),
            (plain, 0, 0, 2, 0, "every update was cancelled, which proves nothing"),
            (plain, 0, 0, 2, 1, "undecided"),
            // One failure is one too many at once when it is more than the share...
            (plain, 0, 1, 0, 9, "1 of 1 finished updates failed, more than 5 %"),
            // ...and none when it is not: exactly 5 % is allowed.
            (plain, 19, 1, 0, 80, "undecided"),
            (plain, 19, 1, 0, 0, "holds"),
            (plain, 18, 1, 0, 80, "1 of 19 finished updates failed, more than 5 %"),
            (sample, 9, 0, 0, 40, "undecided"),
            (sample, 10, 0, 0, 40, "holds"),
            (sample, 3, 0, 0, 0, "holds"),
            (patient, 0, 2, 0, 40, "undecided"),
            (patient, 0, 3, 0, 40, "3 of 3 finished updates failed, more than 10 %"),
            (patient, 8, 2, 0, 40, "2 of 10 finished updates failed, more than 10 %"),
            (patient, 9, 1, 0, 40, "holds"),
            (strict, 8, 2, 0, 4, "undecided"),
            (
                strict,
                8,
                2,
                0,
                0,
                "8 of 10 finished updates succeeded, fewer than 95 %, and no device is left to change that",
            ),
        ];
        for (gate, succeeded, failed, cancelled, waiting, expected) in table {
            let tally = Tally { succeeded, failed, cancelled, waiting, absent: 0 };
            let found = match gate.judge(&tally) {
                Judgement::Undecided => "undecided".to_owned(),
                Judgement::Holds => "holds".to_owned(),
                Judgement::Fails(why) => why.to_string(),
            };
            assert_eq!(found, expected, "{gate:?} {tally:?}");
        }
    }

    #[test]
    fn absent_devices_do_not_hold_results_but_are_none() {
        let gate = gate(95, 0, 0, 5);
        let tally = |succeeded, waiting| Tally { succeeded, waiting, absent: 7, ..Default::default() };
        assert_eq!(gate.judge(&tally(3, 0)), Judgement::Holds);
        assert_eq!(gate.judge(&tally(3, 1)), Judgement::Undecided);
        assert_eq!(gate.judge(&tally(0, 0)), Judgement::Undecided);
    }

    /// Whatever the numbers: once nobody is waited for, the gate has decided, and it never lets a
    /// wave pass whose success share is too low.
    #[test]
    fn it_always_ends_and_never_passes_too_few() {
        let rng = Rng::seeded(3);
        for _ in 0..20_000 {
            let [a, b, c, d, e, f, g, h] = rng.bytes::<8>().map(u32::from);
            let gate = gate(a % 101, b % 20, c % 5, d % 101);
            let tally = Tally {
                succeeded: e % 30,
                failed: f % 30,
                cancelled: g % 2,
                waiting: u64::from(h % 3),
                absent: 0,
            };
            let judgement = gate.judge(&tally);
            if tally.waiting == 0 {
                assert_ne!(judgement, Judgement::Undecided, "{gate:?} {tally:?}");
            }
            if judgement == Judgement::Holds {
                let finished = tally.succeeded + tally.failed;
                assert!(tally.succeeded * 100 >= gate.min_success_percent * finished, "{gate:?} {tally:?}");
                assert!(tally.failed * 100 <= gate.max_failure_percent * finished, "{gate:?} {tally:?}");
            }
        }
    }
}
