//! Loading what a device stored: floors, never an obstacle to start.

use crate::assignment::Assignment;
use crate::document::Document;
use crate::error::Error;
use crate::set::{TARGETS, TrustedSet, verify_delegated};

/// Files as the device stored them; what is not there is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stored<'a> {
    /// `timestamp.json`.
    pub timestamp: Option<&'a [u8]>,
    /// `snapshot.json`.
    pub snapshot: Option<&'a [u8]>,
    /// `targets.json`.
    pub targets: Option<&'a [u8]>,
    /// `<product>.json`, by product.
    pub products: &'a [(&'a str, &'a [u8])],
    /// `assignment.json`.
    pub assignment: Option<&'a [u8]>,
}

impl TrustedSet {
    /// Starts from what was stored. Expired files are welcome: they still say what may not be older.
    /// A file that does not verify (its keys rotated, or the medium failed) is left out and named in
    /// the list, and will be fetched again. Only a bad root is an error.
    pub fn load(root: &[u8], stored: Stored<'_>, device: &str) -> Result<(Self, Vec<Error>), Error> {
        let mut set = Self::from_root(root)?;
        let mut left_out = Vec::new();
        set.load_online(stored, &mut left_out);
        set.load_targets(stored, &mut left_out);
        if let Some(bytes) = stored.assignment {
            set.assignment = keep(set.load_assignment(device, bytes), bytes, &mut left_out);
        }
        Ok((set, left_out))
    }

    /// Timestamp and snapshot stand or fall together: when a root took the keys of one away and the
    /// power went before both files were deleted, the other must not survive as a floor.
    fn load_online(&mut self, stored: Stored<'_>, left_out: &mut Vec<Error>) {
        let before = left_out.len();
        let timestamp =
            stored.timestamp.and_then(|bytes| keep(self.verify_timestamp(bytes), bytes, left_out));
        let snapshot = stored.snapshot.and_then(|bytes| keep(self.verify_snapshot(bytes), bytes, left_out));
        if left_out.len() == before {
            self.timestamp = timestamp;
            self.snapshot = snapshot;
        }
    }

    fn load_targets(&mut self, stored: Stored<'_>, left_out: &mut Vec<Error>) {
        let Some(bytes) = stored.targets else { return };
        self.targets = keep(self.verify_targets(bytes), bytes, left_out);
        for (product, bytes) in stored.products {
            let verified = self
                .authority(TARGETS, product)
                .and_then(|authority| verify_delegated(product, bytes, &authority));
            if let Some(held) = keep(verified, bytes, left_out) {
                self.delegated.insert((TARGETS.to_owned(), (*product).to_owned()), held);
            }
        }
    }

    /// Without targets nobody can say who the director is: the version still counts as a floor, and
    /// the signature is checked as soon as targets are accepted. Until then nothing is assigned.
    fn load_assignment(&self, device: &str, bytes: &[u8]) -> Result<Assignment, Error> {
        if self.targets.is_some() {
            return self.verify_assignment(device, bytes);
        }
        let assignment = Assignment::parse(bytes)?;
        if assignment.device != device {
            return Err(Error::ForeignAssignment { device: device.to_owned(), found: assignment.device });
        }
        Ok(assignment)
    }
}

fn keep<T>(verified: Result<T, Error>, bytes: &[u8], left_out: &mut Vec<Error>) -> Option<Document<T>> {
    match verified {
        Ok(body) => Some(Document { body, bytes: bytes.to_vec() }),
        Err(error) => {
            left_out.push(error);
            None
        }
    }
}
