//! How often the device has booted, counted by its boot ids.

use std::{io, path::PathBuf};

use slipway_proto::v1::DataClass;

use super::{SYSTEM, Sink};
use crate::durable;

/// A number and a boot id.
const LIMIT: u64 = 256;

/// The count could not be read or kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep the count of boots in {}", path.display())]
pub struct BootError {
    path: PathBuf,
    source: io::Error,
}

/// The count, kept in a file that is written once a boot.
#[derive(Debug)]
pub struct Boots {
    path: PathBuf,
    count: u64,
    boot_id: String,
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
        let text = String::from_utf8(bytes).unwrap_or_default();
        let (count, boot_id) = text.trim().split_once(' ').unwrap_or_default();
        Ok(Self { path, count: count.parse().unwrap_or(0), boot_id: boot_id.to_owned() })
    }

    /// Counts `boot_id` if it is another than the last, and takes the reading.
    ///
    /// # Errors
    /// When a new count cannot be kept; it is tried again with the next reading.
    pub fn read(&mut self, boot_id: &str, sink: &mut Sink) -> Result<(), BootError> {
        if !boot_id.is_empty() && boot_id != self.boot_id {
            let text = format!("{} {boot_id}\n", self.count + 1);
            durable::replace(&self.path, text.as_bytes(), durable::PLAIN)
                .map_err(|source| BootError { path: self.path.clone(), source })?;
            self.count += 1;
            self.boot_id = boot_id.to_owned();
        }
        if self.count > 0 {
            sink.gauge(SYSTEM, "slipway.boots", "1", DataClass::Essential, self.count as f64);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_boots_and_not_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boots");
        let count = |boot_id: &str| {
            let mut sink = Sink::new(0, String::new());
            Boots::open(path.clone()).unwrap().read(boot_id, &mut sink).unwrap();
            sink.into_readings().first().map(|reading| reading.value)
        };
        assert_eq!(count(""), None, "no boot id, no series");
        assert_eq!(count("one"), Some(1.0));
        assert_eq!(count("one"), Some(1.0));
        assert_eq!(count("two"), Some(2.0));
        assert_eq!(count("one"), Some(3.0));
        std::fs::write(&path, "garbage").unwrap();
        assert_eq!(count("four"), Some(1.0));
    }
}
