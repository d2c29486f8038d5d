//! One device's way through one release.

use std::time::Duration;

use super::time::Timestamp;

/// Where an update stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UpdateState {
    /// Admitted; the device has not said yet that it started.
    Offered,
    /// Segments are being fetched and written.
    Downloading,
    /// The spare slot holds the whole artifact.
    Staged,
    /// The new slot runs, on trial.
    Trial,
    /// The new version is committed.
    Succeeded,
    /// It failed before the new version ran.
    Failed,
    /// The new version was tried and the device fell back.
    RolledBack,
    /// The deadline passed.
    TimedOut,
    /// The device refused it.
    Rejected,
    /// An operator took it back.
    Cancelled,
    /// Another release took its place.
    Superseded,
}

/// What a finished update counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The device runs the release.
    Success,
    /// It does not, and that says something about the release or the device.
    Failure,
    /// It does not, because somebody decided so.
    Neither,
}

impl UpdateState {
    /// Every state there is.
    pub const ALL: [UpdateState; 11] = [
        UpdateState::Offered,
        UpdateState::Downloading,
        UpdateState::Staged,
        UpdateState::Trial,
        UpdateState::Succeeded,
        UpdateState::Failed,
        UpdateState::RolledBack,
        UpdateState::TimedOut,
        UpdateState::Rejected,
        UpdateState::Cancelled,
        UpdateState::Superseded,
    ];

    /// As it is stored and filtered by.
    pub fn as_str(self) -> &'static str {
        match self {
            UpdateState::Offered => "offered",
            UpdateState::Downloading => "downloading",
            UpdateState::Staged => "staged",
            UpdateState::Trial => "trial",
            UpdateState::Succeeded => "succeeded",
            UpdateState::Failed => "failed",
            UpdateState::RolledBack => "rolled_back",
            UpdateState::TimedOut => "timed_out",
            UpdateState::Rejected => "rejected",
            UpdateState::Cancelled => "cancelled",
            UpdateState::Superseded => "superseded",
        }
    }

    /// As people read it.
    pub fn words(self) -> String {
        self.as_str().replace('_', " ")
    }

    /// Reads [`UpdateState::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        UpdateState::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// What it counts as; none while it is under way.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            UpdateState::Offered | UpdateState::Downloading | UpdateState::Staged | UpdateState::Trial => {
                None
            }
            UpdateState::Succeeded => Some(Outcome::Success),
            UpdateState::Failed | UpdateState::RolledBack | UpdateState::TimedOut | UpdateState::Rejected => {
                Some(Outcome::Failure)
            }
            UpdateState::Cancelled | UpdateState::Superseded => Some(Outcome::Neither),
        }
    }

    /// Whether nothing changes it any more.
    pub fn is_terminal(self) -> bool {
        self.outcome().is_some()
    }
}

/// What may happen to an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The device says that it entered a state.
    Reported(UpdateState),
    /// The deadline passed without an end.
    DeadlinePassed,
    /// An operator takes it back.
    Cancelled,
}

/// What an event does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The update enters this state.
    Enter(UpdateState),
    /// Nothing but a line in the history: it came late, or says what is known.
    Note,
    /// It makes no sense: a device cannot say this.
    Refuse,
}

/// The only place where an update's state changes.
pub fn transition(state: UpdateState, event: Event) -> Transition {
    use UpdateState::{
        Cancelled, Downloading, Failed, Offered, Rejected, RolledBack, Staged, Succeeded, TimedOut, Trial,
    };
    match (state, event) {
        // Forward, where reports may be missing: the spool of a device drops the oldest first.
        (Offered, Event::Reported(next @ (Downloading | Staged | Trial)))
        | (Downloading, Event::Reported(next @ (Staged | Trial)))
        | (Staged, Event::Reported(next @ Trial)) => Transition::Enter(next),
        (
            Offered | Downloading | Staged | Trial,
            Event::Reported(end @ (Succeeded | Failed | RolledBack | Rejected)),
        ) => Transition::Enter(end),
        // Progress within a state, or a second attempt: known already, worth a line.
        (Downloading | Staged | Trial, Event::Reported(Downloading | Staged | Trial)) => Transition::Note,
        (Offered | Downloading | Staged | Trial, Event::DeadlinePassed) => Transition::Enter(TimedOut),
        // On trial the device has left the old version: it ends that by itself.
        (Offered | Downloading | Staged, Event::Cancelled) => Transition::Enter(Cancelled),
        (ended, Event::Reported(said)) if ended.is_terminal() && said != Offered => Transition::Note,
        _ => Transition::Refuse,
    }
}

