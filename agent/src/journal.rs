//! An append-only file of records that survives power cuts.
//!
//! ```text
//! file   = "SLJ" schema:u8  record*
//! record = length:u32  crc32c:u32  sequence:u64  body      (little-endian; the checksum covers sequence and body)
//! ```
//!
//! A record is durable when `append` returns. A power cut while appending leaves a torn record at
//! the end; opening cuts it off. A bad record *followed by a good one* cannot come from a power cut:
//! that is damage, and opening says so instead of forgetting it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::durable;

const MAGIC: &[u8; 3] = b"SLJ";
/// Grows when records can no longer be read by an older agent.
const SCHEMA: u8 = 1;
const HEADER: usize = 4;
const RECORD_HEADER: usize = 16;
/// A record is one snapshot of the agent's state; its largest part is one bit per segment of an
/// artifact, 15 KiB for the largest manifest that is accepted.
const RECORD_LIMIT: usize = 1 << 20;
/// Beyond this size the file is rewritten with the last record alone.
const COMPACT_AT: u64 = 256 << 10;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A newer agent wrote it.
    #[error("{} has format {found}; this agent reads up to {SCHEMA}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u8,
    },
    /// A record larger than any that is read back.
    #[error("a record of {size} bytes is above the limit of {RECORD_LIMIT}")]
    TooLarge {
        /// Its size.
        size: usize,
    },
}

impl JournalError {
    /// Whether there is no space for another record.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if durable::is_full(source))
    }
}

/// What opening found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Body of the last good record.
    pub last: Option<Vec<u8>>,
    /// Bytes of a torn record that were cut off.
    pub torn: u64,
    /// Where the file is damaged before its last good record, or from its start.
    pub damage: Option<u64>,
}

/// The journal, open for appending.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
    sequence: u64,
    last: Vec<u8>,
}

impl Journal {
    /// Opens or makes the journal and finds its last record.
    ///
    /// # Errors
    /// [`JournalError::Io`] and [`JournalError::Newer`]. Torn and damaged files are not errors.
    pub fn open(path: &Path) -> Result<(Self, Recovered), JournalError> {
        let fail = |action| move |source| JournalError::Io { action, path: path.to_path_buf(), source };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(fail("read")(error)),
        };
        let scan = scan(path, &bytes)?;
        let fresh = bytes.len() < HEADER || scan.recovered.damage.is_some();
        if fresh {
            // Also after damage: the good record is kept, the bad bytes are not read again.
            durable::replace(path, &whole(scan.sequence, scan.recovered.last.as_deref()), durable::PLAIN)
                .map_err(fail("rewrite"))?;
        }
        let file = OpenOptions::new().write(true).mode(durable::PLAIN).open(path).map_err(fail("open"))?;
        let length = if fresh { file.metadata().map_err(fail("read"))?.len() } else { scan.end };
        if scan.recovered.torn > 0 && !fresh {
            file.set_len(length).and_then(|()| file.sync_all()).map_err(fail("cut"))?;
        }
        let last = scan.recovered.last.clone().unwrap_or_default();
        Ok((Self { path: path.to_path_buf(), file, length, sequence: scan.sequence, last }, scan.recovered))
    }

    /// Finds the last record without opening the journal for writing, also while an agent runs.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn peek(path: &Path) -> Result<Recovered, JournalError> {
        match fs::read(path) {
            Ok(bytes) => Ok(scan(path, &bytes)?.recovered),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Recovered::default()),
            Err(source) => Err(JournalError::Io { action: "read", path: path.to_path_buf(), source }),
        }
    }

    /// Appends one record; it is durable when this returns. After an error the journal is as before
    /// and can be appended to again, for example once a full disk has space.
    ///
    /// # Errors
    /// [`JournalError::TooLarge`] and [`JournalError::Io`].
    pub fn append(&mut self, body: &[u8]) -> Result<(), JournalError> {
        if body.len() > RECORD_LIMIT {
            return Err(JournalError::TooLarge { size: body.len() });
        }
        if self.length > COMPACT_AT {
            self.compact()?;
        }
        let record = record(self.sequence + 1, body);
        let written = self.file.write_all_at(&record, self.length).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // A half-written record must not stand before a later good one. Should the cut fail
            // too, the next append overwrites the same place.
            let _ = self.file.set_len(self.length);
            return Err(self.error("append to", source));
        }
        durable::wrote(record.len());
        self.length += record.len() as u64;
        self.sequence += 1;
        self.last = body.to_vec();
        Ok(())
    }

    /// Size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.length
    }

    fn compact(&mut self) -> Result<(), JournalError> {
        let bytes = whole(self.sequence, Some(&self.last));
        durable::replace(&self.path, &bytes, durable::PLAIN).map_err(|e| self.error("compact", e))?;
        self.file = OpenOptions::new().write(true).open(&self.path).map_err(|e| self.error("open", e))?;
        self.length = bytes.len() as u64;
        Ok(())
    }

    fn error(&self, action: &'static str, source: io::Error) -> JournalError {
        JournalError::Io { action, path: self.path.clone(), source }
    }
}

/// A journal file with one record or none.
fn whole(sequence: u64, body: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(SCHEMA);
    if let Some(body) = body {
        bytes.extend(record(sequence, body));
    }
    bytes
}

