//! What can go wrong with the spool, and what opening found of it.

use std::{io, path::PathBuf};

/// The spool cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct SpoolError {
    pub(super) action: &'static str,
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

impl SpoolError {
    /// The stable reason.
    pub fn code(&self) -> &'static str {
        if self.disk_full() { "SPOOL_DISK_FULL" } else { "SPOOL_IO_FAILED" }
    }

    pub(super) fn disk_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// What opening found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Files that were cut at a torn or damaged record, or left out.
    pub damaged: usize,
}
