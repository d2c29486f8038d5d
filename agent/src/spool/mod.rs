//! Readings that the server does not have yet: a bounded ring of files that survives power cuts.
//!
//! A batch is marked on disk before it is handed out: handed out again, also after a crash, it has
//! the same sequence, the same nonce and the same readings, and the server drops the repeat. A device that
//! was set back to a copy of itself uses a sequence again for other readings: the nonce tells them apart.
//! When the ring is full or the disk is, the oldest readings go first, and essential ones last (`full`). Reports
//! of updates are not here: they are in the journal, in the same record as the state they report, and are never
//! dropped.

mod error;
mod file;
mod found;
mod full;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
};

pub use error::{Recovered, SpoolError};
use file::{Active, Header, Mark, Place};
use found::Found;
pub use found::{Peeked, peek};
use prost::Message as _;
use rand::{RngExt as _, rngs::StdRng};
use slipway_proto::v1::{Reading, SendTelemetryRequest};

use crate::durable;

/// Readings in one batch: what the server takes.
pub const BATCH_READINGS: usize = 1000;
/// Readings in one set, the unit that is written and dropped: two make a batch.
const SET_READINGS: usize = BATCH_READINGS / 2;
/// Left free in every file for marks and acknowledgements, so that they do not need a new one.
const RESERVE: u64 = 4 << 10;

/// How much the spool may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of all files together.
    pub total: u64,
    /// Bytes of one file; the smallest amount that is dropped.
    pub file: u64,
}

impl Default for Limits {
    /// 4 MiB are a week of 50 readings every five minutes; 256 KiB files lose some hours at a time.
    fn default() -> Self {
        Self { total: 4 << 20, file: 256 << 10 }
    }
}

/// Where nonces come from: asked anew for each, because a generator in memory is part of what a snapshot
/// of a running machine copies.
pub type Draw = fn() -> io::Result<StdRng>;

/// A set of readings on disk.
#[derive(Debug, Clone, Copy)]
struct Set {
    number: u64,
    /// Which file it is in.
    file: u64,
    place: Place,
    readings: usize,
}

/// The spool, open.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    limits: Limits,
    draw: Draw,
    /// Numbers of the files, oldest first; the last one is appended to.
    files: VecDeque<u64>,
    active: Active,
    /// Sets that the server does not have, oldest first.
    pending: VecDeque<Set>,
    /// The batch that was handed out and not acknowledged.
    in_flight: Option<Mark>,
    /// Where the spool stands now; `first` is the number of the next set.
    at: Header,
    unsynced: bool,
    /// After a failed sync nobody knows what the file holds: go on in a new one.
    doubtful: bool,
    dropped: u64,
    /// Essential readings of files that were given up, to be kept once more.
    saved: Vec<Reading>,
}

impl Spool {
    /// Opens or makes the spool in `folder`. Sequences go on where they were; a spool that is new, or
    /// lost a part, goes on above `seed`, which has to grow from start to start (seconds since the
    /// epoch do): sequences say in which order batches were made.
    ///
    /// # Errors
    /// When files cannot be read or made. Torn and damaged ones are not errors.
    pub fn open(
        folder: &Path,
        limits: Limits,
        seed: u64,
        draw: Draw,
    ) -> Result<(Self, Recovered), SpoolError> {
        let failed = |action, path: &Path| {
            let path = path.to_path_buf();
            move |source| SpoolError { action, path, source }
        };
        durable::make_folder(folder).map_err(failed("make", folder))?;
        let mut state = Found::default();
        let mut last = None;
        for number in file::list(folder).map_err(failed("list", folder))? {
            let path = file::path(folder, number);
            match file::scan(&path, limits.file).map_err(failed("read", &path))? {
                Some(scan) => {
                    state.take(number, &scan);
                    last = Some((number, scan.end));
                }
                None => {
                    state.damaged += 1;
                    file::set_aside(&path).map_err(failed("remove", &path))?;
                }
            }
        }
        let mut at = Header { first: state.at.first.max(1), ..state.at };
        if last.is_none() || state.damaged > 0 {
            at.sequence = at.sequence.max(seed);
        }
        let active = match last {
            Some((number, end)) => {
                let path = file::path(folder, number);
                Active::open(&path, end, limits.file).map_err(failed("open", &path))?
            }
            None => {
                let path = file::path(folder, at.first);
                state.files.push_back(at.first);
                Active::create(&path, at, limits.file).map_err(failed("make", &path))?
            }
        };
        let mut spool = Self {
            folder: folder.to_path_buf(),
            limits,
            draw,
            files: state.files,
            active,
            pending: state.pending,
            in_flight: state.mark.filter(|mark| mark.last > at.acknowledged),
            at,
            unsynced: false,
            doubtful: false,
            dropped: 0,
            saved: Vec::new(),
        };
        spool.settle()?;
        Ok((spool, Recovered { damaged: state.damaged }))
    }

