//! `slipway` as a person would call it: by its command line, with a profile.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::Value;

use crate::clock::Stopwatch;
use crate::litter::Process;
use crate::workspace;

/// How often somebody who waits looks whether everything still runs.
const GLANCE: Duration = Duration::from_millis(500);

/// One person at one command line.
#[derive(Clone, Debug)]
pub struct Cli {
    program: PathBuf,
    profile: PathBuf,
}

impl Cli {
    /// Whoever the profile speaks for.
    pub fn new(program: &Path, profile: PathBuf) -> Self {
        Self { program: program.to_path_buf(), profile }
    }

    /// The profile, for `SLIPWAY_PROFILE`.
    pub fn profile(&self) -> &Path {
        &self.profile
    }

    /// Runs a command to its end and returns what it printed.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        workspace::output(self.command(arguments).stdin(Stdio::null()))
    }

    /// Runs a command to its end and reads its answer.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text =
            workspace::output(self.command(arguments).args(["--output", "json"]).stdin(Stdio::null()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("`slipway {}` printed no JSON", arguments.join(" ")))
    }

    /// Starts a command that prints one JSON document per line for as long as it runs.
    pub fn stream(&self, arguments: &[&str]) -> Result<Stream> {
        let mut command = self.command(arguments);
        command.args(["--output", "json"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process::start(&mut command, Signal::TERM)?;
        let stdout = process
            .child()
            .and_then(|child| child.stdout.take())
            .context("slipway has no standard output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Stream { lines, _process: process, what: arguments.join(" ") })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = clean(&self.program);
        command.arg("--profile").arg(&self.profile).args(arguments);
        command
    }
}

/// What a command prints, line by line. The command ends with it.
#[derive(Debug)]
pub struct Stream {
    lines: Receiver<String>,
    _process: Process,
    what: String,
}

impl Stream {
    /// The next document, or `None` at the end of the command's output; an error when nothing comes in time, or when
    /// `check`, which is asked meanwhile, finds something wrong.
    pub fn next(&self, patience: Duration, mut check: impl FnMut() -> Result<()>) -> Result<Option<Value>> {
        let watch = Stopwatch::start();
        while let Some(left) = patience.checked_sub(watch.elapsed()) {
            match self.lines.recv_timeout(left.min(GLANCE)) {
                Ok(line) => {
                    return serde_json::from_str(&line)
                        .map(Some)
                        .with_context(|| format!("`slipway {}` printed no JSON: {line}", self.what));
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => check()?,
            }
        }
        bail!("`slipway {}` had nothing to say for {} seconds", self.what, patience.as_secs())
    }

    /// Everything it printed that nobody asked for yet.
    pub fn said(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }
}

/// A command of ours, without what the environment of whoever runs this may say to it.
pub fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SLIPWAY") {
            command.env_remove(name);
        }
    }
    command
}

/// A member of a JSON object as text; empty where there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A member of a JSON object as a number; protocol buffers write 64-bit numbers as text.
pub fn number(value: &Value, pointer: &str) -> u64 {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.parse().unwrap_or_default(),
        Some(other) => other.as_u64().unwrap_or_default(),
        None => 0,
    }
}

/// A member of a JSON object as a list; empty where there is none.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