fn record(sequence: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(RECORD_HEADER + body.len());
    bytes.extend(length.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(sequence.to_le_bytes());
    bytes.extend(body);
    let checksum = crc32c::crc32c(&bytes[8..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

struct Scan {
    recovered: Recovered,
    sequence: u64,
    /// End of the last good record.
    end: u64,
}

fn scan(path: &Path, bytes: &[u8]) -> Result<Scan, JournalError> {
    let mut scan = Scan { recovered: Recovered::default(), sequence: 0, end: HEADER as u64 };
    let good_header = bytes.starts_with(MAGIC) && bytes.len() >= HEADER;
    if good_header && bytes[3] > SCHEMA {
        return Err(JournalError::Newer { path: path.to_path_buf(), found: bytes[3] });
    }
    if !good_header && bytes.len() >= HEADER {
        scan.recovered.damage = Some(0);
    }
    let mut at = HEADER.min(bytes.len());
    while at < bytes.len() {
        if let Some((sequence, body)) = read_record(&bytes[at..], scan.sequence) {
            scan.sequence = sequence;
            scan.recovered.last = Some(body.to_vec());
            at += RECORD_HEADER + body.len();
            scan.end = at as u64;
            continue;
        }
        // Bad here. Good again further on?
        match (at + 1..bytes.len()).find(|&next| read_record(&bytes[next..], scan.sequence).is_some()) {
            Some(next) => {
                scan.recovered.damage.get_or_insert(at as u64);
                at = next;
            }
            None => {
                scan.recovered.torn = (bytes.len() - at) as u64;
                break;
            }
        }
    }
    Ok(scan)
}

/// The record at the start of `bytes`, if it is whole, intact and newer than `after`.
fn read_record(bytes: &[u8], after: u64) -> Option<(u64, &[u8])> {
    let (header, rest) = bytes.split_at_checked(RECORD_HEADER)?;
    let length = u32::from_le_bytes(header[0..4].try_into().ok()?) as usize;
    let checksum = u32::from_le_bytes(header[4..8].try_into().ok()?);
    let sequence = u64::from_le_bytes(header[8..16].try_into().ok()?);
    if length > RECORD_LIMIT || sequence <= after {
        return None;
    }
    let body = rest.get(..length)?;
    (crc32c::crc32c(&bytes[8..RECORD_HEADER + length]) == checksum).then_some((sequence, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies() -> Vec<Vec<u8>> {
        (0..4_u8).map(|n| vec![n; 5 + usize::from(n) * 3]).collect()
    }

    fn written(folder: &Path) -> (PathBuf, Vec<u64>) {
        let path = folder.join("journal");
        let (mut journal, recovered) = Journal::open(&path).unwrap();
        assert_eq!(recovered, Recovered::default());
        let mut ends = vec![journal.size()];
        for body in bodies() {
            journal.append(&body).unwrap();
            ends.push(journal.size());
        }
        (path, ends)
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_cut_and_the_journal_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (path, ends) = written(folder.path());
        let bytes = fs::read(&path).unwrap();
        for cut in 0..=bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let (mut journal, recovered) = Journal::open(&path).unwrap();
            let whole = ends.iter().filter(|&&end| end <= cut as u64).count();
            let expected = whole.checked_sub(2).map(|n| bodies()[n].clone());
            assert_eq!(recovered.last, expected, "cut at {cut}");
            assert_eq!(recovered.damage, None, "cut at {cut}");
            journal.append(b"next").unwrap();
            drop(journal);
            let (_, recovered) = Journal::open(&path).unwrap();
            assert_eq!(recovered, Recovered { last: Some(b"next".to_vec()), torn: 0, damage: None });
        }
    }

    #[test]
    fn a_flipped_bit_is_damage_or_a_torn_tail_but_never_a_wrong_record() {
        let folder = tempfile::tempdir().unwrap();
        let (path, ends) = written(folder.path());
        let bytes = fs::read(&path).unwrap();
        for bit in HEADER * 8..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            let recovered = Journal::peek(&path).unwrap();
            if (bit / 8) < usize::try_from(ends[3]).unwrap() {
                assert!(recovered.damage.is_some(), "bit {bit} before the last record is reported");
                assert_eq!(recovered.last.as_ref(), bodies().last());
            } else {
                assert_eq!(recovered.last, Some(bodies()[2].clone()), "bit {bit}");
            }
            Journal::open(&path).unwrap();
            assert_eq!(Journal::peek(&path).unwrap().damage, None, "reported once, then rewritten");
        }
    }

    #[test]
    fn compaction_keeps_the_last_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        let body = vec![7; 100 << 10];
        for n in 0..20_u8 {
            journal.append(&[&[n], body.as_slice()].concat()).unwrap();
            assert!(journal.size() < COMPACT_AT + (101 << 10));
        }
        drop(journal);
        let (_, recovered) = Journal::open(&path).unwrap();
        assert_eq!(recovered.last.unwrap()[0], 19);
    }

    #[test]
    fn a_newer_format_and_an_oversized_record_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        fs::write(&path, b"SLJ\x02").unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::Newer { found: 2, .. })));
        fs::write(&path, b"").unwrap();
        let (mut journal, _) = Journal::open(&path).unwrap();
        assert!(matches!(journal.append(&vec![0; RECORD_LIMIT + 1]), Err(JournalError::TooLarge { .. })));
    }
}
