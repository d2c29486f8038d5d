//! Where each segment of an artifact stands.

use slipway_trust::{Artifact, Sha256};
use thiserror::Error;

/// Bytes in a segment, the last one excepted: what a device holds in memory, and loses to a cut line.
pub const SEGMENT_SIZE: u32 = 1 << 20;
/// Largest frame of a segment: data that does not shrink grows by a few bytes, never by 64 KiB.
pub const FRAME_MAX: usize = SEGMENT_SIZE as usize + 64 * 1024;

/// One segment's place and digest, as a signed manifest has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segment {
    index: u32,
    offset: u64,
    len: u32,
    digest: Sha256,
}

impl Segment {
    pub(crate) fn new(index: u32, offset: u64, len: u32, digest: Sha256) -> Self {
        Self { index, offset, len, digest }
    }

    /// Position among the segments of its artifact, from 0.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Where in the artifact it starts, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes in it, decoded; never 0.
    #[expect(clippy::len_without_is_empty, reason = "no segment is empty")]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Digest of the decoded bytes, which is also the name of its object.
    pub fn digest(&self) -> Sha256 {
        self.digest
    }
}

/// Why an artifact has no segments.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LayoutError {
    /// The list of digests does not fit the size.
    #[error("{digests} digests are listed for {segments} segments")]
    Count {
        /// Digests listed.
        digests: usize,
        /// Segments that the size makes.
        segments: u64,
    },
    /// A segment size of zero or above 1 MiB.
    #[error("a segment size of {0} bytes is not between 1 and 1,048,576")]
    SegmentSize(u32),
    /// Nothing to install, or more than 2^32 segments.
    #[error("an artifact of {0} bytes cannot be cut")]
    Size(u64),
}

/// Every segment of an artifact, in order.
pub fn segments(artifact: &Artifact) -> Result<Vec<Segment>, LayoutError> {
    let size = u64::from(artifact.segment_size);
    if artifact.segment_size == 0 || artifact.segment_size > SEGMENT_SIZE {
        return Err(LayoutError::SegmentSize(artifact.segment_size));
    }
    let count = artifact.segment_count();
    if count == 0 || u32::try_from(count).is_err() {
        return Err(LayoutError::Size(artifact.size));
    }
    if artifact.segments.len() as u64 != count {
        return Err(LayoutError::Count { digests: artifact.segments.len(), segments: count });
    }
    let place = |(index, digest): (u32, &Sha256)| {
        let offset = u64::from(index) * size;
        let len = size.min(artifact.size - offset);
        Segment::new(index, offset, u32::try_from(len).unwrap_or(SEGMENT_SIZE), *digest)
    };
    Ok((0..).zip(&artifact.segments).map(place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(size: u64, segment_size: u32, digests: usize) -> Artifact {
        Artifact {
            component: "system".to_owned(),
            hardware: vec!["gw-a".to_owned()],
            size,
            digest: Sha256::of(b""),
            segment_size,
            segments: vec![Sha256::of(b"x"); digests],
        }
    }

    #[test]
    fn segments_cover_the_artifact_once() {
        for (size, expected) in
            [(1, vec![1]), (4096, vec![4096]), (4097, vec![4096, 1]), (12_000, vec![4096, 4096, 3808])]
        {
            let placed = segments(&artifact(size, 4096, expected.len())).expect("fits");
            assert_eq!(placed.iter().map(Segment::len).collect::<Vec<_>>(), expected);
            let mut next = 0;
            for (index, segment) in placed.iter().enumerate() {
                assert_eq!((segment.index() as usize, segment.offset()), (index, next));
                next += u64::from(segment.len());
            }
            assert_eq!(next, size);
        }
    }

    #[test]
    fn a_layout_that_does_not_add_up_is_refused() {
        assert_eq!(segments(&artifact(4097, 4096, 1)), Err(LayoutError::Count { digests: 1, segments: 2 }));
        assert_eq!(segments(&artifact(4097, 4096, 3)), Err(LayoutError::Count { digests: 3, segments: 2 }));
        assert_eq!(segments(&artifact(0, 4096, 0)), Err(LayoutError::Size(0)));
        assert_eq!(segments(&artifact(1, 0, 1)), Err(LayoutError::SegmentSize(0)));
        assert_eq!(segments(&artifact(1, 1 << 21, 1)), Err(LayoutError::SegmentSize(1 << 21)));
        assert_eq!(segments(&artifact(u64::MAX, 1, 1)), Err(LayoutError::Size(u64::MAX)));
    }
}
