//! What the client believes, as files: `<role>.json`, byte by byte as it came.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::http::quote;

/// The folder of trusted metadata.
pub struct Store(PathBuf);

impl Store {
    /// In `folder`, which exists.
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// What is stored of `role`.
    pub fn read(&self, role: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.file(role)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores `role`, all or nothing.
    pub fn write(&self, role: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(role);
        let unfinished = file.with_extension("new");
        fs::write(&unfinished, bytes)?;
        fs::rename(unfinished, file)
    }

    /// Forgets `role`.
    pub fn remove(&self, role: &str) -> io::Result<()> {
        match fs::remove_file(self.file(role)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A role may be called `../x`: its name never leaves the folder.
    fn file(&self, role: &str) -> PathBuf {
        self.0.join(format!("{}.json", quote(role)))
    }
}
