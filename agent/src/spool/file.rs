//! One file of the spool.
//!
//! ```text
//! file   = "SLS" schema:u8  first:u64 sequence:u64 acknowledged:u64  crc32c:u32  record*  zeros
//! record = length:u32  crc32c:u32  kind:u8  body          (little-endian; the checksum covers kind and body)
//! set    = number:u64  readings:u64  SendTelemetryRequest without a sequence
//! mark   = sequence:u64  first:u64  last:u64  nonce:16     (batch `sequence` is the sets first..=last; the
//!                                                          first versions wrote no nonce)
//! ack    = last:u64                                       (the server has every set up to it)
//! ```
//!
//! The header repeats where the spool stood when the file was begun, so that older files can go. The
//! file is allocated whole: a disk that fills up later cannot keep a mark from being written.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use prost::Message as _;
use rustix::fs::FallocateFlags;
use slipway_proto::v1::SendTelemetryRequest;

use crate::durable;

const MAGIC: &[u8; 4] = b"SLS\x01";
const HEADER: usize = 32;
const RECORD_HEADER: usize = 9;
/// A set has at most 500 readings of some 200 bytes.
const BODY_LIMIT: usize = 1 << 20;
/// Nobody counts as far as this; what says so is no record, whatever its checksum.
const NUMBER_LIMIT: u64 = 1 << 62;

/// Where the spool stood when a file was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Header {
    /// Number of the first set that can be in the file.
    pub first: u64,
    /// Sequence of the last batch made before.
    pub sequence: u64,
    /// The server has every set up to this.
    pub acknowledged: u64,
}

/// What a record says. A set is left in the file; this is where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    Set { number: u64, place: Place, readings: usize },
    Mark(Mark),
    Ack { last: u64 },
}

/// A batch: its sequence, its sets, and what tells it from the batch of a copy of this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub sequence: u64,
    pub first: u64,
    pub last: u64,
    /// None for a batch that was marked before there were nonces: the server may have it without one.
    pub nonce: Option<Nonce>,
}

/// Drawn when a batch is marked.
pub(super) type Nonce = [u8; 16];

/// A record's bytes within its file, with its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub offset: u64,
    pub length: usize,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub header: Header,
    pub records: Vec<Record>,
    /// Where the next record goes.
    pub end: u64,
    /// Something after the end is neither a record nor zeros.
    pub torn: bool,
}

/// A file that is appended to.
#[derive(Debug)]
pub(super) struct Active {
    file: File,
    pub length: u64,
}

pub(super) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.spool"))
}

