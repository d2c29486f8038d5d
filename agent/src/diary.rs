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
}

/// Keeps the news in a file.
#[derive(Debug)]
pub struct Diary {
    path: PathBuf,
    news: News,
    written: News,
}

impl Diary {
    /// The news as they were left.
    pub fn open(state: &StateDir) -> Self {
        let news = read(state);
        Self { path: state.diary(), written: news.clone(), news }
    }

    /// The server answered.
    pub fn contacted(&mut self, now: i64) {
        self.news.last_contact = Some(now);
        self.write();
    }

    /// Something went wrong. It is said once, also when it goes wrong again in the same way.
    pub fn mishap(&mut self, reason: &Reason, now: i64) {
        let known = self.news.last_error.as_ref().is_some_and(|mishap| mishap.reason == *reason);
        if !known {
            say(&format!("{}: {}", reason.code, reason.detail));
        }
        self.news.last_error = Some(Mishap { at: now, reason: reason.clone() });
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
        let same_error = new.last_error.as_ref().map(|mishap| &mishap.reason)
            == old.last_error.as_ref().map(|mishap| &mishap.reason);
        let recent = match (new.last_contact, old.last_contact) {
            (Some(new), Some(old)) => new - old < QUIET,
            (new, old) => new == old,
        };
        if same_error && recent && new.blocked == old.blocked {
            return;
        }
        let beside = self.path.with_extension("json.new");
        let Ok(text) = serde_json::to_vec(new) else { return };
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
        fs::write(state.diary(), "{").unwrap();
        assert_eq!(read(&state), News::default());
    }
}
