//! Downloads move, or their connection ends: whoever asks and does not take holds no memory for long.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll, ready},
    time::Duration,
};

use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{sync::watch, time::timeout};

use crate::{limits, listen::Peer, service::lines::Line};

/// Sends the body of the answer in pieces, and closes the connection when the other end takes none.
pub(super) async fn paced(request: Request, next: Next) -> Response {
    let line = request.extensions().get::<Peer>().map(|peer| peer.line.clone());
    let response = next.run(request).await;
    match line {
        Some(line) if !response.body().is_end_stream() => {
            response.map(|body| Body::new(pieces(body, line, limits::STALLED)))
        }
        _ => response,
    }
}

/// A body in pieces of [`limits::PIECE`]. The protocol asks for the next one when the other end has
/// room for it; when it does not for `within`, the line is closed.
fn pieces(body: Body, line: Arc<Line>, within: Duration) -> Pieces {
    let (taken, mut seen) = watch::channel(());
    tokio::spawn(async move {
        loop {
            match timeout(within, seen.changed()).await {
                Ok(Ok(())) => {}
                // The answer is over.
                Ok(Err(_)) => return,
                Err(_) => {
                    tracing::debug!("a download made no progress: its connection is closed");
                    return line.close();
                }
            }
        }
    });
    Pieces { body, rest: Bytes::new(), taken }
}

struct Pieces {
    body: Body,
    /// What is left of a larger piece.
    rest: Bytes,
    taken: watch::Sender<()>,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        this.taken.send_replace(());
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(task)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(limits::PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let inner = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_it_slowly_gets_it_whole_and_who_takes_nothing_is_cut_off() {
        let within = limits::STALLED;
        let line = Arc::new(Line::new(1, [192, 0, 2, 1].into(), None));
        let whole = Bytes::from(vec![7; 3 * limits::PIECE + 1]);
        let mut body = pieces(Body::from(whole.clone()), line.clone(), within);
        assert_eq!(body.size_hint().exact(), Some(whole.len() as u64));
        let mut taken = Vec::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert_eq!(piece.as_ptr(), whole[taken.len()..].as_ptr(), "not a copy");
            taken.extend_from_slice(&piece);
            assert_eq!(body.size_hint().exact(), Some((whole.len() - taken.len()) as u64));
            sleep(within * 9 / 10).await;
        }
        assert_eq!(taken, whole);
        drop(body);
        sleep(within * 2).await;
        assert!(line.closed().now_or_never().is_none());

        let mut stalled = pieces(Body::from(whole), line.clone(), within);
        stalled.frame().await.unwrap().unwrap();
        timeout(within * 2, line.closed()).await.unwrap();
    }
}
