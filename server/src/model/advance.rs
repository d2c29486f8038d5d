//! What is next for a rollout: a pure function of where it stands and what time it is. The
//! reconcilers of all replicas compute the same step; a generation lets one of them take it.

use std::{fmt, time::Duration};

use super::{
    gate::{Failure, Judgement, Tally},
    rollout::{Rollout, RolloutState},
    time::Timestamp,
    wave::{Counts, Wave, WaveState},
};

/// One step of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wave `n` admits devices.
    Open(u32),
    /// Its gate holds; now it must go on to.
    Soak(u32),
    /// Its gate does not hold any more.
    Reopen(u32),
    /// Done.
    Pass(u32),
    /// Its gate tripped.
    Fail {
        /// The wave.
        wave: u32,
        /// Why.
        why: Failure,
    },
    /// The rollout is over.
    Finish {
        /// How.
        state: RolloutState,
        /// Why, for people.
        reason: String,
    },
}

/// What a wave may still expect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prospects {
    /// Devices of it that were seen lately and can still finish.
    pub waiting: u64,
    /// Devices of it that can still finish and were not seen lately.
    pub absent: u64,
    /// Devices that work on an update of the rollout, whatever their wave.
    pub in_flight: u64,
}

/// How far a rollout is with going back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Return {
    /// Devices that still have to come back.
    pub left: u64,
    /// Devices that cannot: nothing is known to go back to, or going back failed.
    pub stranded: u64,
}

/// The next step of a rollout, if there is one now. `prospects` counts the devices of a wave;
/// it is asked once at most. `way_back` is only looked at while the rollout goes back.
pub fn advance(
    rollout: &Rollout,
    now: Timestamp,
    prospects: impl FnOnce(u32) -> Prospects,
    way_back: Return,
) -> Option<Step> {
    match rollout.state {
        RolloutState::Running => run(rollout, now, prospects),
        RolloutState::RollingBack => roll_back(rollout, now, way_back),
        // Waits for a person.
        RolloutState::Paused => None,
        RolloutState::Succeeded | RolloutState::Failed | RolloutState::Aborted | RolloutState::RolledBack => {
            None
        }
    }
}

/// When time alone makes a difference next.
pub fn wakes_at(rollout: &Rollout) -> Option<Timestamp> {
    match rollout.state {
        RolloutState::Running => {
            rollout.waves.iter().filter_map(|wave| Some(wave.soaking_since?.after(wave.gate.soak))).min()
        }
        RolloutState::RollingBack => Some(return_deadline(rollout)),
        _ => None,
    }
}

fn run(rollout: &Rollout, now: Timestamp, prospects: impl FnOnce(u32) -> Prospects) -> Option<Step> {
    // A wave that passed can still trip: late devices are counted too.
    for wave in rollout.waves.iter().filter(|wave| wave.state == WaveState::Passed) {
        if let Judgement::Fails(why @ Failure::Failures { .. }) =
            wave.gate.judge(&tally(wave, Prospects::default()))
        {
            return Some(Step::Fail { wave: wave.number, why });
        }
    }
    let Some(wave) = rollout.waves.iter().find(|wave| wave.state != WaveState::Passed) else {
        return (!rollout.standing).then(|| finish(rollout));
    };
    let n = wave.number;
    match wave.state {
        WaveState::Pending => Some(Step::Open(n)),
        WaveState::Open | WaveState::Soaking => {
            let prospects = prospects(n);
            if prospects.in_flight < in_flight(rollout) {
                // A device reported an end after the counters were read: they are behind what is
                // known of the fleet, and "nobody is left" would be wrong.
                return None;
            }
            match (wave.gate.judge(&tally(wave, prospects)), wave.soaking_since) {
                (Judgement::Fails(why), _) => Some(Step::Fail { wave: n, why }),
                // What nobody took cannot show anything later either.
                (Judgement::Holds, _) if wave.gate.soak.is_zero() || wave.counts.admitted == 0 => {
                    Some(Step::Pass(n))
                }
                (Judgement::Holds, None) => Some(Step::Soak(n)),
                (Judgement::Holds, Some(since)) => {
                    (since.after(wave.gate.soak) <= now).then_some(Step::Pass(n))
                }
                (Judgement::Undecided, Some(_)) => Some(Step::Reopen(n)),
                (Judgement::Undecided, None) => None,
            }
        }
        WaveState::Passed | WaveState::Failed => None,
    }
}

/// How a rollout ends whose waves all passed. A resume lets a wave pass although its devices failed;
/// a rollout that brought the release to nobody is no success for that.
fn finish(rollout: &Rollout) -> Step {
    let sum = |part: fn(&Counts) -> u32| rollout.waves.iter().map(|wave| u64::from(part(&wave.counts))).sum();
    let (succeeded, failed, cancelled): (u64, u64, u64) =
        (sum(|counts| counts.succeeded), sum(|counts| counts.failed), sum(|counts| counts.cancelled));
    let (state, reason) = match (succeeded, failed + cancelled) {
        (0, 0) => (RolloutState::Succeeded, "no device needed the release".to_owned()),
        (0, _) => (
            RolloutState::Failed,
            format!("no device took the release: {failed} updates failed, {cancelled} were cancelled"),
        ),
        _ => (RolloutState::Succeeded, String::new()),
    };
    Step::Finish { state, reason }
}

fn roll_back(rollout: &Rollout, now: Timestamp, way_back: Return) -> Option<Step> {
    let state = match (way_back.left, now >= return_deadline(rollout)) {
        (0, _) => RolloutState::RolledBack,
        (_, true) => RolloutState::Failed,
        (_, false) => return None,
    };
    let mut reason = rollout.state_reason.clone();
    for (count, what) in [
        (way_back.left, "did not come back, or did not say so, in time"),
        (way_back.stranded, "stay on the release: nothing to go back to, or going back failed"),
    ] {
        if count > 0 {
            reason.push_str(&format!("; {count} devices {what}"));
        }
    }
    Some(Step::Finish { state, reason })
}

/// What a device still takes when its update is past the deadline: it arms, reboots and tries the
/// release before it lets go.
const LAST_STEPS: Duration = Duration::from_secs(31 * 60);

/// A device gets the time of one update to notice, and that of another to go back.
fn return_deadline(rollout: &Rollout) -> Timestamp {
    rollout.updated_at.after(rollout.update_timeout * 2 + LAST_STEPS)
}

fn in_flight(rollout: &Rollout) -> u64 {
    rollout.waves.iter().map(|wave| u64::from(wave.counts.in_flight)).sum()
}

fn tally(wave: &Wave, prospects: Prospects) -> Tally {
    let counts = &wave.counts;
    Tally {
        succeeded: counts.succeeded.saturating_sub(counts.forgiven_succeeded),
        failed: counts.failed.saturating_sub(counts.forgiven_failed),
        cancelled: counts.cancelled,
        waiting: prospects.waiting,
        absent: prospects.absent,
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Open(n) => write!(f, "wave {n} opens"),
            Step::Soak(n) => write!(f, "the gate of wave {n} holds; it soaks"),
            Step::Reopen(n) => write!(f, "the gate of wave {n} does not hold any more"),
            Step::Pass(n) => write!(f, "wave {n} passed"),
            Step::Fail { wave, why } => write!(f, "wave {wave} failed: {why}"),
            Step::Finish { state, .. } => write!(f, "the rollout is {}", state.words()),
        }
    }
}

#[cfg(test)]
mod tests;
