//! What may happen, and what may be asked for.

use super::{Progress, Reason, Release, Slot, Work};

/// What the boot loader and the kernel say. Read anew at every start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// Changes with every boot.
    pub boot_id: String,
    /// The slot that runs.
    pub running: Slot,
    /// The slot that boots when nothing is tried.
    pub default: Slot,
    /// The slot that is, or was, tried.
    pub trying: Option<Slot>,
    /// How many boots of it are left to try.
    pub tries_left: u32,
}

/// An update that both the director and the publisher stand behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// `devices/{id}/updates/{id}`.
    pub update: String,
    /// What to install.
    pub release: Release,
    /// When the server counts it as timed out, in milliseconds.
    pub deadline: Option<i64>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The agent started.
    Started(World),
    /// The server offers an update, and its metadata verified.
    Offered(Box<Offer>, World),
    /// The server offers an update that must not be installed.
    OfferRefused {
        /// `devices/{id}/updates/{id}`.
        update: String,
        /// Why.
        reason: Reason,
    },
    /// Answer to `Effect::Survey`.
    Surveyed {
        /// Largest artifact that the spare slot can hold, in bytes; none when nothing limits it.
        capacity: Option<u64>,
        /// Something on the device asks not to be disturbed.
        inhibited: bool,
        /// The boot it was asked in.
        boot_id: String,
    },
    /// The boot loader does not use the target.
    Prepared,
    /// Some more segments are right in the slot, and synced.
    Checkpoint(Progress),
    /// All segments are right in the slot, and synced.
    Fetched(Progress),
    /// The slot was read back and holds the artifact.
    Verified,
    /// The boot loader tries the target next.
    Armed,
    /// The health checks passed.
    Healthy {
        /// The server was reached since this start.
        contact: bool,
    },
    /// A health check failed.
    Unhealthy(Reason),
    /// The server was reached.
    Contacted,
    /// It was not, for as long as one prefers to wait.
    ContactAwaited,
    /// The boot loader's default is the target.
    Committed {
        /// The slot that runs.
        running: Slot,
    },
    /// The boot loader's default is the previous slot, and nothing is tried.
    Restored {
        /// The slot that runs.
        running: Slot,
    },
    /// What was asked for did not work.
    Failed(Reason),
    /// The deadline of the state passed.
    Deadline,
    /// The server takes the offer back.
    Cancelled {
        /// `devices/{id}/updates/{id}`.
        update: String,
    },
    /// The server has the report, or will never take it.
    Delivered {
        /// Its sequence.
        sequence: u64,
    },
}

/// Something to do. Each is idempotent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Find out how large the spare slot is and whether the device wants to be left alone.
    Survey {
        /// Not at once: it was asked a moment ago.
        later: bool,
    },
    /// Tell the boot loader not to use a slot.
    Prepare {
        /// The slot.
        target: Slot,
    },
    /// Fetch what is missing.
    Fetch(Box<Work>),
    /// Read the slot back.
    Verify(Box<Work>),
    /// Read the slot back once more, and have it tried at the next boot.
    Arm(Box<Work>),
    /// Reboot.
    Reboot,
    /// Run the health checks.
    CheckHealth(Box<Work>),
    /// Wait a little for the server.
    AwaitContact,
    /// Make the slot that is on trial the default.
    Commit {
        /// The slot.
        slot: Slot,
    },
    /// Make the previous slot the default and try nothing.
    Restore {
        /// The slot.
        slot: Slot,
    },
    /// Stop what is going on: nobody waits for its outcome.
    Stop,
}
