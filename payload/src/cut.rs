//! Cutting an artifact while it is read, once, in the memory of one segment.

use std::io::{self, Read};

use slipway_trust::{Artifact, Sha256};
use thiserror::Error;

use crate::segment::{SEGMENT_SIZE, Segment};

/// What an artifact turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Size in bytes.
    pub size: u64,
    /// Digest of the whole.
    pub digest: Sha256,
    /// Digest of each segment, in order.
    pub segments: Vec<Sha256>,
}

impl Cut {
    /// The entry of a release manifest.
    pub fn into_artifact(self, component: &str, hardware: Vec<String>) -> Artifact {
        Artifact {
            component: component.to_owned(),
            hardware,
            size: self.size,
            digest: self.digest,
            segment_size: SEGMENT_SIZE,
            segments: self.segments,
        }
    }
}

/// Why an artifact was not cut.
#[derive(Debug, Error)]
pub enum CutError<E> {
    /// Nothing to install.
    #[error("the artifact is empty")]
    Empty,
    /// More segments than can be numbered.
    #[error("the artifact has more than {} segments", u32::MAX)]
    TooLarge,
    /// Reading failed.
    #[error("reading the artifact failed")]
    Read(#[source] io::Error),
    /// Whoever takes the segments failed.
    #[error(transparent)]
    Sink(E),
}

/// Reads an artifact to its end and hands out each segment with its place and digest.
pub fn cut<R: Read, E>(
    mut reader: R,
    mut each: impl FnMut(&Segment, &[u8]) -> Result<(), E>,
) -> Result<Cut, CutError<E>> {
    let mut whole = Sha256::hasher();
    let mut digests = Vec::new();
    let mut size = 0;
    let mut buffer = Vec::with_capacity(SEGMENT_SIZE as usize);
    loop {
        buffer.clear();
        reader.by_ref().take(u64::from(SEGMENT_SIZE)).read_to_end(&mut buffer).map_err(CutError::Read)?;
        if buffer.is_empty() {
            break;
        }
        let index = u32::try_from(digests.len()).map_err(|_| CutError::TooLarge)?;
        let len = u32::try_from(buffer.len()).map_err(|_| CutError::TooLarge)?;
        let digest = Sha256::of(&buffer);
        each(&Segment::new(index, size, len, digest), &buffer).map_err(CutError::Sink)?;
        whole.update(&buffer);
        digests.push(digest);
        size += u64::from(len);
    }
    if digests.is_empty() {
        return Err(CutError::Empty);
    }
    Ok(Cut { size, digest: whole.finish(), segments: digests })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::segment::segments;

    /// A reader that returns a few bytes at a time, as pipes do.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(buffer.len()).min(70_001);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn the_cut_is_the_layout() {
        let image: Vec<u8> = (0..2_500_000u32).map(|n| (n / 977) as u8).collect();
        let mut places = Vec::new();
        let mut rebuilt = Vec::new();
        let cut = cut(Dribble(&image), |segment, bytes| {
            places.push(*segment);
            rebuilt.extend_from_slice(bytes);
            Ok::<(), Infallible>(())
        })
        .expect("cuts");
        assert_eq!(rebuilt, image);
        assert_eq!((cut.size, cut.digest), (image.len() as u64, Sha256::of(&image)));
        let artifact = cut.into_artifact("system", vec!["gw-a".to_owned()]);
        assert_eq!(segments(&artifact).expect("fits"), places);
    }

    #[test]
    fn nothing_and_a_failing_sink_are_errors() {
        let take = |_: &Segment, _: &[u8]| Ok::<(), Infallible>(());
        assert!(matches!(cut(&b""[..], take), Err(CutError::Empty)));
        let refuse = |_: &Segment, _: &[u8]| Err("full");
        assert!(matches!(cut(&b"x"[..], refuse), Err(CutError::Sink("full"))));
    }
}
