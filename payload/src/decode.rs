//! From untrusted bytes to a verified segment: bounded, and checked before anybody sees it.

use std::fmt;

use slipway_trust::Sha256;
use thiserror::Error;
use zstd::bulk::Decompressor;

use crate::segment::{FRAME_MAX, SEGMENT_SIZE, Segment};

/// Decoded bytes that have the digest the signed manifest lists for their place.
///
/// Only this module makes one. Whoever writes a slot takes this type and nothing else, and so
/// cannot write what was not verified, or write it to another place.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedSegment {
    segment: Segment,
    bytes: Vec<u8>,
}

impl VerifiedSegment {
    /// Which segment of the artifact it is, from 0.
    pub fn index(&self) -> u32 {
        self.segment.index()
    }

    /// Where in the slot it belongs, in bytes.
    pub fn offset(&self) -> u64 {
        self.segment.offset()
    }

    /// What belongs there.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for VerifiedSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedSegment({:?})", self.segment)
    }
}

/// Why bytes are not the segment that was signed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Other bytes than the publisher signed.
    #[error("segment {expected} decodes to bytes with the SHA-256 {found}")]
    Digest {
        /// Digest in the manifest.
        expected: Sha256,
        /// Digest of what came.
        found: Sha256,
    },
    /// Fewer bytes than the manifest says, or more.
    #[error("segment {digest} decodes to {found} bytes, its place has {expected}")]
    Length {
        /// Digest in the manifest.
        digest: Sha256,
        /// Bytes that its place has.
        expected: usize,
        /// Bytes that came; when there are more than fit, how many were looked at.
        found: usize,
    },
    /// Not a zstd frame, or one that decodes to more than a segment may have.
    #[error("segment {digest} does not decode: {problem}")]
    Frame {
        /// Digest in the manifest.
        digest: Sha256,
        /// What the decoder says.
        problem: String,
    },
    /// More encoded bytes than a segment can need.
    #[error("segment {digest} comes in a frame of {length} bytes, more than {FRAME_MAX}")]
    FrameTooLarge {
        /// Digest in the manifest.
        digest: Sha256,
        /// Bytes of the frame.
        length: usize,
    },
}

impl DecodeError {
    /// Every code that [`DecodeError::code`] can answer.
    pub const CODES: &'static [&'static str] = &[
        "SEGMENT_DIGEST_MISMATCH",
        "SEGMENT_LENGTH_MISMATCH",
        "SEGMENT_FRAME_INVALID",
        "SEGMENT_FRAME_TOO_LARGE",
    ];

    /// The stable reason, in SCREAMING_SNAKE_CASE.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Digest { .. } => "SEGMENT_DIGEST_MISMATCH",
            Self::Length { .. } => "SEGMENT_LENGTH_MISMATCH",
            Self::Frame { .. } => "SEGMENT_FRAME_INVALID",
            Self::FrameTooLarge { .. } => "SEGMENT_FRAME_TOO_LARGE",
        }
    }
}

/// Decodes the frame of `segment`. Memory is bounded by the segment's own length, whatever the frame
/// claims.
pub fn decode(segment: &Segment, frame: &[u8]) -> Result<VerifiedSegment, DecodeError> {
    let bytes = decompress(segment.digest(), frame, segment.len() as usize)?;
    verify_plain(segment, bytes)
}

/// Takes bytes that are decoded already, read back from a slot or copied from another.
pub fn verify_plain(segment: &Segment, bytes: Vec<u8>) -> Result<VerifiedSegment, DecodeError> {
    let (digest, expected) = (segment.digest(), segment.len() as usize);
    if bytes.len() != expected {
        return Err(DecodeError::Length { digest, expected, found: bytes.len() });
    }
    let found = Sha256::of(&bytes);
    if found != digest {
        return Err(DecodeError::Digest { expected: digest, found });
    }
    Ok(VerifiedSegment { segment: *segment, bytes })
}

/// Whether `bytes`, read back from the segment's place, are right already.
pub fn matches(segment: &Segment, bytes: &[u8]) -> bool {
    bytes.len() == segment.len() as usize && Sha256::of(bytes) == segment.digest()
}

