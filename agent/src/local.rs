//! What the device says of itself on the spot: works without the server and while the agent runs.

use std::fmt::Write as _;

use rand::{SeedableRng as _, rngs::StdRng};
use serde::Serialize;
use slipway_trust::Date;

use crate::{
    config::{Config, ConfigError, StateDir},
    diary::{self, Mishap, News},
    journal::{Journal, JournalError},
    kept,
    machine::{Installed, Reason, Slot, Snapshot, State},
    slots::{FileSlots, Slots as _},
};

/// Everything `slipway-agent status` shows. All times are in milliseconds.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Name in the fleet.
    pub device: String,
    /// Product.
    pub product: String,
    /// Hardware model.
    pub hardware: String,
    /// Component that is updated.
    pub component: String,
    /// The server.
    pub server: String,
    /// State of the update.
    pub state: String,
    /// Version that is worked on, if any.
    pub version: Option<String>,
    /// The update that is worked on, if any.
    pub update: Option<String>,
    /// Share of the fetching that is done, in percent, while fetching.
    pub percent: Option<u64>,
    /// Which boot this is; none when the boot loader cannot be read.
    pub boot_id: Option<String>,
    /// The slots.
    pub slots: Vec<SlotStatus>,
    /// Below this release counter the device never goes again.
    pub floor: u64,
    /// Reports that the server does not have yet.
    pub reports_waiting: usize,
    /// What is known of the server and of errors.
    #[serde(flatten)]
    pub news: News,
}

/// One slot.
#[derive(Debug, Serialize)]
pub struct SlotStatus {
    /// `a` or `b`.
    pub slot: Slot,
    /// It runs.
    pub running: bool,
    /// It boots when nothing is tried.
    pub default: bool,
    /// What it holds, if known.
    pub holds: Option<Installed>,
}

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// See [`ConfigError`].
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// See [`JournalError`].
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Reads the status from the files of the state folder, without the lock and without changing anything.
///
/// # Errors
/// When the device is not enrolled or its journal cannot be read.
pub fn status(state: &StateDir) -> Result<Status, StatusError> {
    let config = Config::read(state)?;
    let recovered = Journal::peek(&state.journal())?;
    let snapshot: Snapshot =
        recovered.last.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    // Only asked what it says; a driver that is not asked to reboot needs no randomness.
    let slots = FileSlots::open_folder(&config.slots, config.slot_size, StdRng::from_seed([0; 32]));
    let world = slots.world().ok();
    let slot = |slot| SlotStatus {
        slot,
        running: world.as_ref().is_some_and(|world| world.running == slot),
        default: world.as_ref().is_some_and(|world| world.default == slot),
        holds: snapshot.memory.installed(slot).cloned(),
    };
    let work = snapshot.state.work();
    let percent = match &snapshot.state {
        State::Fetching(work) => {
            let segments = work.release.size.div_ceil(u64::from(slipway_payload::SEGMENT_SIZE)).max(1);
            Some(u64::from(work.progress.done.count()) * 100 / segments)
        }
        _ => None,
    };
    Ok(Status {
        state: snapshot.state.name().to_owned(),
        version: work.map(|work| work.release.version.clone()),
        update: work.map(|work| work.update.clone()),
        percent,
        boot_id: world.as_ref().map(|world| world.boot_id.clone()),
        slots: vec![slot(Slot::A), slot(Slot::B)],
        floor: snapshot.memory.floor.max(kept::read(&state.floor()).value().unwrap_or(0)),
        reports_waiting: snapshot.memory.outbox.len(),
        news: diary::read(state),
        device: config.device_id,
        product: config.product,
        hardware: config.hardware,
        component: config.component,
        server: config.server,
    })
}

impl Status {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut lines = vec![
            ("device", format!("{} ({}, {})", self.device, self.product, self.hardware)),
            ("server", self.server.clone()),
        ];
        let mut state = self.state.clone();
        if let Some(version) = &self.version {
            state = format!("{state} {version}");
        }
        if let Some(percent) = self.percent {
            state = format!("{state}, {percent} % fetched");
        }
        lines.push(("update", state));
        for slot in &self.slots {
            let mut text = match &slot.holds {
                Some(holds) => format!("{} (release {})", holds.version, holds.counter),
                None => "unknown".to_owned(),
            };
            if slot.running {
                text.push_str(", running");
            }
            if slot.default {
                text.push_str(", default");
            }
            lines.push((if slot.slot == Slot::A { "slot a" } else { "slot b" }, text));
        }
        lines.push(("floor", self.floor.to_string()));
        lines.push(("last contact", self.news.last_contact.map_or("never".to_owned(), time)));
        if self.reports_waiting > 0 {
            lines.push(("reports waiting", self.reports_waiting.to_string()));
        }
        if let Some(blocked) = &self.news.blocked {
            lines.push(("blocked", format!("{}: {}", blocked.code, blocked.detail)));
        }
        let error = match &self.news.last_error {
            Some(Mishap { at, reason: Reason { code, detail }, over, .. }) => match over {
                Some(over) => format!("none since {}; before that {code}: {detail}", time(*over)),
                None => format!("{code}: {detail} ({})", time(*at)),
            },
            None => "none".to_owned(),
        };
        lines.push(("last error", error));
        lines.iter().fold(String::new(), |mut text, (name, value)| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<16}{value}");
            text
        })
    }
}

fn time(millis: i64) -> String {
    Date::from_millis(millis).to_string()
}
