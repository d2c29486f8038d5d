//! What the device remembers when it starts: the journal, the floor's second copy, and what stands in
//! for them when they are lost.
//!
//! The rollback floor is in every record of the journal and in `metadata/floor`. It is raised with the
//! record of a commit and in the file right after it; after a power cut between the two the larger one
//! counts, and the file follows at the next start. A device that lost its journal has its floor from
//! the file. One that lost both takes the counter of the release that runs, if it can recognise it by
//! its bytes: its true floor is not above that, and every newer release stays open to it. If it cannot,
//! it takes the highest floor that its publishers ever signed.

use std::{io, path::PathBuf};

use slipway_trust::{Manifest, limits};

use crate::{
    config::{Config, StateDir},
    durable, fetch,
    journal::{Journal, JournalError},
    kept::{self, Kept},
    machine::{Installed, Reason, Slot, Snapshot},
    slots::SlotImage,
    verify::{TrustStore, damaged},
};

/// The floor's second copy. It only ever rises.
#[derive(Debug)]
pub struct FloorFile {
    path: PathBuf,
    held: Kept,
}

impl FloorFile {
    /// The file in a state folder.
    pub fn open(state: &StateDir) -> Self {
        let path = state.floor();
        Self { held: kept::read(&path), path }
    }

    /// The floor that is known to be in the file.
    pub fn value(&self) -> Option<u64> {
        self.held.value()
    }

    /// Durably raises the floor; one that is not above what the file holds changes nothing.
    ///
    /// # Errors
    /// Any I/O error; the file holds what it held.
    pub fn raise(&mut self, floor: u64) -> io::Result<()> {
        if self.value().is_some_and(|held| held >= floor) {
            return Ok(());
        }
        kept::write(&self.path, floor)?;
        self.held = Kept::Value(floor);
        Ok(())
    }
}

/// What a life of the agent starts from.
#[derive(Debug)]
pub struct Remembered {
    /// The journal, open for appending.
    pub journal: Journal,
    /// Its last record, or what could be recovered.
    pub snapshot: Snapshot,
    /// The floor's second copy.
    pub floor: FloorFile,
    /// What was lost and what became of it, for people.
    pub remarks: Vec<Reason>,
}

/// Opens what the device remembers; `running` is the slot that runs, `now` in milliseconds.
///
/// # Errors
/// When the journal cannot be opened at all. One that is damaged or gone is no error.
pub async fn remember(
    state: &StateDir,
    config: &Config,
    trust: &TrustStore,
    running: Option<(Slot, SlotImage)>,
    now: i64,
) -> Result<Remembered, JournalError> {
    let (journal, recovered) = Journal::open(&state.journal())?;
    let mut remembered = Remembered {
        journal,
        snapshot: Snapshot::default(),
        floor: FloorFile::open(state),
        remarks: Vec::new(),
    };
    let mut damage = |what: String| remembered.remarks.push(Reason::new("JOURNAL_DAMAGED", what));
    if let Some(at) = recovered.damage {
        damage(format!("the journal was damaged at byte {at}"));
    }
    let mut known = false;
    match recovered.last.as_deref().map(serde_json::from_slice) {
        Some(Ok(snapshot)) => (remembered.snapshot, known) = (snapshot, true),
        Some(Err(_)) => damage("its last record is of a form that this agent does not know".to_owned()),
        None if recovered.torn > 0 => damage("the journal has no whole record; it starts anew".to_owned()),
        // One that was deleted looks like that of a device that never ran: its neighbours know better.
        None if remembered.floor.held != Kept::Missing
            || state.manifest().exists()
            || trust.have().timestamp > 0 =>
        {
            damage("the journal is gone; it starts anew".to_owned());
        }
        None => {}
    }
    let fresh = !known && remembered.remarks.is_empty();
    if !known && !fresh {
        // The server drops what comes under a sequence that it has seen.
        remembered.snapshot.memory.sequence = u64::try_from(now).unwrap_or(0);
        if let Some((slot, image)) = running {
            let installed = recognise(state, config, &image).await;
            remembered.snapshot.memory.set_installed(slot, installed);
        }
    }
    remembered.settle_floor(known || fresh, trust);
    // A journal that has a record is not taken for a lost one at the next start.
    let body = serde_json::to_vec(&remembered.snapshot).unwrap_or_default();
    if known || remembered.journal.append(&body).is_ok() {
        remembered.keep_floor();
    }
    Ok(remembered)
}

impl Remembered {
    /// The floor that holds from now on: the larger copy, or what stands in for both.
    fn settle_floor(&mut self, in_journal: bool, trust: &TrustStore) {
        let memory = &mut self.snapshot.memory;
        if let Kept::Damaged(what) = &self.floor.held {
            let then = if in_journal { "the journal has the floor" } else { "the floor is recovered" };
            self.remarks.push(damaged(&self.floor.path, what, then));
        }
        if in_journal || self.floor.value().is_some() {
            memory.floor = memory.floor.max(self.floor.value().unwrap_or(0));
            return;
        }
        let runs = [Slot::A, Slot::B].into_iter().find_map(|slot| memory.installed(slot).cloned());
        let detail = match runs {
            Some(runs) => {
                memory.floor = runs.counter;
                format!("both copies of the rollback floor are lost; it is {} now, what runs", runs.counter)
            }
            None => {
                memory.floor = trust.highest_floor();
                format!(
                    "both copies of the rollback floor are lost and what runs is not recognised; the floor \
                     is {} now, the highest that was ever signed",
                    memory.floor
                )
            }
        };
        self.remarks.push(Reason::new("FLOOR_LOST", detail));
    }

    fn keep_floor(&mut self) {
        if let Err(error) = self.floor.raise(self.snapshot.memory.floor) {
            self.remarks.push(floor_not_kept(&self.floor, &error));
        }
    }
}

/// The floor's second copy could not be written; the journal has the first.
pub fn floor_not_kept(floor: &FloorFile, error: &io::Error) -> Reason {
    Reason::new("STATE_IO_FAILED", format!("cannot write {}: {error}", floor.path.display()))
}

/// The release that an image holds, byte for byte, if it is the one whose manifest is kept.
async fn recognise(state: &StateDir, config: &Config, image: &SlotImage) -> Option<Installed> {
    let bytes = durable::read_optional(&state.manifest(), limits::MANIFEST_BYTES as u64).ok()??;
    let manifest = Manifest::parse(&bytes).ok()?;
    let artifact = manifest.artifact_for(&config.component, &config.hardware)?;
    fetch::read_back(image, artifact.size, artifact.digest).await.ok()?;
    Some(Installed {
        version: manifest.version.to_string(),
        counter: manifest.counter,
        digest: artifact.digest,
        size: artifact.size,
    })
}
