//! Answers that come to an end: none is slower than a bad line, and none is longer than the longest that
//! means anything. Without this a server could hold a call for ever, and the device would neither hear nor
//! say anything more.

use std::{
    fmt,
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Response;
use http_body::{Frame, SizeHint};
use prost::bytes::Bytes;
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body, transport::Channel};
use tower::util::MapResponse;

/// Slower than this much in this time is as good as nothing: 1 KiB/s over a minute.
pub const SLOWEST_BYTES: usize = 60 << 10;
const SLOWEST_WINDOW: Duration = Duration::from_secs(60);

/// A connection whose answers come to an end.
pub type Paced = MapResponse<Channel, fn(Response<Body>) -> Response<Body>>;

/// Answers of `channel`, each of at most `LIMIT` bytes.
pub fn paced<const LIMIT: usize>(channel: Channel) -> Paced {
    MapResponse::new(channel, |answer| answer.map(|body| Body::new(Answer::new(body, LIMIT))))
}

/// Why an answer was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaceError {
    /// Below 1 KiB/s for a minute.
    Slow,
    /// More bytes than any answer has.
    TooLong,
}

impl fmt::Display for PaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slow => "the server sends less than 1 KiB/s",
            Self::TooLong => "the server's answer does not end",
        })
    }
}

impl std::error::Error for PaceError {}

struct Answer {
    body: Body,
    /// Bytes that may still come.
    left: usize,
    /// Bytes of this window, and its end.
    came: usize,
    window: Pin<Box<Sleep>>,
}

impl Answer {
    fn new(body: Body, limit: usize) -> Self {
        Self { body, left: limit, came: 0, window: Box::pin(sleep(SLOWEST_WINDOW)) }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let fail = |error: PaceError| Poll::Ready(Some(Err(Status::from_error(Box::new(error)))));
        // Asked whether anything came or not: what comes without end and says nothing is as slow.
        if self.window.as_mut().poll(task).is_ready() {
            return fail(PaceError::Slow);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(task));
        let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) else {
            return Poll::Ready(frame);
        };
        let Some(left) = self.left.checked_sub(data.len()) else { return fail(PaceError::TooLong) };
        let came = self.came + data.len();
        self.left = left;
        self.came = came;
        if came >= SLOWEST_BYTES {
            self.came = 0;
            self.window = Box::pin(sleep(SLOWEST_WINDOW));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    /// A frame of `size` bytes every so many seconds.
    fn every(seconds: u64, size: usize, frames: usize) -> Answer {
        let frames = stream::unfold(frames, move |left| async move {
            let next = left.checked_sub(1)?;
            if seconds > 0 {
                sleep(Duration::from_secs(seconds)).await;
            }
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; size]))), next))
        });
        Answer::new(Body::new(StreamBody::new(Box::pin(frames))), 1 << 20)
    }

    async fn outcome(answer: Answer) -> Result<usize, PaceError> {
        let cause = |status: &Status| {
            let cause = std::error::Error::source(status).and_then(|cause| cause.downcast_ref()).copied();
            cause.expect("a reason of this file")
        };
        answer.collect().await.map(|all| all.to_bytes().len()).map_err(|status| cause(&status))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_in_time_and_within_its_limit() {
        assert_eq!(outcome(every(0, 1000, 1000)).await, Ok(1_000_000));
        assert_eq!(outcome(every(0, 1000, usize::MAX)).await, Err(PaceError::TooLong));
        // 2 KiB/s, for minutes.
        assert_eq!(outcome(every(1, 2 << 10, 300)).await, Ok(600 << 10));
        assert_eq!(outcome(every(1, 1000, 300)).await, Err(PaceError::Slow));
        assert_eq!(outcome(every(1, 1, 300)).await, Err(PaceError::Slow));
        assert_eq!(outcome(every(1, 1, 50)).await, Ok(50), "the end comes before the minute");
        assert_eq!(outcome(every(100_000, 1, 1)).await, Err(PaceError::Slow));
    }
}
