//! Sends the segments that the server lacks. One is in hand and one on the way, whatever the image's size.

use std::{collections::HashSet, sync::Arc};

use futures_util::stream;
use slipway_payload::Segment;
use slipway_proto::v1;
use slipway_trust::Sha256;
use tokio::{sync::mpsc, task};

use crate::{
    connect::Api,
    error::Failure,
    output::Console,
    progress::Progress,
    publish::image::Image,
    retry::{Backoff, Stop},
};

/// Digests asked for in one call: about half a megabyte.
const ASK_MAX: usize = 16_384;
/// In a row, each after a longer pause: about a minute.
const ATTEMPTS: u32 = 8;

/// What was sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Segments the server did not have.
    pub segments: u64,
    /// Their bytes, decoded.
    pub decoded: u64,
    /// Their bytes, as sent.
    pub encoded: u64,
}

/// The segments that the server lacks, each digest once, in the order of the image.
///
/// # Errors
/// What the server says.
pub async fn missing(api: &Api, segments: &[Segment]) -> Result<Vec<Segment>, Failure> {
    let mut backoff = Backoff::default();
    loop {
        match ask_missing(api, &distinct(segments)).await {
            Ok(missing) => return Ok(missing),
            Err(status) => backoff.pause(status, ATTEMPTS).await?,
        }
    }
}

async fn ask_missing(api: &Api, segments: &[Segment]) -> Result<Vec<Segment>, tonic::Status> {
    let mut missing = Vec::new();
    for part in segments.chunks(ASK_MAX) {
        let digests = part.iter().map(|segment| segment.digest().as_bytes().to_vec()).collect();
        let answer = api.releases().find_missing_segments(v1::FindMissingSegmentsRequest { digests }).await?;
        let lacking: HashSet<Vec<u8>> = answer.into_inner().digests.into_iter().collect();
        missing
            .extend(part.iter().filter(|segment| lacking.contains(segment.digest().as_bytes().as_slice())));
    }
    Ok(missing)
}

fn distinct(segments: &[Segment]) -> Vec<Segment> {
    let mut seen: HashSet<Sha256> = HashSet::with_capacity(segments.len());
    segments.iter().filter(|segment| seen.insert(segment.digest())).copied().collect()
}

/// Bytes of segments, decoded.
pub fn bytes_of(segments: &[Segment]) -> u64 {
    segments.iter().map(|segment| u64::from(segment.len())).sum()
}

/// Sends what is missing. After a connection broke it asks again what is missing, and goes on there.
///
/// # Errors
/// What the server says; an image that changed.
pub async fn upload(
    api: &Api,
    image: &Arc<Image>,
    mut left: Vec<Segment>,
    console: &Console,
) -> Result<Sent, Failure> {
    let mut sent = Sent { segments: left.len() as u64, decoded: bytes_of(&left), encoded: 0 };
    let mut progress = Progress::new(console, "sending", sent.decoded);
    let mut backoff = Backoff::default();
    while !left.is_empty() {
        let before = left.len();
        match send(api, image, &left, &mut progress, &mut sent.encoded).await {
            Ok(()) => break,
            Err(stop) => backoff.pause_stream(stop, ATTEMPTS, console).await?,
        }
        left = missing(api, &left).await?;
        if left.len() < before {
            backoff.reset();
        }
        progress.restart(bytes_of(&left));
    }
    progress.finish();
    Ok(sent)
}

/// One call. The reader runs beside it, at most one segment ahead.
async fn send(
    api: &Api,
    image: &Arc<Image>,
    segments: &[Segment],
    progress: &mut Progress,
    encoded: &mut u64,
) -> Result<(), Stop> {
    let (frames, mut queue) = mpsc::channel::<v1::UploadSegmentsRequest>(1);
    let requests = stream::poll_fn(move |context| queue.poll_recv(context));
    let mut client = api.releases();
    let call = client.upload_segments(requests);
    let read = async {
        // Moved in, so that the stream ends when the reader does.
        let frames = frames;
        for segment in segments {
            let frame = encode(image, *segment).await?;
            let length = frame.len() as u64;
            let request = v1::UploadSegmentsRequest { digest: segment.digest().as_bytes().to_vec(), frame };
            if frames.send(request).await.is_err() {
                // The call is over; its answer says why.
                return Ok(());
            }
            *encoded += length;
            progress.add(u64::from(segment.len()));
        }
        Ok::<(), Failure>(())
    };
    let (answer, read) = tokio::join!(call, read);
    read?;
    answer?;
    Ok(())
}

async fn encode(image: &Arc<Image>, segment: Segment) -> Result<Vec<u8>, Failure> {
    let image = image.clone();
    let work = move || {
        let bytes = image.read(&segment)?;
        slipway_payload::encode(&bytes)
            .map_err(|error| Failure::bug(format!("a segment cannot be compressed: {error}")))
    };
    task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::bug(format!("reading the image stopped: {error}")))?
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, io::Cursor};

    use super::*;

    #[test]
    fn equal_segments_are_sent_once() {
        let image = [vec![0u8; 1 << 20], vec![1; 1 << 20], vec![0; 1 << 20], vec![2; 7]].concat();
        let mut segments = Vec::new();
        slipway_payload::cut(Cursor::new(image), |segment, _| {
            segments.push(*segment);
            Ok::<(), Infallible>(())
        })
        .unwrap();
        let once = distinct(&segments);
        assert_eq!(once.iter().map(Segment::index).collect::<Vec<_>>(), [0, 1, 3]);
        assert_eq!(bytes_of(&once), (2 << 20) + 7);
    }
}
