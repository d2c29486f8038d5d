//! Verified documents, and what offering one did.

use serde::{Deserialize, Serialize};

/// A document that was verified, with its bytes exactly as received: those are what to persist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<T> {
    /// What it says.
    pub body: T,
    /// What was signed and hashed.
    pub bytes: Vec<u8>,
}

/// What an offered document did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is held now: persist it before offering the next.
    Accepted,
    /// The one held is as new; nothing to do.
    Unchanged,
}

/// What a new root did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootStep {
    /// Version of the root that is trusted now.
    pub version: u64,
    /// Roles whose documents are no longer held, because their keys changed: delete their files.
    pub dropped: Vec<String>,
}

/// Versions held; 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each field is named for its document")]
pub struct Versions {
    pub root: u64,
    pub timestamp: u64,
    pub snapshot: u64,
    pub targets: u64,
    pub product: u64,
    pub assignment: u64,
}
