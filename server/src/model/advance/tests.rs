use std::time::Duration;

use super::*;
use crate::model::{
    rollout_fixtures::{self, START},
    wave::Counts,
};

/// Each wave had one device, which succeeded, and soaks for a minute.
fn rollout(states: &[WaveState]) -> Rollout {
    let mut rollout = rollout_fixtures::rollout(RolloutState::Running, states);
    for wave in &mut rollout.waves {
        wave.gate.soak = Duration::from_secs(60);
        wave.counts = Counts { admitted: 1, succeeded: 1, ..Counts::default() };
    }
    rollout
}

fn next(rollout: &Rollout, seconds: u64, waiting: u64) -> Option<Step> {
    let now = START.after(Duration::from_secs(seconds));
    advance(rollout, now, |_| Prospects { waiting, ..Prospects::default() }, Return::default())
}

#[test]
fn a_wave_opens_soaks_passes_and_the_next_one_opens() {
    use WaveState::{Open, Passed, Pending, Soaking};
    assert_eq!(next(&rollout(&[Pending, Pending]), 0, 3), Some(Step::Open(1)));
    assert_eq!(next(&rollout(&[Open, Pending]), 0, 3), None);
    assert_eq!(next(&rollout(&[Open, Pending]), 0, 0), Some(Step::Soak(1)));
    assert_eq!(next(&rollout(&[Soaking, Pending]), 59, 0), None);
    assert_eq!(next(&rollout(&[Soaking, Pending]), 59, 1), Some(Step::Reopen(1)));
    assert_eq!(next(&rollout(&[Soaking, Pending]), 60, 0), Some(Step::Pass(1)));
    assert_eq!(next(&rollout(&[Passed, Pending]), 0, 3), Some(Step::Open(2)));
    let done = Step::Finish { state: RolloutState::Succeeded, reason: String::new() };
    assert_eq!(next(&rollout(&[Passed, Passed]), 0, 0), Some(done));
}

#[test]
fn a_rollout_that_brought_the_release_to_nobody_is_no_success() {
    let ended = |counts: Counts| {
        let mut rollout = rollout(&[WaveState::Passed, WaveState::Passed]);
        rollout.waves[0].counts = counts;
        rollout.waves[1].counts = Counts::default();
        match next(&rollout, 0, 0) {
            Some(Step::Finish { state, reason }) => (state, reason),
            step => panic!("{step:?}"),
        }
    };
    // A resume forgave them, and nobody was left.
    let (state, reason) = ended(Counts { admitted: 3, failed: 3, forgiven_failed: 3, ..Counts::default() });
    assert_eq!(state, RolloutState::Failed);
    assert_eq!(reason, "no device took the release: 3 updates failed, 0 were cancelled");
    let (state, reason) = ended(Counts::default());
    assert_eq!((state, reason.as_str()), (RolloutState::Succeeded, "no device needed the release"));
    let (state, reason) =
        ended(Counts { admitted: 3, succeeded: 1, failed: 2, forgiven_failed: 2, ..Counts::default() });
    assert_eq!((state, reason.as_str()), (RolloutState::Succeeded, ""));
}

#[test]
fn a_standing_rollout_goes_on() {
    let mut rollout = rollout(&[WaveState::Passed]);
    rollout.standing = true;
    assert_eq!(next(&rollout, 0, 0), None);
}

#[test]
fn a_wave_without_soak_or_without_devices_passes_at_once() {
    let mut rollout = rollout(&[WaveState::Open]);
    rollout.waves[0].gate.soak = Duration::ZERO;
    assert_eq!(next(&rollout, 0, 0), Some(Step::Pass(1)));
    rollout.waves[0].gate.soak = Duration::from_secs(60);
    rollout.waves[0].counts = Counts::default();
    assert_eq!(next(&rollout, 0, 0), Some(Step::Pass(1)));
    assert_eq!(next(&rollout, 0, 1), None);
}

#[test]
fn failures_trip_open_and_passed_waves_and_are_forgiven_by_a_resume() {
    for state in [WaveState::Open, WaveState::Soaking, WaveState::Passed] {
        let mut rollout = rollout(&[state, WaveState::Pending]);
        rollout.waves[0].counts = Counts { failed: 1, ..Default::default() };
        assert!(matches!(next(&rollout, 0, 4), Some(Step::Fail { wave: 1, .. })), "{state:?}");
        rollout.waves[0].counts.forgiven_failed = 1;
        assert!(!matches!(next(&rollout, 0, 4), Some(Step::Fail { .. })), "{state:?}");
    }
}

#[test]
fn counters_that_are_behind_decide_nothing() {
    let mut rollout = rollout(&[WaveState::Open]);
    rollout.waves[0].counts.in_flight = 1;
    assert_eq!(next(&rollout, 0, 0), None);
    let in_flight = Prospects { in_flight: 1, ..Prospects::default() };
    assert_eq!(advance(&rollout, START, |_| in_flight, Return::default()), Some(Step::Soak(1)));
}

#[test]
fn only_a_running_rollout_and_one_that_goes_back_move() {
    for state in RolloutState::ALL {
        let mut rollout = rollout(&[WaveState::Pending]);
        rollout.state = state;
        let moves = matches!(state, RolloutState::Running | RolloutState::RollingBack);
        assert_eq!(next(&rollout, 0, 0).is_some(), moves, "{state:?}");
    }
}

#[test]
fn going_back_ends_when_all_are_back_or_out_of_time() {
    let mut rollout = rollout(&[WaveState::Failed]);
    rollout.state = RolloutState::RollingBack;
    rollout.state_reason = "wave 1 failed".to_owned();
    let step = |seconds, left, stranded| {
        advance(
            &rollout,
            START.after(Duration::from_secs(seconds)),
            |_| Prospects::default(),
            Return { left, stranded },
        )
    };
    assert_eq!(step(7200 + 31 * 60 - 1, 2, 0), None);
    let expect = |state, reason: &str| Some(Step::Finish { state, reason: reason.to_owned() });
    assert_eq!(step(0, 0, 0), expect(RolloutState::RolledBack, "wave 1 failed"));
    assert_eq!(
        step(7200 + 31 * 60, 2, 0),
        expect(
            RolloutState::Failed,
            "wave 1 failed; 2 devices did not come back, or did not say so, in time"
        )
    );
}
