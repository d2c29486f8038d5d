//! Segments: which are there, and taking in those that are not.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use slipway_payload::{DecodeError, FRAME_MAX, check_frame};
use slipway_trust::Sha256;

use super::{Context, Error, Result};
use crate::{
    model::refusal::{Reason, Refusal},
    objects::ObjectsError,
};

/// Most segments asked for in one call: 64 GiB of artifact, a request of 2 MiB.
pub const MAX_ASKED: usize = 65_536;
/// Questions to the object store at once: hides the latency of a bucket, and a folder does not mind.
const ASKED_AT_ONCE: usize = 32;

/// Of the segments named, those that are not stored, in the same order. Looks at existence only.
pub async fn missing(ctx: &Context, digests: &[Sha256]) -> Result<Vec<Sha256>> {
    let lookups = digests.iter().copied().map(|digest| async move {
        let length = ctx.objects.length(&digest).await?;
        Ok::<_, ObjectsError>(length.is_none().then_some(digest))
    });
    let found: Vec<Option<Sha256>> = stream::iter(lookups).buffered(ASKED_AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// Stores one segment when it decodes to its digest. Returns the bytes stored; none when the server
/// had it already.
///
/// One that is there is read and checked: what rotted on the medium is replaced by what came.
pub async fn store(ctx: &Context, digest: Sha256, frame: Bytes) -> Result<Option<u64>> {
    if frame.len() > FRAME_MAX {
        return Err(refused(DecodeError::FrameTooLarge { digest, length: frame.len() }).into());
    }
    let length = frame.len() as u64;
    checked(digest, frame.clone()).await?.map_err(refused)?;
    match ctx.objects.get(&digest).await {
        Ok(stored) if stored == frame || checked(digest, stored.clone()).await?.is_ok() => return Ok(None),
        Ok(_) | Err(ObjectsError::TooLarge { .. }) => {
            tracing::warn!(%digest, "a stored segment was corrupt; it is replaced by the one that was uploaded");
        }
        Err(ObjectsError::NotFound(_)) => {}
        Err(other) => return Err(other.into()),
    }
    ctx.objects.put(&digest, frame).await?;
    Ok(Some(length))
}

/// Decodes beside the threads that answer polls: a megabyte takes milliseconds.
async fn checked(digest: Sha256, frame: Bytes) -> Result<std::result::Result<u32, DecodeError>> {
    tokio::task::spawn_blocking(move || check_frame(&digest, &frame))
        .await
        .map_err(|error| Error::Internal(format!("checking segment {digest}: {error}")))
}

fn refused(error: DecodeError) -> Refusal {
    let reason = match error {
        DecodeError::FrameTooLarge { .. } => Reason::SegmentTooLarge,
        DecodeError::Digest { .. } | DecodeError::Length { .. } | DecodeError::Frame { .. } => {
            Reason::SegmentDigestMismatch
        }
    };
    Refusal::new(
        reason,
        error.to_string(),
        "the file changed while it was uploaded, or the line broke it: publish it again",
    )
    .field("frame")
    .fact("code", error.code())
}

/// Refuses a question that is too long.
pub fn check_asked(count: usize) -> std::result::Result<(), Refusal> {
    if count <= MAX_ASKED {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::TooManySegments,
        format!("{count} segments are asked for; one call takes {MAX_ASKED}"),
        format!("ask in several calls of {MAX_ASKED}"),
    )
    .field("digests"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(bytes: &[u8]) -> (Sha256, Bytes) {
        (Sha256::of(bytes), Bytes::from(slipway_payload::encode(bytes).unwrap()))
    }

    async fn reason(ctx: &Context, digest: Sha256, frame: Bytes) -> Reason {
        match store(ctx, digest, frame).await {
            Err(Error::Refused(refusal)) => refusal.reason,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_segment_is_stored_once() {
        let ctx = Context::for_test().await;
        let (digest, frame) = segment(b"one");
        let (other, _) = segment(b"two");
        assert_eq!(missing(&ctx, &[digest, other]).await.unwrap(), [digest, other]);
        assert_eq!(store(&ctx, digest, frame.clone()).await.unwrap(), Some(frame.len() as u64));
        assert_eq!(store(&ctx, digest, frame).await.unwrap(), None);
        assert_eq!(missing(&ctx, &[other, digest]).await.unwrap(), [other]);
    }

    #[tokio::test]
    async fn what_does_not_decode_to_its_digest_is_not_stored() {
        let ctx = Context::for_test().await;
        let (digest, frame) = segment(&[7; 5000]);
        let mut flipped = frame.to_vec();
        *flipped.last_mut().unwrap() ^= 1;
        let (_, foreign) = segment(b"something else");
        for bad in [Bytes::from(flipped), foreign, Bytes::new(), Bytes::from_static(b"no frame")] {
            assert_eq!(reason(&ctx, digest, bad).await, Reason::SegmentDigestMismatch);
        }
        assert_eq!(reason(&ctx, digest, vec![0; FRAME_MAX + 1].into()).await, Reason::SegmentTooLarge);
        assert_eq!(missing(&ctx, &[digest]).await.unwrap(), [digest]);
    }

    #[tokio::test]
    async fn a_frame_that_grows_without_end_is_refused() {
        let ctx = Context::for_test().await;
        let large = vec![0; 8 * 1024 * 1024];
        // The encoder refuses it; the attacker's does not.
        let frame = zstd_of_zeros();
        assert_eq!(reason(&ctx, Sha256::of(&large), frame).await, Reason::SegmentDigestMismatch);
    }

    /// A frame of 64 blocks of 128 KiB, each one repeated byte: 8 MiB out of 270 bytes (RFC 8878, 3.1.1).
    fn zstd_of_zeros() -> Bytes {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
        for block in 0..64_u32 {
            let header = (128 * 1024) << 3 | 1 << 1 | u32::from(block == 63);
            frame.extend_from_slice(&header.to_le_bytes()[..3]);
            frame.push(0);
        }
        frame.into()
    }

    #[tokio::test]
    async fn a_segment_that_rotted_is_healed_by_the_next_upload() {
        let ctx = Context::for_test().await;
        let (digest, frame) = segment(&[3; 9000]);
        for rotten in [Bytes::from_static(b"rotten"), Bytes::new(), vec![1; FRAME_MAX + 9].into()] {
            ctx.objects.put(&digest, rotten).await.unwrap();
            assert!(store(&ctx, digest, frame.clone()).await.unwrap().is_some());
            assert_eq!(ctx.objects.get(&digest).await.unwrap(), frame);
        }
    }

    #[test]
    fn questions_have_a_limit() {
        assert!(check_asked(MAX_ASKED).is_ok());
        assert_eq!(check_asked(MAX_ASKED + 1).unwrap_err().reason, Reason::TooManySegments);
    }
}