    /// Keeps readings. They are durable after the next [`sync`](Self::sync) or [`batch`](Self::batch).
    ///
    /// # Errors
    /// When they cannot be written; what was kept before stays, and on a full disk the oldest
    /// readings were given up first.
    pub fn append(&mut self, readings: Vec<Reading>) -> Result<(), SpoolError> {
        self.put(readings)?;
        loop {
            while self.total() > self.limits.total && self.drop_oldest()? {}
            // Half of a file at most for each that went: this ends.
            let saved = std::mem::take(&mut self.saved);
            if saved.is_empty() {
                return Ok(());
            }
            let count = saved.len() as u64;
            self.put(saved).inspect_err(|_| self.dropped += count)?;
        }
    }

    fn put(&mut self, readings: Vec<Reading>) -> Result<(), SpoolError> {
        let mut rest = readings.into_iter().peekable();
        while rest.peek().is_some() {
            let readings: Vec<Reading> = rest.by_ref().take(SET_READINGS).collect();
            let count = readings.len();
            let number = self.at.first;
            let body =
                file::set_body(number, count, &SendTelemetryRequest { readings, ..Default::default() });
            let place = self.write(file::SET, &body, RESERVE)?;
            self.at.first += 1;
            let file = self.files.back().copied().unwrap_or_default();
            self.pending.push_back(Set { number, file, place, readings: count });
        }
        Ok(())
    }

    /// The oldest batch that the server does not have, the same until it is acknowledged, and durable.
    ///
    /// # Errors
    /// When the batch cannot be marked or read.
    pub fn batch(&mut self) -> Result<Option<SendTelemetryRequest>, SpoolError> {
        let mark = match self.in_flight {
            Some(mark) => mark,
            None => match self.mark()? {
                Some(mark) => mark,
                None => return Ok(None),
            },
        };
        let mut readings = Vec::new();
        for set in self.pending.iter().take_while(|set| set.number <= mark.last) {
            let path = file::path(&self.folder, set.file);
            let body = file::read_set(&path, set.place).map_err(|source| {
                let path = path.clone();
                SpoolError { action: "read", path, source }
            })?;
            // A set that the medium lost is lost; the others are not held back by it.
            let request = body.and_then(|body| SendTelemetryRequest::decode(&*body).ok());
            readings.extend(request.unwrap_or_default().readings);
        }
        let nonce = mark.nonce.map(Vec::from).unwrap_or_default();
        Ok(Some(SendTelemetryRequest { sequence: mark.sequence, nonce, readings }))
    }

    /// The server has every batch up to `sequence`. Repeats and older ones change nothing.
    ///
    /// # Errors
    /// When that cannot be written down. The batch is then handed out again after a restart, which is
    /// harmless.
    pub fn acknowledge(&mut self, sequence: u64) -> Result<(), SpoolError> {
        let Some(mark) = self.in_flight.filter(|mark| mark.sequence <= sequence) else { return Ok(()) };
        self.forget(mark.last);
        self.write(file::ACK, &mark.last.to_le_bytes(), 0)?;
        self.remove_finished()
    }