/// One update, as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Its id.
    pub id: String,
    /// The device.
    pub device_id: String,
    /// The rollout it came from.
    pub rollout_id: String,
    /// The wave it counts in, from 1.
    pub wave: u32,
    /// Product of the release.
    pub product: String,
    /// Version of the release.
    pub version: String,
    /// What the device ran before; empty when unknown.
    pub from_version: String,
    /// Counter of that; 0 when unknown.
    pub from_counter: u64,
    /// It brings the device back after a failed gate: no wave counts it.
    pub rolls_back: bool,
    /// Where it stands.
    pub state: UpdateState,
    /// Why, when it did not succeed: code and sentence, empty otherwise.
    pub reason: Reason,
    /// Bytes received, encoded.
    pub bytes_fetched: u64,
    /// Bytes written to the slot.
    pub bytes_written: u64,
    /// Attempts at the artifact.
    pub attempt: u32,
    /// When it was offered.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
    /// When it counts as timed out; none once it ended.
    pub deadline_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The device works on it no more, by its own word. Until then a device whose update was taken
    /// back or timed out can still end up on the release: it was past its last look at the server.
    pub settled: bool,
    /// Grows by one with every change.
    pub generation: i64,
}

/// Why something went wrong, as a device or the server says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// Stable code; empty for none.
    pub code: String,
    /// A sentence.
    pub detail: String,
}

/// One line of an update's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryLine {
    /// The state entered, or the one a late report spoke of.
    pub state: UpdateState,
    /// When it was recorded.
    pub at: Timestamp,
    /// `device`, `server` or who did it.
    pub actor: String,
    /// Why.
    pub reason: Reason,
}

impl Update {
    /// Its resource name.
    pub fn name(&self) -> String {
        format!("devices/{}/updates/{}", self.device_id, self.id)
    }

    /// The release, `releases/{product}/{version}`.
    pub fn release(&self) -> String {
        format!("releases/{}/{}", self.product, self.version)
    }
}

/// Failures in a row after which a device is offered nothing for a while.
pub const FAILURES_TO_QUARANTINE: u32 = 3;
/// A first quarantine lasts a day: long enough for a person to see it.
const QUARANTINE: Duration = Duration::from_secs(24 * 3600);
/// No quarantine is longer than 32 days: what is broken for good gets an operator, not a longer wait.
const DOUBLINGS: u32 = 5;

/// How long a device is quarantined that now failed `failures` updates in a row; each further
/// failure doubles it.
pub fn quarantine(failures: u32) -> Option<Duration> {
    let beyond = failures.checked_sub(FAILURES_TO_QUARANTINE)?;
    Some(QUARANTINE * (1 << beyond.min(DOUBLINGS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_state_is_never_left() {
        for state in UpdateState::ALL.into_iter().filter(|state| state.is_terminal()) {
            for said in UpdateState::ALL {
                assert!(!matches!(transition(state, Event::Reported(said)), Transition::Enter(_)));
            }
            assert_eq!(transition(state, Event::DeadlinePassed), Transition::Refuse);
            assert_eq!(transition(state, Event::Cancelled), Transition::Refuse);
        }
    }

    #[test]
    fn states_only_grow_and_always_can_end() {
        for state in UpdateState::ALL.into_iter().filter(|state| !state.is_terminal()) {
            for said in UpdateState::ALL {
                if let Transition::Enter(next) = transition(state, Event::Reported(said)) {
                    assert!(next > state, "{state:?} -> {next:?}");
                    assert_eq!(next, said);
                }
            }
            assert_eq!(
                transition(state, Event::DeadlinePassed),
                Transition::Enter(UpdateState::TimedOut),
                "{state:?}"
            );
        }
    }

    #[test]
    fn what_a_device_cannot_say() {
        for said in
            [UpdateState::Offered, UpdateState::TimedOut, UpdateState::Cancelled, UpdateState::Superseded]
        {
            assert_eq!(transition(UpdateState::Trial, Event::Reported(said)), Transition::Refuse, "{said:?}");
        }
        assert_eq!(transition(UpdateState::Trial, Event::Cancelled), Transition::Refuse);
    }

    #[test]
    fn quarantine_doubles_up_to_a_month() {
        let day = Duration::from_secs(86400);
        assert_eq!(quarantine(2), None);
        assert_eq!(quarantine(3), Some(day));
        assert_eq!(quarantine(4), Some(2 * day));
        assert_eq!(quarantine(u32::MAX), Some(32 * day));
    }
}
