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
