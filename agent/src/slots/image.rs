//! The content of a slot.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::Advice;
use slipway_payload::VerifiedSegment;

use super::SlotError;

/// An open slot. Only verified segments can be written to it.
#[derive(Debug)]
pub struct SlotImage {
    path: PathBuf,
    file: File,
    /// It had another size when it was opened for writing.
    resized: bool,
}

impl SlotImage {
    /// Opens a file or device for reading.
    pub(super) fn read(path: &Path) -> Result<Self, SlotError> {
        let file = File::open(path).map_err(SlotError::io("open", path))?;
        Ok(Self { path: path.to_path_buf(), file, resized: false })
    }

    /// Opens a file for reading and writing and makes it `size` bytes long.
    pub(super) fn write_file(path: &Path, size: u64) -> Result<Self, SlotError> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(SlotError::io("open", path))?;
        let resized = file.metadata().map_err(SlotError::io("open", path))?.len() != size;
        file.set_len(size).map_err(SlotError::io("resize", path))?;
        Ok(Self { path: path.to_path_buf(), file, resized })
    }

    /// Whether it was made longer or shorter: then it is not as an earlier try left it.
    pub fn resized(&self) -> bool {
        self.resized
    }

    /// Reads exactly `buffer.len()` bytes at `offset`.
    ///
    /// # Errors
    /// I/O errors; the slot being shorter is one.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), SlotError> {
        self.file.read_exact_at(buffer, offset).map_err(SlotError::io("read", &self.path))
    }

    /// Writes one segment to its place.
    ///
    /// # Errors
    /// I/O errors, a full disk among them.
    pub fn write(&self, segment: &VerifiedSegment) -> Result<(), SlotError> {
        self.file.write_all_at(segment.bytes(), segment.offset()).map_err(SlotError::io("write", &self.path))
    }

    /// What was written is on the medium when this returns.
    ///
    /// # Errors
    /// I/O errors.
    pub fn sync(&self) -> Result<(), SlotError> {
        self.file.sync_all().map_err(SlotError::io("sync", &self.path))
    }

    /// Drops what the kernel cached, so that reading asks the medium. Best effort.
    pub fn forget_cache(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed);
    }
}