/// For a store that takes frames under their digest: the decoded length, when the frame decodes to
/// bytes of that digest.
pub fn check_frame(digest: &Sha256, frame: &[u8]) -> Result<u32, DecodeError> {
    let bytes = decompress(*digest, frame, SEGMENT_SIZE as usize)?;
    let found = Sha256::of(&bytes);
    if found != *digest {
        return Err(DecodeError::Digest { expected: *digest, found });
    }
    match u32::try_from(bytes.len()) {
        Ok(length @ 1..) => Ok(length),
        _ => Err(DecodeError::Length { digest: *digest, expected: 1, found: bytes.len() }),
    }
}

fn decompress(digest: Sha256, frame: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    if frame.len() > FRAME_MAX {
        return Err(DecodeError::FrameTooLarge { digest, length: frame.len() });
    }
    let failed = |error: std::io::Error| DecodeError::Frame { digest, problem: error.to_string() };
    let mut bytes = Vec::with_capacity(limit);
    let mut decompressor = Decompressor::new().map_err(failed)?;
    // Writes into the capacity given and fails when that is not enough: no window, no growth.
    decompressor.decompress_to_buffer(frame, &mut bytes).map_err(failed)?;
    if bytes.len() > limit {
        return Err(DecodeError::Length { digest, expected: limit, found: bytes.len() });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::encode;

    fn segment(bytes: &[u8]) -> Segment {
        Segment::new(3, 3 << 20, bytes.len() as u32, Sha256::of(bytes))
    }

    fn code(result: Result<VerifiedSegment, DecodeError>) -> Result<(), &'static str> {
        result.map(drop).map_err(|error| error.code())
    }

    #[test]
    fn what_was_encoded_comes_back_with_its_place() {
        for bytes in [vec![0; 1 << 20], b"x".to_vec(), (0..5000).map(|n| (n * n % 251) as u8).collect()] {
            let verified = decode(&segment(&bytes), &encode(&bytes).expect("encodes")).expect("verifies");
            assert_eq!(verified.bytes(), bytes);
            assert_eq!((verified.index(), verified.offset()), (3, 3 << 20));
            assert_eq!(
                check_frame(&Sha256::of(&bytes), &encode(&bytes).expect("encodes")),
                Ok(bytes.len() as u32)
            );
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes: Vec<u8> = (0..600).map(|n| (n * 31 % 251) as u8).collect();
        let (segment, frame) = (segment(&bytes), encode(&bytes).expect("encodes"));
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Some header bits say nothing; what comes through must be what was signed.
            if let Ok(verified) = decode(&segment, &flipped) {
                assert_eq!(verified.bytes(), bytes);
            }
        }
        for end in 0..frame.len() {
            assert!(decode(&segment, &frame[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn other_bytes_are_named_for_what_is_wrong() {
        let right = vec![7; 4096];
        let wanted = segment(&right);
        let frame = |bytes: &[u8]| encode(bytes).expect("encodes");
        assert_eq!(code(decode(&wanted, &frame(&right))), Ok(()));
        assert_eq!(code(decode(&wanted, &frame(&[8; 4096]))), Err("SEGMENT_DIGEST_MISMATCH"));
        assert_eq!(code(decode(&wanted, &frame(&[7; 4095]))), Err("SEGMENT_LENGTH_MISMATCH"));
        assert_eq!(code(decode(&wanted, &[])), Err("SEGMENT_LENGTH_MISMATCH"));
        assert_eq!(code(decode(&wanted, b"not a frame")), Err("SEGMENT_FRAME_INVALID"));
        assert_eq!(code(decode(&wanted, &vec![0; FRAME_MAX + 1])), Err("SEGMENT_FRAME_TOO_LARGE"));
        assert_eq!(code(verify_plain(&wanted, right.clone())), Ok(()));
        assert!(matches(&wanted, &right) && !matches(&wanted, &right[1..]));
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        // 1 MiB of zeros takes some 50 bytes, for a place of 16.
        let bomb = encode(&vec![0; 1 << 20]).expect("encodes");
        assert_eq!(code(decode(&segment(&[0; 16]), &bomb)), Err("SEGMENT_FRAME_INVALID"));
        let twice = [bomb.clone(), bomb].concat();
        let digest = Sha256::of(&vec![0; 1 << 20]);
        assert!(check_frame(&digest, &twice).is_err());
    }

    #[test]
    fn data_that_does_not_shrink_stays_within_the_frame_limit() {
        let mut state = 1u64;
        let noise: Vec<u8> = (0..1 << 20)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        let frame = encode(&noise).expect("encodes");
        assert!(frame.len() <= FRAME_MAX);
        assert_eq!(decode(&segment(&noise), &frame).expect("verifies").bytes(), noise);
    }
}
