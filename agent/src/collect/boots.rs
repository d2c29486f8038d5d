//! How often the device has booted, counted by its boot ids, and how often unprepared.
//!
//! ```text
//! file = count " " boot_id " " unclean " " kernel_boot_id " " ("up" | "down") "\n"
//! ```
//!
//! "up" stands there while the agent works. Another boot that finds it was not told of the end of the one before:
//! the power went, or something reset the machine. The first id is the boot loader's, which a driver for tests
//! makes up; the second is the kernel's, which cannot change without a boot.

use std::{io, path::PathBuf};

use super::{
    SYSTEM, Sink,
    dictionary::{BOOTS, UNCLEAN_REBOOTS},
};
use crate::durable;

/// Two numbers and two boot ids.
const LIMIT: u64 = 512;

/// The count could not be read or kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep the count of boots in {}", path.display())]
pub struct BootError {
    path: PathBuf,
    source: io::Error,
}

/// The count, kept in a file that is written at a start and at a stop of the agent.
#[derive(Debug)]
pub struct Boots {
    path: PathBuf,
    known: Known,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Known {
    count: u64,
    boot_id: String,
    unclean: u64,
    kernel: String,
    up: bool,
}

impl Boots {
    /// Reads the count; a file that is not there or torn counts from zero.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn open(path: PathBuf) -> Result<Self, BootError> {
        let bytes = match durable::read_optional(&path, LIMIT) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(source) => return Err(BootError { path, source }),
        };
        let known = parse(&String::from_utf8(bytes).unwrap_or_default()).unwrap_or_default();
        Ok(Self { path, known })
    }

    /// Counts `boot_id` if it is another than the last, and the kernel's `kernel`, and takes the readings.
    ///
    /// # Errors
    /// When a new count cannot be kept; it is tried again with the next reading.
    pub fn read(&mut self, boot_id: &str, kernel: &str, sink: &mut Sink) -> Result<(), BootError> {
        let mut known = self.known.clone();
        if !boot_id.is_empty() && boot_id != known.boot_id {
            known.count += 1;
            known.boot_id = boot_id.to_owned();
        }
        if !kernel.is_empty() {
            if kernel != known.kernel {
                known.unclean += u64::from(known.up && !known.kernel.is_empty());
                known.kernel = kernel.to_owned();
            }
            known.up = true;
        }
        self.keep(known)?;
        if self.known.count > 0 {
            sink.take(SYSTEM, BOOTS, self.known.count as f64);
        }
        if !self.known.kernel.is_empty() {
            sink.take(SYSTEM, UNCLEAN_REBOOTS, self.known.unclean as f64);
        }
        Ok(())
    }

    /// Somebody stops the agent: what comes next is no surprise.
    ///
    /// # Errors
    /// When that cannot be kept.
    pub fn stop(&mut self) -> Result<(), BootError> {
        self.keep(Known { up: false, ..self.known.clone() })
    }

    fn keep(&mut self, known: Known) -> Result<(), BootError> {
        if known != self.known {
            let Known { count, boot_id, unclean, kernel, up } = &known;
            // An id that is not known keeps its place in the line.
            let [boot_id, kernel] = [boot_id, kernel].map(|id| if id.is_empty() { "-" } else { id });
            let state = if *up { "up" } else { "down" };
            let text = format!("{count} {boot_id} {unclean} {kernel} {state}\n");
            durable::replace(&self.path, text.as_bytes(), durable::PLAIN)
                .map_err(|source| BootError { path: self.path.clone(), source })?;
            self.known = known;
        }
        Ok(())
    }
}

/// An agent before this one wrote the first two words only.
fn parse(text: &str) -> Option<Known> {
    let mut words = text.split_whitespace();
    let id = |word: &str| if word == "-" { String::new() } else { word.to_owned() };
    let mut known =
        Known { count: words.next()?.parse().ok()?, boot_id: id(words.next()?), ..Known::default() };
    if let (Some(unclean), Some(kernel), Some(state)) = (words.next(), words.next(), words.next()) {
        (known.unclean, known.kernel, known.up) = (unclean.parse().ok()?, id(kernel), state == "up");
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a start of the agent in this boot counts: boots, and unclean ones.
    fn count(path: &std::path::Path, boot_id: &str, kernel: &str) -> (Option<f64>, Option<f64>) {
        let mut sink = Sink::new(0, "");
        Boots::open(path.to_owned()).unwrap().read(boot_id, kernel, &mut sink).unwrap();
        let readings = sink.into_readings();
        let value =
            |name| readings.iter().find(|reading| reading.metric == name).map(|reading| reading.value);
        (value(BOOTS.name()), value(UNCLEAN_REBOOTS.name()))
    }

    #[test]
    fn counts_boots_and_not_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boots");
        assert_eq!(count(&path, "", ""), (None, None), "no boot id, no series");
        for (boot_id, expected) in [("one", 1.0), ("one", 1.0), ("two", 2.0), ("one", 3.0)] {
            assert_eq!(count(&path, boot_id, ""), (Some(expected), None));
        }
        std::fs::write(&path, "garbage").unwrap();
        assert_eq!(count(&path, "four", "").0, Some(1.0));
        std::fs::write(&path, "7 four\n").unwrap();
        assert_eq!(count(&path, "five", "k").0, Some(8.0), "the count of an earlier agent goes on");
    }

    #[test]
    fn a_boot_that_nobody_announced_is_unclean() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boots");
        let stop = || Boots::open(path.clone()).unwrap().stop().unwrap();
        assert_eq!(count(&path, "a", "k1"), (Some(1.0), Some(0.0)));
        assert_eq!(count(&path, "a", "k1").1, Some(0.0), "a killed agent is no boot");
        assert_eq!(count(&path, "a", "k2").1, Some(1.0), "the power went");
        stop();
        assert_eq!(count(&path, "a", "k3").1, Some(1.0), "it was stopped before");
        stop();
        assert_eq!(count(&path, "a", "k3").1, Some(1.0), "stopped and started again");
        assert_eq!(count(&path, "b", "k4"), (Some(2.0), Some(2.0)));
    }
}