/// Numbers of the files in a folder, in order.
pub(super) fn list(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number: Option<u64> = name.to_str().and_then(|name| name.strip_suffix(".spool")?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads a file; nothing when it is none of ours, or its header is damaged.
pub(super) fn scan(path: &Path, limit: u64) -> io::Result<Option<Scan>> {
    // Twice the size: another limit may have been configured when it was written.
    let limit = limit.saturating_mul(2).max(1 << 20);
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file() || found.len() > limit) {
        return Ok(None);
    }
    let bytes = durable::read_optional(path, limit)?.unwrap_or_default();
    let Some(header) = parse_header(&bytes) else { return Ok(None) };
    let mut scan = Scan { header, end: HEADER as u64, ..Scan::default() };
    let mut rest = &bytes[HEADER..];
    while let Some((kind, body)) = parse_record(rest) {
        let length = RECORD_HEADER + body.len();
        let place = Place { offset: scan.end, length };
        let Some(record) = read_record(kind, body, place) else { break };
        scan.records.push(record);
        scan.end += length as u64;
        rest = &rest[length..];
    }
    scan.torn = rest.iter().any(|byte| *byte != 0);
    Ok(Some(scan))
}

/// Takes a file out of the spool that [`scan`] found to be none: it is deleted, and what cannot be is renamed.
pub(super) fn set_aside(path: &Path) -> io::Result<()> {
    durable::remove(path).or_else(|_| fs::rename(path, path.with_extension("damaged")))
}

impl Active {
    /// Begins a file of `size` bytes.
    pub fn create(path: &Path, header: Header, size: u64) -> io::Result<Self> {
        durable::replace(path, &header_bytes(header), durable::PLAIN)?;
        let active = Self::open(path, HEADER as u64, size);
        if active.is_err() {
            let _ = fs::remove_file(path);
        }
        active
    }

    /// Goes on with a file after its record that ends at `length`; what lies behind is wiped.
    pub fn open(path: &Path, length: u64, size: u64) -> io::Result<Self> {
        let active = Self { file: OpenOptions::new().read(true).write(true).open(path)?, length };
        active.wipe(size)?;
        active.file.sync_all()?;
        Ok(active)
    }

    /// Appends a record; after an error the file is as before.
    pub fn append(&mut self, kind: u8, body: &[u8], size: u64) -> io::Result<Place> {
        let mut record = Vec::with_capacity(RECORD_HEADER + body.len());
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(&checksum(kind, body).to_le_bytes());
        record.push(kind);
        record.extend_from_slice(body);
        if let Err(error) = self.file.write_all_at(&record, self.length) {
            // What was written half would be taken for damage; if wiping fails too, opening does it.
            let _ = self.wipe(size);
            return Err(error);
        }
        durable::wrote(record.len());
        let place = Place { offset: self.length, length: record.len() };
        self.length += record.len() as u64;
        Ok(place)
    }

    #[cfg(test)]
    pub fn read_only(path: &Path, length: u64) -> Self {
        Self { file: File::open(path).unwrap(), length }
    }

    #[cfg(test)]
    pub fn read_write(path: &Path, length: u64) -> Self {
        Self { file: OpenOptions::new().write(true).open(path).unwrap(), length }
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn wipe(&self, size: u64) -> io::Result<()> {
        self.file.set_len(self.length)?;
        if size <= self.length {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, size) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The body of the set at `place`, if it is still what was written.
pub(super) fn read_set(path: &Path, place: Place) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; place.length];
    File::open(path)?.read_exact_at(&mut bytes, place.offset)?;
    let set = parse_record(&bytes).and_then(|(_, body)| body.get(16..)).map(<[u8]>::to_vec);
    Ok(set)
}

pub(super) const SET: u8 = 1;
pub(super) const MARK: u8 = 2;
pub(super) const ACK: u8 = 3;

pub(super) fn set_body(number: u64, readings: usize, set: &SendTelemetryRequest) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.extend((readings as u64).to_le_bytes());
    body.extend(set.encode_to_vec());
    body
}

pub(super) fn mark_body(mark: Mark) -> Vec<u8> {
    let numbers = [mark.sequence, mark.first, mark.last];
    let mut body: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    body.extend(mark.nonce.iter().flatten());
    body
}

fn read_record(kind: u8, body: &[u8], place: Place) -> Option<Record> {
    let number = |index: usize| {
        let bytes = body.get(index * 8..index * 8 + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?)).filter(|number| *number < NUMBER_LIMIT)
    };
    match kind {
        SET => Some(Record::Set { number: number(0)?, place, readings: usize::try_from(number(1)?).ok()? }),
        MARK => Some(Record::Mark(Mark {
            sequence: number(0)?,
            first: number(1)?,
            last: number(2)?,
            nonce: body.get(24..40).and_then(|bytes| bytes.try_into().ok()),
        })),
        ACK => Some(Record::Ack { last: number(0)? }),
        _ => None,
    }
}

fn parse_record(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let length = usize::try_from(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?)).ok()?;
    let sum = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    if length == 0 || length > BODY_LIMIT {
        return None;
    }
    let kind = *bytes.get(8)?;
    let body = bytes.get(RECORD_HEADER..RECORD_HEADER + length)?;
    (checksum(kind, body) == sum).then_some((kind, body))
}

fn checksum(kind: u8, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&[kind]), body)
}

fn header_bytes(header: Header) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for number in [header.first, header.sequence, header.acknowledged] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let sum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn parse_header(bytes: &[u8]) -> Option<Header> {
    let (header, sum) = bytes.get(..HEADER)?.split_at(HEADER - 4);
    let intact = header.starts_with(MAGIC) && crc32c::crc32c(header).to_le_bytes() == sum;
    let number = |index: usize| {
        let bytes = header.get(4 + index * 8..12 + index * 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?)).filter(|number| *number < NUMBER_LIMIT)
    };
    let header = Header { first: number(0)?, sequence: number(1)?, acknowledged: number(2)? };
    intact.then_some(header)
}
