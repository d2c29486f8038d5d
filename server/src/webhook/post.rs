//! One attempt to bring one event to one webhook.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use http::{
    Request, StatusCode,
    header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT},
};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::time::{sleep, timeout};
use url::Url;

use super::{Outbound, sign::signatures};
use crate::{
    clock::stopwatch,
    model::{delivery::Answer, event::Event, time::Timestamp, webhook::Webhook},
};

/// From looking the name up to the head of the answer. Standard Webhooks recommends 15 to 30 s.
pub(super) const ATTEMPT: Duration = Duration::from_secs(15);
/// What is read of an answer: its head. Nothing of the body is: only the status counts, and what an address says to us
/// is told to nobody.
const HEAD: usize = 16 * 1024;
/// Headers of an answer.
const HEADERS: usize = 64;

impl Outbound {
    /// Sends an event once. Never an error: what went wrong is the answer.
    ///
    /// Whoever has a scope may set an address in a network that the operator allowed, and is told of an attempt that got
    /// no answer only that (`deliveries::told`). Neither does he learn it by a watch: without an answer the attempt
    /// takes all of its time, whether the name was none, the address was refused, or the port was closed.
    pub async fn post(&self, webhook: &Webhook, event: &Event, now: Timestamp) -> Answer {
        let started = stopwatch();
        let answer = match timeout(self.patience, self.attempt(webhook, event, now)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => failed(error),
            Err(_) => failed(format!("no answer within {} s", self.patience.as_secs())),
        };
        if answer.http_status == 0 && !webhook.scope.is_empty() {
            sleep(self.patience.saturating_sub(started.elapsed())).await;
        }
        answer
    }

    async fn attempt(&self, webhook: &Webhook, event: &Event, now: Timestamp) -> Result<Answer, String> {
        let url = Url::parse(&webhook.url).map_err(|error| error.to_string())?;
        let body = event.body(&self.source).ok_or("the stored event cannot be read")?;
        let request = request(webhook, &url, event, body, now)?;
        let stream = self.connect(&url).await?;
        let broke = |error: hyper::Error| format!("the connection broke: {}", crate::chain::chain(&error));
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD)
            .max_headers(HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broke)?;
        // Both are dropped with the answer's head, and the connection with them.
        let mut answer = pin!(sender.send_request(request));
        let answer = tokio::select! {
            answer = &mut answer => answer,
            // Ended, with or without an answer: now it is known which.
            _ = connection => answer.await,
        };
        read(&answer.map_err(broke)?)
    }
}

fn request(
    webhook: &Webhook,
    url: &Url,
    event: &Event,
    body: String,
    now: Timestamp,
) -> Result<Request<Full<Bytes>>, String> {
    let seconds = now.seconds();
    let host = match (url.host_str().unwrap_or_default(), url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    };
    Request::post(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(HOST, host)
        .header(USER_AGENT, concat!("slipwayd/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/cloudevents+json; charset=utf-8")
        .header("webhook-id", &event.id)
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", signatures(webhook, &event.id, seconds, &body, now))
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| format!("no request can be made of it: {error}"))
}

fn read(answer: &http::Response<Incoming>) -> Result<Answer, String> {
    let status = answer.status();
    let error = match status {
        _ if status.is_success() => String::new(),
        _ if status.is_redirection() => {
            format!("the receiver answered {}; redirects are not followed", words(status))
        }
        _ => format!("the receiver answered {}", words(status)),
    };
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(Answer { http_status: status.as_u16(), error, retry_after: retry_after.map(Duration::from_secs) })
}

fn words(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

fn failed(error: String) -> Answer {
    Answer { http_status: 0, error, retry_after: None }
}