    /// Makes everything kept so far durable.
    ///
    /// # Errors
    /// When the disk fails to.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        if !self.unsynced {
            return Ok(());
        }
        if let Err(source) = self.active.sync() {
            self.doubtful = true;
            return Err(self.error("sync", source));
        }
        self.unsynced = false;
        Ok(())
    }

    /// Readings that the server does not have.
    pub fn waiting(&self) -> usize {
        self.pending.iter().map(|set| set.readings).sum()
    }

    /// Readings that were given up since the spool was opened.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    // ---- batches -------------------------------------------------------------------------------

    fn mark(&mut self) -> Result<Option<Mark>, SpoolError> {
        let Some(first) = self.pending.front().map(|set| set.number) else { return Ok(None) };
        let mut last = first;
        let mut count = 0;
        for set in &self.pending {
            count += set.readings;
            if count > BATCH_READINGS {
                break;
            }
            last = set.number;
        }
        let mut draw = (self.draw)().map_err(|source| {
            let path = PathBuf::from("/dev/urandom");
            SpoolError { action: "draw from", path, source }
        })?;
        let mark = Mark { sequence: self.at.sequence + 1, first, last, nonce: Some(draw.random()) };
        self.write(file::MARK, &file::mark_body(mark), 0)?;
        self.at.sequence = mark.sequence;
        // Writing may have had to give up the oldest sets, those of this batch.
        let whole = self.pending.front().is_some_and(|set| set.number == first);
        self.in_flight = Some(mark);
        if !whole {
            self.abandon()?;
            return self.mark();
        }
        self.sync()?;
        Ok(Some(mark))
    }

    /// Gives up a batch that lost a part: under its sequence the server may have the whole.
    fn abandon(&mut self) -> Result<(), SpoolError> {
        let Some(mark) = self.in_flight else { return Ok(()) };
        self.dropped += self.forget(mark.last);
        self.write(file::ACK, &mark.last.to_le_bytes(), 0).map(drop)
    }

    /// Takes every set up to `last` off the list; says how many readings that were.
    fn forget(&mut self, last: u64) -> u64 {
        let mut readings = 0;
        while let Some(set) = self.pending.pop_front_if(|set| set.number <= last) {
            readings += set.readings as u64;
        }
        self.at.acknowledged = self.at.acknowledged.max(last);
        self.in_flight = self.in_flight.filter(|mark| mark.last > last);
        readings
    }

    /// After opening: a batch whose sets are not all there is given up.
    fn settle(&mut self) -> Result<(), SpoolError> {
        if let Some(mark) = self.in_flight {
            let there =
                self.pending.iter().filter(|set| (mark.first..=mark.last).contains(&set.number)).count();
            if there as u64 != mark.last - mark.first + 1 {
                self.abandon()?;
            }
        }
        self.remove_finished()
    }

    // ---- files ---------------------------------------------------------------------------------

    fn total(&self) -> u64 {
        self.files.len() as u64 * self.limits.file
    }

    /// Appends a record, in a new file when there are not `spare` bytes to go in this one. On a full
    /// disk the oldest file is given up for it: one, as somebody else may be filling the disk.
    fn write(&mut self, kind: u8, body: &[u8], spare: u64) -> Result<Place, SpoolError> {
        let mut written = self.try_write(kind, body, spare);
        if written.as_ref().is_err_and(SpoolError::disk_full) && self.drop_oldest()? {
            written = self.try_write(kind, body, spare);
        }
        self.unsynced |= written.is_ok();
        written
    }

    fn try_write(&mut self, kind: u8, body: &[u8], spare: u64) -> Result<Place, SpoolError> {
        let size = self.limits.file;
        let full = self.active.length + body.len() as u64 + spare > size;
        if full || self.doubtful {
            self.rotate()?;
        }
        self.active.append(kind, body, size).map_err(|source| self.error("write", source))
    }

    fn rotate(&mut self) -> Result<(), SpoolError> {
        if self.files.back() == Some(&self.at.first) {
            // It has no set yet: the number is taken, and a number without a set is harmless.
            self.at.first += 1;
        }
        if !self.doubtful {
            self.sync()?;
        }
        let path = file::path(&self.folder, self.at.first);
        self.active = Active::create(&path, self.at, self.limits.file).map_err(|source| SpoolError {
            action: "make",
            path,
            source,
        })?;
        self.files.push_back(self.at.first);
        (self.unsynced, self.doubtful) = (false, false);
        Ok(())
    }

    /// Files before the active one without a set that waits.
    fn remove_finished(&mut self) -> Result<(), SpoolError> {
        while self.files.len() > 1 {
            let Some(oldest) = self.files.front().copied() else { break };
            if self.pending.front().is_some_and(|set| set.file == oldest) {
                break;
            }
            self.remove(oldest)?;
        }
        Ok(())
    }

    fn remove(&mut self, number: u64) -> Result<(), SpoolError> {
        let path = file::path(&self.folder, number);
        durable::remove(&path).map_err(|source| SpoolError { action: "remove", path, source })?;
        self.files.pop_front();
        Ok(())
    }

    fn error(&self, action: &'static str, source: io::Error) -> SpoolError {
        let number = self.files.back().copied().unwrap_or_default();
        SpoolError { action, path: file::path(&self.folder, number), source }
    }
}
