//! Finding out where the spool stood from what its files hold.

use std::{collections::VecDeque, io, path::Path};

use super::{
    Limits, Set, SpoolError,
    file::{self, Header, Mark, Record, Scan},
};

/// What lies in a spool that somebody else may be at work on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Peeked {
    /// Readings that the server does not have.
    pub waiting: usize,
    /// Files with something that is no record.
    pub damaged: usize,
    /// What the files may take together.
    pub bytes: u64,
}

/// Looks into the spool in `folder` without changing it; one that is not there is empty.
///
/// # Errors
/// When a file cannot be read.
pub fn peek(folder: &Path, limits: Limits) -> Result<Peeked, SpoolError> {
    let failed = |action, path: &Path| {
        let path = path.to_path_buf();
        move |source| SpoolError { action, path, source }
    };
    let numbers = match file::list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(failed("list", folder))?,
    };
    let mut found = Found::default();
    for number in numbers {
        let path = file::path(folder, number);
        match file::scan(&path, limits.file).map_err(failed("read", &path))? {
            Some(scan) => found.take(number, &scan),
            None => found.damaged += 1,
        }
    }
    let waiting = found.pending.iter().map(|set| set.readings).sum();
    Ok(Peeked { waiting, damaged: found.damaged, bytes: found.files.len() as u64 * limits.file })
}

/// What the files say together, read in order.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Numbers of the files, oldest first.
    pub files: VecDeque<u64>,
    /// Sets that the server does not have.
    pub pending: VecDeque<Set>,
    /// The last batch that was marked.
    pub mark: Option<Mark>,
    /// Where the spool stood.
    pub at: Header,
    /// Files with something that is no record.
    pub damaged: usize,
}

impl Found {
    /// Takes the next file.
    pub fn take(&mut self, number: u64, scan: &Scan) {
        self.files.push_back(number);
        self.damaged += usize::from(scan.torn);
        self.at.first = self.at.first.max(scan.header.first);
        self.at.sequence = self.at.sequence.max(scan.header.sequence);
        self.acknowledge(scan.header.acknowledged);
        for record in &scan.records {
            match *record {
                Record::Set { number: set, place, readings } => {
                    self.at.first = self.at.first.max(set + 1);
                    if set > self.at.acknowledged {
                        self.pending.push_back(Set { number: set, file: number, place, readings });
                    }
                }
                Record::Mark(mark) => {
                    self.at.sequence = self.at.sequence.max(mark.sequence);
                    self.mark = Some(mark);
                }
                Record::Ack { last } => self.acknowledge(last),
            }
        }
    }

    fn acknowledge(&mut self, last: u64) {
        self.at.acknowledged = self.at.acknowledged.max(last);
        self.pending.retain(|set| set.number > last);
    }
}
