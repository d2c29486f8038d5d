//! Rollouts: the plan to bring a release to devices, and where it stands.

use std::time::Duration;

use super::{time::Timestamp, wave::Wave};

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// Offers at polls.
    Running,
    /// Offers nothing.
    Paused,
    /// Every wave passed.
    Succeeded,
    /// Ended without passing.
    Failed,
    /// Ended by an operator.
    Aborted,
    /// Devices that took the release are on their way back.
    RollingBack,
    /// They are back.
    RolledBack,
}

impl RolloutState {
    /// Every state there is.
    pub const ALL: [RolloutState; 7] = [
        RolloutState::Running,
        RolloutState::Paused,
        RolloutState::Succeeded,
        RolloutState::Failed,
        RolloutState::Aborted,
        RolloutState::RollingBack,
        RolloutState::RolledBack,
    ];

    /// As it is stored and filtered by.
    pub fn as_str(self) -> &'static str {
        match self {
            RolloutState::Running => "running",
            RolloutState::Paused => "paused",
            RolloutState::Succeeded => "succeeded",
            RolloutState::Failed => "failed",
            RolloutState::Aborted => "aborted",
            RolloutState::RollingBack => "rolling_back",
            RolloutState::RolledBack => "rolled_back",
        }
    }

    /// As people read it.
    pub fn words(self) -> String {
        self.as_str().replace('_', " ")
    }

    /// Reads [`RolloutState::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        RolloutState::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether nothing changes it any more.
    pub fn is_terminal(self) -> bool {
        !matches!(self, RolloutState::Running | RolloutState::Paused | RolloutState::RollingBack)
    }
}

/// What an operator may do with a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Stop offering.
    Pause,
    /// Go on.
    Resume,
    /// End it.
    Abort,
}

impl Act {
    /// As people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Act::Pause => "pause",
            Act::Resume => "resume",
            Act::Abort => "abort",
        }
    }
}

/// The state after an operator's act; none when it is refused in this state.
pub fn after(state: RolloutState, act: Act) -> Option<RolloutState> {
    match (state, act) {
        (RolloutState::Running, Act::Pause) => Some(RolloutState::Paused),
        (RolloutState::Paused, Act::Resume) => Some(RolloutState::Running),
        (RolloutState::Running | RolloutState::Paused | RolloutState::RollingBack, Act::Abort) => {
            Some(RolloutState::Aborted)
        }
        _ => None,
    }
}

/// What happens when a wave fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureAction {
    /// Stop offering and wait for a person.
    Pause,
    /// Bring devices that took the release back to what they ran before.
    RollBack,
}

impl FailureAction {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureAction::Pause => "pause",
            FailureAction::RollBack => "roll_back",
        }
    }

    /// Reads [`FailureAction::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [FailureAction::Pause, FailureAction::RollBack].into_iter().find(|action| action.as_str() == text)
    }
}

/// One rollout, as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// Its id.
    pub id: String,
    /// Product of the release.
    pub product: String,
    /// Version of the release.
    pub version: String,
    /// Text of the selector; empty for all devices of the product.
    pub selector: String,
    /// What happens when a wave fails.
    pub on_failure: FailureAction,
    /// Also for devices that match later.
    pub standing: bool,
    /// Also for devices that run a later release.
    pub allow_downgrade: bool,
    /// Label key whose value decides where a device stands; empty for its id.
    pub spread_by: String,
    /// How long an admitted device may take.
    pub update_timeout: Duration,
    /// Decides where devices stand.
    pub seed: String,
    /// Where it stands.
    pub state: RolloutState,
    /// Why, when no operator put it there.
    pub state_reason: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Which token made it.
    pub created_by: String,
    /// Last change of state.
    pub updated_at: Timestamp,
    /// Grows by one with every change of the rollout or of a wave's state.
    pub generation: i64,
    /// Its waves, in order.
    pub waves: Vec<Wave>,
}

impl Rollout {
    /// Its resource name.
    pub fn name(&self) -> String {
        format!("rollouts/{}", self.id)
    }

    /// The release, `releases/{product}/{version}`.
    pub fn release(&self) -> String {
        format!("releases/{}/{}", self.product, self.version)
    }

    /// Changes whenever its state does.
    pub fn etag(&self) -> String {
        format!("{:x}", self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_state_is_never_left() {
        for state in RolloutState::ALL.into_iter().filter(|state| state.is_terminal()) {
            for act in [Act::Pause, Act::Resume, Act::Abort] {
                assert_eq!(after(state, act), None, "{state:?} {act:?}");
            }
        }
    }

    #[test]
    fn words_are_read_back() {
        for state in RolloutState::ALL {
            assert_eq!(RolloutState::parse(state.as_str()), Some(state));
        }
    }
}
