//! What `status` shows beside the journal: when the server was reached last, and what went wrong last.
//!
//! Soft: losing it loses nothing but a line for people. It is replaced without syncing, so that a
//! check-in at which nothing changed does not wear the flash.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::{config::StateDir, durable, machine::Reason};
use repeats::Repeats;

mod repeats;

/// While nothing changes, the time of the last contact is written this often, in milliseconds.
const QUIET: i64 = 60_000;
const LIMIT: u64 = 64 << 10;

/// The last news.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// When the server answered last, in milliseconds.
    pub last_contact: Option<i64>,
    /// What went wrong last.
    pub last_error: Option<Mishap>,
    /// Why nothing is installed at the moment.
    pub blocked: Option<Reason>,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mishap {
    /// When, in milliseconds.
    pub at: i64,
    /// What.
    pub reason: Reason,
    /// It was in the talk with the server: a round in which all is well ends it.
    #[serde(default)]
    pub is_passing: bool,
    /// When such a round was, in milliseconds.
    #[serde(default)]
    pub over: Option<i64>,
}

/// Keeps the news in a file.
#[derive(Debug)]
pub struct Diary {
    path: PathBuf,
    news: News,
    written: News,
    repeats: Repeats,
}

impl Diary {
    /// The news as they were left.
    pub fn open(state: &StateDir) -> Self {
        let news = read(state);
        let mut repeats = Repeats::default();
        if let Some(Mishap { at, reason, is_passing, over: None }) = &news.last_error {
            repeats.note(reason, *is_passing, *at);
        }
        Self { path: state.diary(), written: news.clone(), news, repeats }
    }

    /// The server answered.
    pub fn contacted(&mut self, now: i64) {
        self.news.last_contact = Some(now);
        self.write();
    }

    /// Something went wrong on this device. What goes wrong again and again is said once, and then hourly.
    pub fn mishap(&mut self, reason: &Reason, now: i64) {
        self.note(reason, false, now);
    }

    /// Something went wrong in the talk with the server; [`Diary::well`] ends it.
    pub fn trouble(&mut self, reason: &Reason, now: i64) {
        self.note(reason, true, now);
    }

    /// A round of talk with the server, a check-in among it, in which nothing went wrong.
    pub fn well(&mut self, now: i64) {
        self.repeats.over(now).iter().for_each(|line| say(line));
        if let Some(mishap) = self.news.last_error.as_mut().filter(|mishap| mishap.is_passing)
            && mishap.over.is_none()
        {
            mishap.over = Some(now);
            self.write();
        }
    }

    fn note(&mut self, reason: &Reason, is_passing: bool, now: i64) {
        if let Some(line) = self.repeats.came(reason, is_passing, now) {
            say(&line);
        }
        self.news.last_error = Some(Mishap { at: now, reason: reason.clone(), is_passing, over: None });
        self.write();
    }

    /// Why nothing is installed at the moment, if so.
    pub fn blocked(&mut self, reason: Option<Reason>) {
        if self.news.blocked != reason {
            self.news.blocked = reason;
            self.write();
        }
    }

    fn write(&mut self) {
        let (new, old) = (&self.news, &self.written);
        let what = |news: &News| news.last_error.as_ref().map(|mishap| (mishap.reason.clone(), mishap.over));
        let same_error = what(new) == what(old);
        let recent = match (new.last_contact, old.last_contact) {
            (Some(new), Some(old)) => new - old < QUIET,
            (new, old) => new == old,
        };
        if same_error && recent && new.blocked == old.blocked {
            return;
        }
        let beside = self.path.with_extension("json.new");
        let Ok(text) = serde_json::to_vec(new) else { return };
        durable::wrote(text.len());
        if fs::write(&beside, text).and_then(|()| fs::rename(&beside, &self.path)).is_ok() {
            self.written = self.news.clone();
        }
    }
}

/// A line for people, on stderr. When it cannot be written (a log on a full disk) it is lost: unlike
/// `eprintln!`, which would end the agent for it.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "slipway-agent: {line}");
}

/// The news in the file; nothing when there is none or it cannot be read.
pub fn read(state: &StateDir) -> News {
    let bytes = durable::read_optional(&state.diary(), LIMIT).ok().flatten();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_news_and_not_every_contact() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let mut diary = Diary::open(&state);
        diary.contacted(1_000);
        assert_eq!(read(&state).last_contact, Some(1_000));
        diary.contacted(2_000);
        assert_eq!(read(&state).last_contact, Some(1_000), "nothing new for a minute");
        diary.contacted(61_000);
        assert_eq!(read(&state).last_contact, Some(61_000));
        diary.mishap(&Reason::new("X", "y"), 62_000);
        diary.blocked(Some(Reason::new("FROZEN", "z")));
        let news = read(&state);
        assert_eq!(news.last_error.unwrap().reason.code, "X");
        assert_eq!(news.blocked.unwrap().code, "FROZEN");
        diary.trouble(&Reason::new("DEVICE_PENDING", "wait"), 63_000);
        diary.well(64_000);
        diary.well(65_000);
        assert_eq!(read(&state).last_error.unwrap().over, Some(64_000));
        diary.trouble(&Reason::new("DEVICE_PENDING", "wait"), 66_000);
        assert_eq!(read(&state).last_error.unwrap().over, None, "again");
        diary.mishap(&Reason::new("X", "y"), 67_000);
        diary.well(68_000);
        assert_eq!(read(&state).last_error.unwrap().over, None, "that is nothing the server could end");
        fs::write(state.diary(), "{").unwrap();
        assert_eq!(read(&state), News::default());
    }
}
