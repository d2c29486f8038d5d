//! What the device's owner allows to leave it, by class of data.
//!
//! The answer is a file, `consent.toml`, that the owner's tools and hands may change while the agent
//! runs. Without one, only what is essential leaves the device; a file that cannot be read allows no
//! more than that. Enforced before a reading is kept, and again before it is sent.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use slipway_proto::v1::{DataClass, Reading};

use crate::durable;

/// Three lines of text.
const LIMIT: u64 = 16 << 10;

/// Why the file counts for nothing.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {}: the answer given before still counts", path.display())]
    Kept {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There was no space for all of the answer.
    #[error("there is no space for {}: what you refuse is refused, and nothing more is allowed", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There was no space for the answer, and it refuses something.
    #[error(
        "there is no space for {}, so it was removed: everything but what is essential is refused now; make \
         space, then allow the rest again", path.display()
    )]
    NoSpace {
        /// The file.
        path: PathBuf,
    },
    /// It says something else than three classes.
    #[error("{} is wrong:\n{message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        message: String,
    },
}

/// The owner's answer. Essential data is always allowed: without it a device cannot be kept alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Consent {
    /// How the machine is: wear, temperatures, errors, load.
    pub diagnostic: bool,
    /// How the machine is used.
    pub usage: bool,
    /// Where the machine is.
    pub location: bool,
}

impl Consent {
    /// Reads the owner's answer; without a file, only what is essential.
    ///
    /// # Errors
    /// When there is a file that cannot be used.
    pub fn read(path: &Path) -> Result<Self, ConsentError> {
        let bytes = durable::read_optional(path, LIMIT)
            .map_err(|source| ConsentError::Io { path: path.to_path_buf(), source })?;
        let Some(bytes) = bytes else { return Ok(Self::default()) };
        let invalid = |message| ConsentError::Invalid { path: path.to_path_buf(), message };
        let text = String::from_utf8(bytes).map_err(|_| invalid("it is not text".to_owned()))?;
        toml::from_str(&text).map_err(|error| invalid(error.to_string()))
    }

    /// Writes the owner's answer. To refuse something takes no space: where the disk is full, the answer is
    /// written over the old one.
    ///
    /// # Errors
    /// When it cannot be written; the old answer stands then, unless the error says that all is refused.
    pub fn write(&self, path: &Path) -> Result<(), ConsentError> {
        let text = self.text(path)?;
        let kept = |source| ConsentError::Kept { path: path.to_path_buf(), source };
        match durable::replace(path, text.as_bytes(), durable::PLAIN) {
            Err(error) if durable::is_full(&error) => {
                let before = Self::read(path).unwrap_or_default();
                let refused = self.and(before);
                let text = refused.text(path)?;
                // A few bytes in one sector. Cut off in the middle they allow nothing, which is the safe side.
                if overwrite(path, text.as_bytes()).is_err() {
                    durable::remove(path).map_err(kept)?;
                    return Err(ConsentError::NoSpace { path: path.to_path_buf() });
                }
                // To allow something takes space.
                if refused == *self {
                    Ok(())
                } else {
                    Err(ConsentError::Refused { path: path.to_path_buf(), source: error })
                }
            }
            written => written.map_err(kept),
        }
    }

    fn text(&self, path: &Path) -> Result<String, ConsentError> {
        toml::to_string(self)
            .map_err(|error| ConsentError::Invalid { path: path.to_path_buf(), message: error.to_string() })
    }

    /// What both allow.
    fn and(self, other: Self) -> Self {
        Self {
            diagnostic: self.diagnostic && other.diagnostic,
            usage: self.usage && other.usage,
            location: self.location && other.location,
        }
    }

    /// Whether data of a class may leave the device.
    pub fn allows(&self, class: DataClass) -> bool {
        match class {
            DataClass::Essential => true,
            DataClass::Diagnostic => self.diagnostic,
            DataClass::Usage => self.usage,
            DataClass::Location => self.location,
            DataClass::Unspecified => false,
        }
    }

    /// The classes allowed.
    pub fn classes(&self) -> Vec<DataClass> {
        let all = [DataClass::Essential, DataClass::Diagnostic, DataClass::Usage, DataClass::Location];
        all.into_iter().filter(|class| self.allows(*class)).collect()
    }

    /// Takes away what may not leave the device. A class of a newer agent is not allowed.
    pub fn filter(&self, readings: &mut Vec<Reading>) {
        readings
            .retain(|reading| DataClass::try_from(reading.data_class).is_ok_and(|class| self.allows(class)));
    }
}

/// Puts other bytes into the place of a file, or leaves none where there is none.
fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_what_is_essential_until_the_owner_says_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consent.toml");
        let consent = Consent::read(&path).unwrap();
        assert_eq!(consent.classes(), [DataClass::Essential]);
        let more = Consent { diagnostic: true, ..consent };
        more.write(&path).unwrap();
        assert_eq!(Consent::read(&path).unwrap(), more);
        assert_eq!(more.classes(), [DataClass::Essential, DataClass::Diagnostic]);
        fs::write(&path, "usage = true\n").unwrap();
        assert_eq!(Consent::read(&path).unwrap(), Consent { usage: true, ..Consent::default() });
    }

    #[test]
    fn a_wrong_file_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consent.toml");
        fs::write(&path, "usage = true\ndiagnostics = true\n").unwrap();
        let message = Consent::read(&path).unwrap_err().to_string();
        assert!(message.contains("line 2") && message.contains("diagnostics"), "{message}");
    }

    #[test]
    fn what_is_not_allowed_is_taken_away() {
        let reading = |class: i32| Reading { data_class: class, ..Reading::default() };
        let mut readings: Vec<Reading> = (-1..=9).map(reading).collect();
        Consent { usage: true, ..Consent::default() }.filter(&mut readings);
        let left: Vec<i32> = readings.iter().map(|reading| reading.data_class).collect();
        assert_eq!(left, [DataClass::Essential, DataClass::Usage].map(i32::from));
    }
}
