use std::time::Duration;

use super::*;
use crate::model::{
    gate::Gate,
    rollout::FailureAction,
    wave::{Counts, LINE},
};

const START: Timestamp = Timestamp::from_seconds(1_767_225_600);

fn rollout(states: &[WaveState]) -> Rollout {
    let gate = Gate {
        min_success_percent: 95,
        min_sample: 0,
        max_failures: 0,
        max_failure_percent: 5,
        soak: Duration::from_secs(60),
    };
    let waves = (1..).zip(states).map(|(number, state)| Wave {
        number,
        upper: LINE / 10 * number,
        max_in_flight: 0,
        gate,
        state: *state,
        opened_at: None,
        soaking_since: (*state == WaveState::Soaking).then_some(START),
        counts: Counts { admitted: 1, succeeded: 1, ..Counts::default() },
    });
    Rollout {
        id: "r".to_owned(),
        product: "pump".to_owned(),
        version: "2.0.0".to_owned(),
        selector: String::new(),
        on_failure: FailureAction::Pause,
        standing: false,
        spread_by: String::new(),
        update_timeout: Duration::from_secs(3600),
        seed: "seed".to_owned(),
        state: RolloutState::Running,
        state_reason: String::new(),
        created_at: START,
        created_by: "t".to_owned(),
        updated_at: START,
        generation: 1,
        waves: waves.collect(),
    }
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
    assert_eq!(step(7199, 2, 0), None);
    let expect = |state, reason: &str| Some(Step::Finish { state, reason: reason.to_owned() });
    assert_eq!(step(0, 0, 0), expect(RolloutState::RolledBack, "wave 1 failed"));
    assert_eq!(
        step(7200, 2, 0),
        expect(RolloutState::Failed, "wave 1 failed; 2 devices did not come back in time")
    );
}
