//! Why a device is not offered a release: for the poll that decides and for the person who asks.

use std::{fmt, sync::Arc};

use super::{
    condition::Condition, device::Blocked, rollout::RolloutState, time::Timestamp, update::UpdateState,
};

/// The code of [`Obstacle::LeftOutByAlerts`].
pub const LEFT_OUT_BY_ALERTS: &str = "LEFT_OUT_BY_ALERTS";

/// One reason for not offering.
#[derive(Clone, Debug, PartialEq)]
pub enum Obstacle {
    /// The selector does not match the device.
    NotSelected,
    /// The selector leaves the device out because of what its alerts say.
    LeftOutByAlerts {
        /// What they say.
        conditions: Arc<[Condition]>,
    },
    /// It runs the release; while a rollout goes back: it does not run it.
    AlreadyThere {
        /// What it runs.
        version: Arc<str>,
    },
    /// It runs a later release, and the rollout is not allowed to bring it back.
    RunsLater {
        /// What it runs.
        version: Arc<str>,
    },
    /// Its update ended here, and the device has not said yet what became of it there.
    EndUnknown {
        /// How it ended here.
        state: UpdateState,
    },
    /// It took the release from this rollout before.
    AlreadyTried {
        /// How that ended.
        state: UpdateState,
    },
    /// The publisher made the release for other hardware.
    IncompatibleHardware {
        /// What the device is.
        hardware: Arc<str>,
        /// What the release is for.
        wanted: Arc<[String]>,
    },
    /// The release is below what the device may ever run again.
    BelowFloor {
        /// Counter of the release.
        counter: u64,
        /// The device's floor.
        floor: u64,
    },
    /// Another release has to come first.
    BelowSteppingStone {
        /// Counter of what it runs; 0 when unknown.
        counter: u64,
        /// The lowest counter from which the release may be installed.
        min_from: u64,
    },
    /// It failed too often.
    Quarantined {
        /// Until when.
        until: Timestamp,
    },
    /// Its identity is revoked.
    Revoked,
    /// It enrolled, and waits for an operator's yes.
    AwaitsApproval,
    /// Its key is registered, and it has not enrolled yet.
    NotEnrolled,
    /// It says itself that it installs nothing.
    Blocked(Box<Blocked>),
    /// It never said what it runs.
    InventoryUnknown,
    /// It works on an update.
    Busy {
        /// The update's id.
        update_id: Arc<str>,
        /// When that times out at the latest.
        deadline: Timestamp,
    },
    /// The rollout offers nothing.
    RolloutHeld {
        /// Where it stands.
        state: RolloutState,
    },
    /// The device's wave is not open yet.
    WaveNotOpen {
        /// The wave.
        wave: u32,
        /// When it can open at the earliest, if the wave before it is soaking.
        opens: Option<Timestamp>,
    },
    /// The device's wave failed.
    WaveFailed {
        /// The wave.
        wave: u32,
    },
    /// As many devices as allowed are in flight.
    WaveFull {
        /// The wave.
        wave: u32,
        /// The limit.
        limit: u32,
    },
    /// The rollout goes back, and there is nothing known to go back to.
    NothingToGoBackTo,
}

