//! What is given up when there is no room: the oldest file, but for the essential readings in it.
//!
//! Those are kept once more, behind all others, as long as they are no more than half of what goes: a spool that
//! holds nothing else gives up the oldest half of them. What the server may have got already is not kept, or it
//! would have it twice.

use prost::Message as _;
use slipway_proto::v1::{DataClass, Reading, SendTelemetryRequest};

use super::{Spool, SpoolError, file};

/// What a reading takes beside its fields.
const FRAME: u64 = 4;

impl Spool {
    /// Gives up the oldest file with what is in it; false when only the active one is left.
    pub(super) fn drop_oldest(&mut self) -> Result<bool, SpoolError> {
        if self.files.len() < 2 {
            return Ok(false);
        }
        let Some(oldest) = self.files.front().copied() else { return Ok(false) };
        let last = self.pending.iter().take_while(|set| set.file == oldest).last().map(|set| set.number);
        let torn = self.in_flight.filter(|mark| last.is_some_and(|last| last >= mark.first));
        let before = self.saved.len();
        self.save_essential(oldest, torn.map_or(0, |mark| mark.last));
        // A batch that reaches into the next file goes as a whole.
        let last = last.max(torn.map(|mark| mark.last));
        let given_up = last.map_or(0, |last| self.forget(last)) + before as u64;
        self.dropped += given_up.saturating_sub(self.saved.len() as u64);
        self.remove(oldest)?;
        Ok(true)
    }

    /// Takes the essential readings of a file aside, but for the sets up to `handed_out`.
    fn save_essential(&mut self, file: u64, handed_out: u64) {
        let path = file::path(&self.folder, file);
        for set in
            self.pending.iter().take_while(|set| set.file == file).filter(|set| set.number > handed_out)
        {
            // What cannot be read any more would not have been sent either.
            let body = file::read_set(&path, set.place).ok().flatten();
            let request = body.and_then(|body| SendTelemetryRequest::decode(&*body).ok()).unwrap_or_default();
            let essential = |reading: &Reading| reading.data_class() == DataClass::Essential;
            self.saved.extend(request.readings.into_iter().filter(essential));
        }
        let mut room = self.limits.file / 2;
        let fits = |reading: &&Reading| {
            let size = reading.encoded_len() as u64 + FRAME;
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        };
        let newest = self.saved.iter().rev().take_while(fits).count();
        self.saved.drain(..self.saved.len() - newest);
    }
}
