//! Finding out where the spool stood from what its files hold.

use std::collections::VecDeque;

use super::{
    Set,
    file::{Header, Mark, Record, Scan},
};

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
