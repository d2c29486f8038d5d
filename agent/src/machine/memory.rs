//! What outlives an update.

use serde::{Deserialize, Serialize};
use slipway_trust::Sha256;

use super::{Installed, Reason, Release, Slot, State};

/// After this many failures a digest is not tried again for a while.
pub const ATTEMPTS: u32 = 3;
/// How long it is not tried: a week, so that a fixed environment (power, network) gets its chance.
pub const QUARANTINE: i64 = 7 * 24 * 3_600_000;
/// Failures of so many digests are remembered; the oldest is forgotten first.
const FAILURES_KEPT: usize = 16;

/// One body of the journal: everything the agent knows about its updates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where the device stands.
    pub state: State,
    /// When it may not stand there any more, in milliseconds.
    pub deadline: Option<i64>,
    /// What outlives the update.
    pub memory: Memory,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self { state: State::Idle, deadline: None, memory: Memory::default() }
    }
}

/// What outlives an update.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What slot `a` holds, if known.
    pub slot_a: Option<Installed>,
    /// What slot `b` holds, if known.
    pub slot_b: Option<Installed>,
    /// Below this release counter the device never goes again.
    pub floor: u64,
    /// Artifacts that failed.
    pub failures: Vec<Failures>,
    /// Reports that the server does not have yet, oldest first. They are part of the record that
    /// makes the transition durable, so that neither can be without the other.
    pub outbox: Vec<Report>,
    /// Sequence of the last report.
    pub sequence: u64,
    /// Reboots that were asked for in order to end an update.
    pub closing_reboots: u32,
    /// Records since the update last got on.
    pub idle_records: u32,
    /// How far the update ever got.
    pub best_rank: u64,
}

/// How often an artifact failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// SHA-256 of the artifact.
    pub digest: Sha256,
    /// How often.
    pub count: u32,
    /// When it failed last, in milliseconds.
    pub last: i64,
}

/// The steps of an update that the server hears of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Segments are being fetched.
    Downloading,
    /// The spare slot holds the artifact.
    Staged,
    /// The new slot runs, on trial.
    Trial,
    /// The new version is committed.
    Succeeded,
    /// It failed before the new version ran.
    Failed,
    /// The new version ran and the device went back.
    RolledBack,
    /// The device refused.
    Rejected,
}

impl Step {
    /// Nothing comes after it.
    pub fn is_last(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::RolledBack | Self::Rejected)
    }
}

/// One report for the server, kept until it is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Grows by one with each report of this device.
    pub sequence: u64,
    /// `devices/{id}/updates/{id}`.
    pub update: String,
    /// What was reached.
    pub step: Step,
    /// Why.
    pub reason: Option<Reason>,
    /// When, in milliseconds.
    pub at: i64,
    /// Bytes received, as encoded.
    pub fetched: u64,
    /// Bytes written to the slot.
    pub written: u64,
    /// Which attempt at this artifact, from 1.
    pub attempt: u32,
    /// The version that runs.
    pub running_version: String,
}

/// Reports that wait for the server at most. They stand in every record of the journal, which has to
/// stay small whatever a server refuses to take; an update has five.
pub(super) const OUTBOX: usize = 100;

impl Memory {
    /// Keeps a report for the server; the oldest makes room where there are too many.
    pub(super) fn queue(&mut self, report: Report) {
        let beyond = (self.outbox.len() + 1).saturating_sub(OUTBOX);
        self.outbox.drain(..beyond);
        self.outbox.push(report);
    }

    /// What a slot holds, if known.
    pub fn installed(&self, slot: Slot) -> Option<&Installed> {
        match slot {
            Slot::A => self.slot_a.as_ref(),
            Slot::B => self.slot_b.as_ref(),
        }
    }

    /// Notes what a slot holds.
    pub fn set_installed(&mut self, slot: Slot, installed: Option<Installed>) {
        match slot {
            Slot::A => self.slot_a = installed,
            Slot::B => self.slot_b = installed,
        }
    }

    /// How often an artifact failed lately, and until when it is not tried again.
    pub fn failures(&self, digest: &Sha256, now: i64) -> (u32, Option<i64>) {
        match self.failures.iter().find(|failures| failures.digest == *digest) {
            Some(failures) if now < failures.last.saturating_add(QUARANTINE) => {
                let until = failures.last.saturating_add(QUARANTINE);
                (failures.count, (failures.count >= ATTEMPTS).then_some(until))
            }
            _ => (0, None),
        }
    }

    /// One more failure of an artifact.
    pub fn note_failure(&mut self, digest: Sha256, now: i64) {
        let count = self.failures(&digest, now).0 + 1;
        self.forget_failures(&digest);
        self.failures.push(Failures { digest, count, last: now });
        if self.failures.len() > FAILURES_KEPT {
            self.failures.remove(0);
        }
    }

    /// It works after all.
    pub fn forget_failures(&mut self, digest: &Sha256) {
        self.failures.retain(|failures| failures.digest != *digest);
    }
}

impl Release {
    /// What a slot holds once this release is in it.
    pub fn installed(&self) -> Installed {
        Installed {
            version: self.version.clone(),
            counter: self.counter,
            digest: self.digest,
            size: self.size,
        }
    }
}
