//! Slots, boot loader and updates, and what went wrong with them last.

use rand::{SeedableRng as _, rngs::StdRng};
use slipway_trust::Date;

use super::Notes;
use crate::{
    config::{Config, StateDir},
    diary,
    journal::{Journal, JournalError},
    kept::{self, Kept},
    link::chain,
    machine::{ATTEMPTS, QUARANTINE, Snapshot, State},
    slots::{FileSlots, Slots as _},
};

/// A device that did not hear from its server for so long misses updates, in milliseconds.
const SILENCE: i64 = 24 * 3_600_000;

pub(super) fn look(state: &StateDir, config: Option<&Config>, now: i64, notes: &mut Notes) {
    let snapshot = journal(state, notes);
    if let Kept::Damaged(what) = kept::read(&state.floor()) {
        let what = format!("the second copy of the rollback floor is damaged: {what}");
        notes
            .warn("floor", what, "nothing: the agent writes it again from the journal")
            .reason("STATE_DAMAGED");
    }
    if let Some(config) = config {
        slots(config, snapshot.as_ref(), notes);
    }
    if state.inhibitor().exists() {
        let what = format!("{} holds updates back", state.inhibitor().display());
        notes.warn("update", what, "remove the file when the machine may be updated again");
    }
    let Some(snapshot) = snapshot else { return };
    update(&snapshot, now, notes);
    for failures in &snapshot.memory.failures {
        let ends = failures.last.saturating_add(QUARANTINE);
        if now >= ends {
            continue;
        }
        let image = &failures.digest.to_string()[..12];
        let what = format!(
            "the image {image}… failed {} times, last at {}",
            failures.count,
            Date::from_millis(failures.last)
        );
        if failures.count >= ATTEMPTS {
            let hint = format!(
                "it is not tried again before {}; bring out a release that works, or find out what is wrong here \
                 (`last error`)",
                Date::from_millis(ends)
            );
            notes.problem("quarantine", what, &hint).reason("RELEASE_QUARANTINED");
        } else {
            notes.warn("update", what, "nothing: it is tried again");
        }
    }
    if snapshot.memory.outbox.len() > 10 {
        let what = format!("{} reports wait for the server", snapshot.memory.outbox.len());
        notes.warn("update", what, "they are sent when the server can be reached");
    }
}

fn journal(state: &StateDir, notes: &mut Notes) -> Option<Snapshot> {
    let recovered = match Journal::peek(&state.journal()) {
        Ok(recovered) => recovered,
        Err(error) => {
            let hint = match error {
                JournalError::Newer { .. } => "start the newer agent that wrote it",
                _ => "look at the folder's owner and at the disk",
            };
            notes.problem("journal", chain(&error), hint);
            return None;
        }
    };
    if let Some(at) = recovered.damage {
        let hint = "the agent goes on with its last good record; a disk that does this is worn out or broken";
        notes.warn("journal", format!("it is damaged at byte {at}"), hint).reason("JOURNAL_DAMAGED");
    }
    let Some(body) = recovered.last else {
        if recovered.damage.is_none() {
            notes.ok("journal", "it is empty: this device was never updated by the agent");
        }
        return None;
    };
    match serde_json::from_slice(&body) {
        Ok(snapshot) => Some(snapshot),
        Err(_) => {
            let what = "its last record is none of this agent's";
            notes.problem("journal", what, "start the newer agent that wrote it").reason("JOURNAL_DAMAGED");
            None
        }
    }
}

fn slots(config: &Config, snapshot: Option<&Snapshot>, notes: &mut Notes) {
    // Only asked what it says; a driver that is not asked to reboot needs no randomness.
    let slots = FileSlots::open_folder(&config.slots, config.slot_size, StdRng::from_seed([0; 32]));
    let world = match slots.world() {
        Ok(world) => world,
        Err(error) => {
            let hint = "the device runs, but cannot be updated; look at the folder of the slots and its disk";
            notes.problem("boot", chain(&error), hint).reason(error.code());
            return;
        }
    };
    let version = snapshot.and_then(|snapshot| snapshot.memory.installed(world.running));
    let version = version.map_or("something unknown", |installed| installed.version.as_str());
    let what = format!("slot {} runs, with {version}", world.running);
    let trying = snapshot.is_some_and(|snapshot| snapshot.state.work().is_some());
    if world.running != world.default && !trying {
        let what = format!("{what}, but slot {} boots next", world.default);
        notes.warn("boot", what, "restart the agent: it looks at the boot loader when it starts");
    } else {
        notes.ok("boot", what);
    }
}

fn update(snapshot: &Snapshot, now: i64, notes: &mut Notes) {
    match &snapshot.state {
        State::Idle => notes.ok("update", "none is under way"),
        State::Inconsistent { reason } => {
            let what = format!("updates are frozen: {}: {}", reason.code, reason.detail);
            let hint = "look what the boot loader does; then remove the file `journal` and restart the agent";
            notes.problem("update", what, hint).reason("UPDATES_FROZEN");
        }
        state => {
            let version = state.work().map_or("", |work| work.release.version.as_str());
            let what = format!("{} {version}", state.name());
            match snapshot.deadline {
                Some(deadline) if deadline < now => {
                    let what = format!("{what}, which should have ended at {}", Date::from_millis(deadline));
                    notes.warn("update", what, "start the agent: it goes on from there");
                }
                _ => notes.ok("update", what),
            }
        }
    }
}

/// What the agent noted itself.
pub(super) fn news(state: &StateDir, now: i64, notes: &mut Notes) {
    let news = diary::read(state);
    let heard = news.last_contact.map(|at| (at, Date::from_millis(at)));
    match heard {
        Some((at, date)) if now - at <= SILENCE => notes.ok("last contact", format!("{date}")),
        Some((_, date)) => {
            let hint = "see the findings about network and server";
            notes.warn("last contact", format!("{date}, more than a day ago"), hint);
        }
        None => {
            notes.warn("last contact", "never", "see the findings about network and server");
        }
    }
    if let Some(blocked) = &news.blocked {
        let what = format!("nothing is installed: {}", blocked.detail);
        notes.problem("blocked", what, "see the page").reason(&blocked.code);
    }
    if let Some(mishap) = news.last_error.as_ref().filter(|mishap| mishap.over.is_none()) {
        let what = format!("{} ({})", mishap.reason.detail, Date::from_millis(mishap.at));
        notes.warn("last error", what, "see the page").reason(&mishap.reason.code);
    }
}