impl Obstacle {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Obstacle::NotSelected => "NOT_SELECTED",
            Obstacle::LeftOutByAlerts { .. } => LEFT_OUT_BY_ALERTS,
            Obstacle::AlreadyThere { .. } => "ALREADY_THERE",
            Obstacle::RunsLater { .. } => "RUNS_LATER",
            Obstacle::EndUnknown { .. } => "END_UNKNOWN",
            Obstacle::AlreadyTried { .. } => "ALREADY_TRIED",
            Obstacle::IncompatibleHardware { .. } => "INCOMPATIBLE_HARDWARE",
            Obstacle::BelowFloor { .. } => "BELOW_FLOOR",
            Obstacle::BelowSteppingStone { .. } => "BELOW_STEPPING_STONE",
            Obstacle::Quarantined { .. } => "QUARANTINED",
            Obstacle::Revoked => "REVOKED",
            Obstacle::AwaitsApproval => "DEVICE_PENDING",
            Obstacle::NotEnrolled => "NOT_ENROLLED",
            Obstacle::Blocked(_) => "BLOCKED",
            Obstacle::InventoryUnknown => "INVENTORY_UNKNOWN",
            Obstacle::Busy { .. } => "BUSY",
            Obstacle::RolloutHeld { .. } => "ROLLOUT_HELD",
            Obstacle::WaveNotOpen { .. } => "WAVE_NOT_OPEN",
            Obstacle::WaveFailed { .. } => "WAVE_FAILED",
            Obstacle::WaveFull { .. } => "WAVE_FULL",
            Obstacle::NothingToGoBackTo => "NOTHING_TO_GO_BACK_TO",
        }
    }

    /// The earliest moment at which it can be gone by time alone.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Obstacle::Quarantined { until } => Some(*until),
            Obstacle::Busy { deadline, .. } => Some(*deadline),
            Obstacle::WaveNotOpen { opens, .. } => *opens,
            _ => None,
        }
    }

    /// Whether a device that runs the release stays on it, although the rollout goes back.
    pub fn keeps_from_going_back(&self) -> bool {
        matches!(self, Obstacle::NothingToGoBackTo | Obstacle::Revoked | Obstacle::Blocked(_))
    }

    /// Whether the device can still take the release in the course of this rollout, without
    /// anybody doing anything to the device.
    pub fn passes_by_itself(&self) -> bool {
        matches!(
            self,
            // It enrolled and has yet to check in: it says then what it runs.
            Obstacle::InventoryUnknown
                | Obstacle::Busy { .. }
                | Obstacle::RolloutHeld { .. }
                | Obstacle::WaveNotOpen { .. }
                | Obstacle::WaveFailed { .. }
                | Obstacle::WaveFull { .. }
        )
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::NotSelected => f.write_str("the rollout's selector does not match the device"),
            Obstacle::LeftOutByAlerts { conditions } => {
                let words: Vec<String> = conditions.iter().map(ToString::to_string).collect();
                write!(f, "the rollout's selector leaves the device out for its alerts: {}", words.join(", "))
            }
            Obstacle::AlreadyThere { version } => {
                write!(f, "the device runs {version} and needs nothing of this rollout")
            }
            Obstacle::RunsLater { version } => write!(
                f,
                "the device runs {version}, which is later; only a rollout that allows a downgrade brings it back"
            ),
            Obstacle::EndUnknown { state } => write!(
                f,
                "the device's update is {}, and the device has not said yet what it runs since",
                state.words()
            ),
            Obstacle::AlreadyTried { state } => {
                write!(f, "the device took the release from this rollout before: {}", state.words())
            }
            Obstacle::IncompatibleHardware { hardware, wanted } => {
                write!(f, "the device is {hardware}; the release is for {}", wanted.join(", "))
            }
            Obstacle::BelowFloor { counter, floor } => {
                write!(f, "the release has counter {counter}; the device never goes below {floor} again")
            }
            Obstacle::BelowSteppingStone { counter: 0, min_from } => {
                write!(
                    f,
                    "the release installs over counter {min_from} or later; what the device runs has none"
                )
            }
            Obstacle::BelowSteppingStone { counter, min_from } => {
                write!(f, "the release installs over counter {min_from} or later; the device runs {counter}")
            }
            Obstacle::Quarantined { .. } => f.write_str("the device failed too many updates in a row"),
            Obstacle::Revoked => f.write_str("the device's identity is revoked"),
            Obstacle::AwaitsApproval => f.write_str("the device waits for an operator to approve it"),
            Obstacle::NotEnrolled => f.write_str("the device is registered and has not enrolled yet"),
            Obstacle::Blocked(blocked) => {
                write!(f, "the device installs nothing: {} ({})", blocked.detail, blocked.code)
            }
            Obstacle::InventoryUnknown => f.write_str("the device has not said yet what it runs"),
            Obstacle::Busy { update_id, .. } => write!(f, "the device works on update {update_id}"),
            Obstacle::RolloutHeld { state } => write!(f, "the rollout is {}", state.words()),
            Obstacle::WaveNotOpen { wave, .. } => write!(f, "wave {wave} is not open yet"),
            Obstacle::WaveFailed { wave } => write!(f, "wave {wave} failed"),
            Obstacle::WaveFull { wave, limit } => {
                write!(f, "{limit} devices of wave {wave} are in flight, as many as allowed")
            }
            Obstacle::NothingToGoBackTo => f.write_str(
                "the rollout goes back, and what the device ran before is not known here or below its floor",
            ),
        }
    }
}
