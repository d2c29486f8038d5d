//! Streams what is missing into the spare slot: one segment in memory, verified before it is written.

use rand::Rng;
use slipway_payload::{DecodeError, FRAME_MAX, Segment, VerifiedSegment};
use slipway_trust::Sha256;
use tokio::time::sleep;

use crate::{
    link::{GetError, Source},
    machine::{Progress, Reason},
    schedule::backoff,
    slots::{SlotError, SlotImage},
};

/// Progress is made durable after this many bytes: at most so much is looked at again after a power cut.
const CHECKPOINT: u64 = 16 << 20;
/// A segment that arrives wrong, or that the server does not have, is asked for so often.
const TRIES: u32 = 3;

/// Why the artifact is not in the slot.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A segment never arrived as the publisher signed it.
    #[error("segment {index} arrived wrong {TRIES} times: {source}")]
    Wrong {
        /// Which.
        index: u32,
        /// What was wrong the last time.
        source: DecodeError,
    },
    /// The server does not give out a segment.
    #[error("segment {index} cannot be fetched: {source}")]
    Refused {
        /// Which.
        index: u32,
        /// What it said the last time.
        source: GetError,
    },
    /// The slot cannot be used.
    #[error(transparent)]
    Slot(#[from] SlotError),
}

impl FetchError {
    /// Whether there was no space for the artifact.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Slot(error) if error.is_full())
    }

    /// For the report.
    pub fn reason(&self) -> Reason {
        let code = match self {
            Self::Wrong { source, .. } => source.code(),
            Self::Refused { .. } => "SEGMENT_UNAVAILABLE",
            Self::Slot(error) => error.code(),
        };
        Reason::new(code, crate::link::chain(self))
    }
}

/// What is said on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// So much is right in the slot, and synced.
    Checkpoint(Progress),
    /// The network does not work at the moment.
    Trouble(Reason),
}

/// Brings every segment into the slot that is not in it yet; synced when this returns. What the bitmap
/// claims is believed; everything else is read back first and fetched only when it differs.
///
/// # Errors
/// [`FetchError`]. Network errors are none: they are waited out until somebody stops this.
pub async fn fetch(
    source: &impl Source,
    image: &SlotImage,
    segments: &[Segment],
    mut progress: Progress,
    rng: &mut impl Rng,
    mut note: impl FnMut(Note),
) -> Result<Progress, FetchError> {
    let mut zeros = Zeros::default();
    let mut buffer = Vec::new();
    let mut unsynced = Vec::new();
    let mut unsynced_bytes = 0;
    for segment in segments {
        if progress.done.has(segment.index()) {
            continue;
        }
        buffer.resize(segment.len() as usize, 0);
        image.read_at(&mut buffer, segment.offset())?;
        if !slipway_payload::matches(segment, &buffer) {
            let verified = match zeros.verified(segment) {
                Some(verified) => verified,
                None => get(source, segment, &mut progress, rng, &mut note).await?,
            };
            image.write(&verified)?;
            progress.written += u64::from(segment.len());
        }
        unsynced.push(segment.index());
        unsynced_bytes += u64::from(segment.len());
        if unsynced_bytes >= CHECKPOINT {
            settle(image, &mut progress, &mut unsynced)?;
            unsynced_bytes = 0;
            note(Note::Checkpoint(progress.clone()));
        }
        // Reading back a slot that is right already never waits for anything else.
        tokio::task::yield_now().await;
    }
    settle(image, &mut progress, &mut unsynced)?;
    Ok(progress)
}

/// Only what is synced is claimed.
fn settle(image: &SlotImage, progress: &mut Progress, unsynced: &mut Vec<u32>) -> Result<(), SlotError> {
    image.sync()?;
    for index in unsynced.drain(..) {
        progress.done.set(index);
    }
    Ok(())
}

async fn get(
    source: &impl Source,
    segment: &Segment,
    progress: &mut Progress,
    rng: &mut impl Rng,
    note: &mut impl FnMut(Note),
) -> Result<VerifiedSegment, FetchError> {
    let index = segment.index();
    let path = format!("/segments/{}", segment.digest());
    let (mut wrong, mut refused, mut pauses) = (0, 0, 0);
    let mut frame = Vec::new();
    loop {
        let before = frame.len();
        let arrived = source.get(&path, &mut frame, FRAME_MAX).await;
        // A restart from the first byte may leave less than there was.
        progress.fetched += frame.len().saturating_sub(before) as u64;
        if frame.len() > before {
            pauses = 0;
        }
        match arrived {
            Ok(()) => match slipway_payload::decode(segment, &frame) {
                Ok(verified) => return Ok(verified),
                Err(source) => {
                    wrong += 1;
                    frame.clear();
                    if wrong >= TRIES {
                        return Err(FetchError::Wrong { index, source });
                    }
                }
            },
            Err(error) if error.is_passing() => {
                pauses += 1;
                note(Note::Trouble(Reason::new("DOWNLOAD_INTERRUPTED", format!("segment {index}: {error}"))));
                sleep(backoff(pauses, rng)).await;
            }
            Err(source) => {
                refused += 1;
                frame.clear();
                if refused >= TRIES {
                    return Err(FetchError::Refused { index, source });
                }
                sleep(backoff(refused, rng)).await;
            }
        }
    }
}

/// Segments of nothing but zeros are not fetched.
#[derive(Default)]
struct Zeros {
    known: Option<(u32, Sha256)>,
}

impl Zeros {
    fn verified(&mut self, segment: &Segment) -> Option<VerifiedSegment> {
        let len = segment.len();
        let digest = match self.known {
            Some((known, digest)) if known == len => digest,
            _ => {
                let digest = Sha256::of(&vec![0; len as usize]);
                self.known = Some((len, digest));
                digest
            }
        };
        if digest != segment.digest() {
            return None;
        }
        slipway_payload::verify_plain(segment, vec![0; len as usize]).ok()
    }
}

/// Reads a slot back from the medium and compares it with what the publisher signed.
///
/// # Errors
/// I/O errors; `SLOT_DIGEST_MISMATCH` as a reason otherwise.
pub async fn read_back(image: &SlotImage, size: u64, digest: Sha256) -> Result<(), Reason> {
    const BLOCK: u64 = 1 << 20;
    image.forget_cache();
    let mut hasher = Sha256::hasher();
    let mut buffer = vec![0; BLOCK as usize];
    let mut offset = 0;
    while offset < size {
        let len = BLOCK.min(size - offset);
        let block = &mut buffer[..len as usize];
        image
            .read_at(block, offset)
            .map_err(|error| Reason::new(error.code(), crate::link::chain(&error)))?;
        hasher.update(block);
        offset += len;
        tokio::task::yield_now().await;
    }
    let found = hasher.finish();
    if found != digest {
        return Err(Reason::new(
            "SLOT_DIGEST_MISMATCH",
            format!("the slot holds an artifact with digest {found}, the publisher signed {digest}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
