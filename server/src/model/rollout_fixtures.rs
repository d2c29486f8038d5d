//! A rollout for the tests of decisions about rollouts.

use std::time::Duration;

use super::{
    gate::Gate,
    rollout::{FailureAction, Rollout, RolloutState},
    time::Timestamp,
    wave::{Counts, LINE, Wave, WaveState},
};

pub(crate) const START: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// The rollout `r` of `pump/2.0.0` to all devices; its waves stand so, share the line evenly, and
/// have the default gate without a soak time.
pub(crate) fn rollout(state: RolloutState, waves: &[WaveState]) -> Rollout {
    let gate = Gate {
        min_success_percent: 95,
        min_sample: 0,
        max_failures: 0,
        max_failure_percent: 5,
        soak: Duration::ZERO,
    };
    let count = u32::try_from(waves.len()).unwrap();
    let waves = (1..).zip(waves).map(|(number, state)| Wave {
        number,
        upper: LINE / count * number,
        max_in_flight: 0,
        gate,
        state: *state,
        opened_at: None,
        soaking_since: (*state == WaveState::Soaking).then_some(START),
        counts: Counts::default(),
    });
    Rollout {
        id: "r".to_owned(),
        product: "pump".to_owned(),
        version: "2.0.0".to_owned(),
        selector: String::new(),
        on_failure: FailureAction::Pause,
        standing: false,
        allow_downgrade: false,
        spread_by: String::new(),
        update_timeout: Duration::from_secs(3600),
        seed: "seed".to_owned(),
        state,
        state_reason: String::new(),
        created_at: START,
        created_by: "t".to_owned(),
        updated_at: START,
        generation: 1,
        waves: waves.collect(),
    }
}
