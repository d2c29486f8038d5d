//! `slipway-agent diagnose`: what is wrong with this device, in words, and what to do about it.
//!
//! Every check stands alone: whatever is missing, damaged or out of reach is a finding, and the others go on. The
//! server is tried to be reached and not asked anything; the state folder is read and not locked, so that a person
//! can look while the agent works.

mod files;
mod reach;
mod storage;
mod telemetry;
#[cfg(test)]
mod tests;
mod updates;

use std::{fmt::Write as _, path::Path};

use serde::Serialize;

use crate::{clock::Clock, collect::Sysroot, config::StateDir};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Not as it should be, and the device does its work all the same.
    Warning,
    /// The device cannot do something that it is there for.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// What was looked at.
    pub area: &'static str,
    /// How it is.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The reason that has a page in docs/errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Everything that was looked at, in the order in which to read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// No problem was found.
    pub healthy: bool,
    /// What was.
    pub findings: Vec<Finding>,
}

/// Collects findings.
#[derive(Debug, Default)]
struct Notes(Vec<Finding>);

impl Notes {
    fn add(&mut self, level: Level, area: &'static str, what: String) -> &mut Finding {
        self.0.push(Finding { level, area, what, hint: None, reason: None });
        // Just pushed.
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    fn ok(&mut self, area: &'static str, what: impl Into<String>) {
        self.add(Level::Ok, area, what.into());
    }

    fn warn(&mut self, area: &'static str, what: impl Into<String>, hint: &str) -> &mut Finding {
        self.add(Level::Warning, area, what.into()).hint(hint)
    }

    fn problem(&mut self, area: &'static str, what: impl Into<String>, hint: &str) -> &mut Finding {
        self.add(Level::Problem, area, what.into()).hint(hint)
    }
}

impl Finding {
    fn hint(&mut self, hint: &str) -> &mut Self {
        self.hint = (!hint.is_empty()).then(|| hint.to_owned());
        self
    }

    fn reason(&mut self, code: &str) {
        self.reason = Some(code.to_owned());
    }
}

/// Looks at the device in `state`, and at the machine below `sysroot` (`/` but in tests).
pub async fn diagnose(state: &StateDir, sysroot: &Path, clock: &Clock) -> Report {
    let mut notes = Notes::default();
    let config = files::settings(state, &mut notes);
    files::process(state, &mut notes);
    if let Some(config) = &config {
        files::trust(state, config, clock, &mut notes);
    }
    files::clock(clock, &mut notes);
    if let Some(config) = &config {
        let certificate = files::identity(state, config, clock, &mut notes);
        reach::server(state, config, certificate, clock, &mut notes).await;
    }
    updates::look(state, config.as_ref(), clock.now(), &mut notes);
    storage::look(state, config.as_ref(), &Sysroot::new(sysroot), &mut notes);
    telemetry::look(state, &mut notes);
    updates::news(state, clock.now(), &mut notes);
    let healthy = notes.0.iter().all(|finding| finding.level < Level::Problem);
    Report { healthy, findings: notes.0 }
}

impl Report {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for Finding { level, area, what, hint, reason } in &self.findings {
            let level = match level {
                Level::Ok => "ok",
                Level::Warning => "warning",
                Level::Problem => "PROBLEM",
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{level:<9}{area:<13}{what}");
            if let Some(hint) = hint {
                let _ = writeln!(text, "{:<22}hint: {hint}", "");
            }
            if let Some(reason) = reason {
                let _ = writeln!(text, "{:<22}see docs/errors/{reason}.md", "");
            }
        }
        text
    }
}
