//! Streams that end when the server stops or the caller's token does.

use std::{
    pin::Pin,
    task::{Context as Task, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::{auth::Caller, status::refused};
use crate::{
    model::refusal::{Reason, Refusal},
    service::stop::Stop,
};

/// What ends a stream.
pub struct Ending {
    /// The server's stop.
    pub stop: Stop,
    /// Whose right it is.
    pub caller: Caller,
}

impl Ending {
    async fn reached(self) -> Refusal {
        let token_ended = async {
            match &self.caller {
                Caller::Token(caller) => caller.ended().await,
                Caller::Device(_) | Caller::Anyone => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stop.raised() => Refusal::new(
                Reason::Unavailable,
                "the server is stopping",
                "connect again; another server, or the same one restarted, will answer",
            )
            .retry_after(std::time::Duration::from_secs(1)),
            () = token_ended => Refusal::new(
                Reason::TokenUnknown,
                "the token of this stream was revoked or has expired",
                "ask an administrator for a new one: slipway token create",
            ),
        }
    }
}

/// The body of a gRPC stream, cut off with a status when its ending is reached.
pub fn until_ended(body: Body, ending: Ending) -> impl HttpBody<Data = Bytes, Error = axum::Error> {
    UntilEnded { body, ending: Some(Box::pin(ending.reached())), is_over: false }
}

struct UntilEnded<F> {
    body: Body,
    ending: Option<Pin<Box<F>>>,
    is_over: bool,
}

impl<F: Future<Output = Refusal>> HttpBody for UntilEnded<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        // The ending first: a stream that always has something to say must end too.
        if let Some(ending) = &mut this.ending
            && let Poll::Ready(refusal) = ending.as_mut().poll(task)
        {
            this.ending = None;
            this.is_over = true;
            let mut trailers = HeaderMap::new();
            return match refused(&refusal).add_header(&mut trailers) {
                Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Err(status) => Poll::Ready(Some(Err(axum::Error::new(status)))),
            };
        }
        Pin::new(&mut this.body).poll_frame(task)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::service::stop::StopHandle;

    #[tokio::test]
    async fn a_stopping_server_ends_a_silent_stream_with_a_status() {
        let (handle, stop) = StopHandle::new();
        let silent = Body::from_stream(futures_util::stream::pending::<Result<Bytes, axum::Error>>());
        let mut body = Box::pin(until_ended(silent, Ending { stop, caller: Caller::Anyone }));
        handle.raise();
        let frame = body.frame().await.unwrap().unwrap();
        let trailers = frame.into_trailers().unwrap();
        assert_eq!(trailers.get("grpc-status").unwrap(), "14");
        assert!(body.frame().await.is_none());
    }
}
