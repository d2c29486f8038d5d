//! The states of an update, as data.

use std::fmt;

use serde::{Deserialize, Serialize};
use slipway_trust::Sha256;

use super::{Bitmap, Effect};

/// One of the two places a component can run from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// `a` or `b`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why something was refused or went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable code in SCREAMING_SNAKE_CASE.
    pub code: String,
    /// What was wrong and where, one sentence.
    pub detail: String,
}

impl Reason {
    /// A reason, cut to the lengths that the server accepts.
    pub fn new(code: &str, detail: impl fmt::Display) -> Self {
        Self { code: cut(code.to_owned(), 64), detail: cut(detail.to_string(), 1024) }
    }
}

fn cut(mut text: String, limit: usize) -> String {
    text.truncate(text.floor_char_boundary(limit));
    text
}

/// What the publisher signed and the director assigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Product.
    pub product: String,
    /// Version, for people.
    pub version: String,
    /// Order among the product's releases.
    pub counter: u64,
    /// After running this release, nothing below this counter is accepted.
    pub floor: u64,
    /// SHA-256 of the release manifest.
    pub manifest: Sha256,
    /// Length of the release manifest in bytes.
    pub manifest_length: u64,
    /// SHA-256 of this device's artifact.
    pub digest: Sha256,
    /// Size of this device's artifact in bytes.
    pub size: u64,
}

/// What a slot holds, verified by reading it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// Version, for people.
    pub version: String,
    /// Release counter.
    pub counter: u64,
    /// SHA-256 of the artifact.
    pub digest: Sha256,
    /// Size of the artifact in bytes.
    pub size: u64,
}

/// How far the fetching is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Segments that are right in the slot, and synced.
    pub done: Bitmap,
    /// Bytes received, as encoded.
    pub fetched: u64,
    /// Bytes written to the slot.
    pub written: u64,
}

/// One update: what is to be installed, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// `devices/{id}/updates/{id}`.
    pub update: String,
    /// What to install.
    pub release: Release,
    /// Which attempt at this artifact, from 1.
    pub attempt: u32,
    /// After this moment (milliseconds) nothing new is begun for this update.
    pub give_up_at: i64,
    /// The spare slot.
    pub target: Slot,
    /// The slot that ran when the update was planned.
    pub previous: Slot,
    /// How far the fetching is, or was.
    pub progress: Progress,
}

/// Where the device stands. Everything but `Idle` and `Inconsistent` has a deadline, kept beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Nothing to do.
    Idle,
    /// An update was accepted; whether it fits is not known yet.
    Planned(Box<Work>),
    /// Something on the device asks not to be disturbed.
    Waiting(Box<Work>),
    /// The spare slot is dirty from here on; the boot loader is told not to use it.
    Preparing(Box<Work>),
    /// Segments are being fetched, verified and written.
    Fetching(Box<Work>),
    /// Everything is written and synced; the slot is being read back.
    Verifying(Box<Work>),
    /// The slot holds the artifact.
    Staged(Box<Work>),
    /// Intent: the boot loader shall try the target once.
    Arming {
        /// The update.
        work: Box<Work>,
        /// The boot in which it was intended.
        boot_id: String,
    },
    /// The boot loader is armed; a reboot was asked for.
    Rebooting {
        /// The update.
        work: Box<Work>,
        /// The boot in which it was asked for.
        boot_id: String,
    },
    /// The target runs, for now.
    Trial {
        /// The update.
        work: Box<Work>,
        /// The boot that is the trial.
        boot_id: String,
        /// The health checks passed; contact with the server is waited for.
        healthy: bool,
    },
    /// Intent to commit: from here only forward.
    Committing(Box<Work>),
    /// Intent to go back.
    RollingBack {
        /// The update; none when the device was found in a slot it should not run.
        work: Option<Box<Work>>,
        /// The slot to go back to.
        previous: Slot,
        /// Why.
        reason: Reason,
        /// The target ran.
        ran: bool,
    },
    /// It went in circles: no more updates until somebody looks at it. Telemetry goes on.
    Inconsistent {
        /// What was going on.
        reason: Reason,
    },
}

impl State {
    /// What there is to do in this state. Doing it twice is as good as once.
    pub fn effect(&self) -> Option<Effect> {
        Some(match self {
            Self::Idle | Self::Inconsistent { .. } => return None,
            Self::Planned(_) | Self::Staged(_) => Effect::Survey { later: false },
            Self::Waiting(_) => Effect::Survey { later: true },
            Self::Preparing(work) => Effect::Prepare { target: work.target },
            Self::Fetching(work) => Effect::Fetch(work.clone()),
            Self::Verifying(work) => Effect::Verify(work.clone()),
            Self::Arming { work, .. } => Effect::Arm(work.clone()),
            Self::Rebooting { .. } => Effect::Reboot,
            Self::Trial { healthy: false, work, .. } => Effect::CheckHealth(work.clone()),
            Self::Trial { healthy: true, .. } => Effect::AwaitContact,
            Self::Committing(work) => Effect::Commit { slot: work.target },
            Self::RollingBack { previous, .. } => Effect::Restore { slot: *previous },
        })
    }

    /// The update that is worked on.
    pub fn work(&self) -> Option<&Work> {
        match self {
            Self::Idle | Self::Inconsistent { .. } => None,
            Self::Planned(work)
            | Self::Waiting(work)
            | Self::Preparing(work)
            | Self::Fetching(work)
            | Self::Verifying(work)
            | Self::Staged(work)
            | Self::Arming { work, .. }
            | Self::Rebooting { work, .. }
            | Self::Trial { work, .. }
            | Self::Committing(work) => Some(work),
            Self::RollingBack { work, .. } => work.as_deref(),
        }
    }

    /// The update, as long as it can be dropped without touching the boot loader.
    pub fn droppable(&self) -> Option<&Work> {
        match self {
            Self::Planned(work)
            | Self::Waiting(work)
            | Self::Preparing(work)
            | Self::Fetching(work)
            | Self::Verifying(work)
            | Self::Staged(work) => Some(work),
            _ => None,
        }
    }

    /// Name, for people and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Planned(_) => "planned",
            Self::Waiting(_) => "waiting",
            Self::Preparing(_) => "preparing",
            Self::Fetching(_) => "fetching",
            Self::Verifying(_) => "verifying",
            Self::Staged(_) => "staged",
            Self::Arming { .. } => "arming",
            Self::Rebooting { .. } => "rebooting",
            Self::Trial { .. } => "trial",
            Self::Committing(_) => "committing",
            Self::RollingBack { .. } => "rolling-back",
            Self::Inconsistent { .. } => "inconsistent",
        }
    }

    /// Grows as an update gets on; what does not grow counts towards [`State::Inconsistent`].
    pub fn rank(&self) -> u64 {
        let place: u64 = match self {
            Self::Idle | Self::Inconsistent { .. } => 0,
            Self::Planned(_) => 1,
            Self::Waiting(_) => 2,
            Self::Preparing(_) => 3,
            Self::Fetching(_) => 4,
            Self::Verifying(_) => 5,
            Self::Staged(_) => 6,
            Self::Arming { .. } => 7,
            Self::Rebooting { .. } => 8,
            Self::Trial { healthy: false, .. } => 9,
            Self::Trial { healthy: true, .. } => 10,
            Self::Committing(_) => 11,
            Self::RollingBack { .. } => 12,
        };
        let segments = match self {
            Self::Fetching(work) => u64::from(work.progress.done.count()),
            _ => 0,
        };
        place << 32 | segments
    }
}
