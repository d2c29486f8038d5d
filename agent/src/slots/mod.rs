//! The two places a device can run from, and the boot loader that chooses.
//!
//! Every mutation is one atomic store: a power cut leaves the old choice or the new one. Each is
//! read back, and skipped when it is already so, because after a power cut it is asked for again.

mod env;
mod file;
mod image;

#[cfg(test)]
mod contract;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use file::FileSlots;
pub use image::SlotImage;

use crate::{
    durable,
    machine::{Slot, World},
};

/// Why a slot or the boot loader cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// A file or device cannot be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The boot environment is not what this agent wrote.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// What was stored is not what is read back.
    #[error("{} does not hold what was just stored in it", path.display())]
    NotKept {
        /// The file.
        path: PathBuf,
    },
    /// The slot is in use: it runs, or it is the default.
    #[error("slot {slot} is in use and is not to be {what}")]
    InUse {
        /// The slot.
        slot: Slot,
        /// What was asked for.
        what: &'static str,
    },
    /// The slot was marked unbootable and not made bootable again.
    #[error("slot {slot} is marked unbootable")]
    Unbootable {
        /// The slot.
        slot: Slot,
    },
}

impl SlotError {
    /// Stable code for reports.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } if self.is_full() => "SLOT_STORAGE_FULL",
            Self::Io { .. } => "SLOT_IO_FAILED",
            Self::Damaged { .. } => "BOOT_ENVIRONMENT_DAMAGED",
            Self::NotKept { .. } => "BOOT_ENVIRONMENT_NOT_KEPT",
            Self::InUse { .. } => "SLOT_IN_USE",
            Self::Unbootable { .. } => "SLOT_UNBOOTABLE",
        }
    }

    /// Whether there was no space for what was to be written.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { action: "write" | "resize" | "sync", source, .. } if durable::is_full(source))
    }

    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

/// What a driver can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Largest artifact a slot can hold, in bytes; none when only the disk limits it.
    pub capacity: Option<u64>,
    /// How many boots a slot gets before the boot loader goes back to the default.
    pub tries: u32,
}

/// Two slots and a boot loader.
pub trait Slots {
    /// What the driver can do.
    ///
    /// # Errors
    /// When the boot loader cannot be asked.
    fn caps(&self) -> Result<Caps, SlotError>;

    /// What boots, what runs, what is tried.
    ///
    /// # Errors
    /// When the boot loader cannot be asked.
    fn world(&self) -> Result<World, SlotError>;

    /// The slot that runs.
    ///
    /// # Errors
    /// When the boot loader cannot be asked.
    fn active(&self) -> Result<Slot, SlotError> {
        Ok(self.world()?.running)
    }

    /// The slot that boots when nothing is tried.
    ///
    /// # Errors
    /// When the boot loader cannot be asked.
    fn default(&self) -> Result<Slot, SlotError> {
        Ok(self.world()?.default)
    }

    /// The boot loader does not use this slot until `try_next`; it is about to be written.
    ///
    /// # Errors
    /// [`SlotError::InUse`] for the running and the default slot, or when the store fails.
    fn mark_unbootable(&mut self, slot: Slot) -> Result<(), SlotError>;

    /// The next boot tries this slot; the default stays.
    ///
    /// # Errors
    /// [`SlotError::InUse`] for the running and the default slot, or when the store fails.
    fn try_next(&mut self, slot: Slot) -> Result<(), SlotError>;

    /// The slot becomes the default, and nothing is tried any more.
    ///
    /// # Errors
    /// [`SlotError::Unbootable`], or when the store fails.
    fn commit(&mut self, slot: Slot) -> Result<(), SlotError>;

    /// Opens the spare slot for writing an artifact of `size` bytes.
    ///
    /// # Errors
    /// [`SlotError::InUse`] for the running and the default slot; I/O errors.
    fn open_spare(&self, slot: Slot, size: u64) -> Result<SlotImage, SlotError>;

    /// Gives back the space of a spare slot that is marked unbootable: what is in it is worth nothing. False
    /// when there was nothing to give back, as on a partition, which takes the same space whatever it holds.
    ///
    /// # Errors
    /// [`SlotError::InUse`] for a slot that may boot; I/O errors.
    fn empty_spare(&self, slot: Slot) -> Result<bool, SlotError>;

    /// Opens a slot for reading.
    ///
    /// # Errors
    /// I/O errors.
    fn open(&self, slot: Slot) -> Result<SlotImage, SlotError>;

    /// Where the content of a slot is found, for health commands and people.
    fn path(&self, slot: Slot) -> PathBuf;

    /// Reboots. When it returns, the agent has to start over as after a boot.
    ///
    /// # Errors
    /// When the reboot cannot be asked for.
    fn reboot(&mut self) -> Result<(), SlotError>;
}
