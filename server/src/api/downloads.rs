//! Bytes over plain HTTP: segments for devices, and the signed metadata as TUF clients ask for it.

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    middleware::from_fn,
    response::{IntoResponse as _, Response},
    routing::get,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
        IF_RANGE, RANGE,
    },
};

mod pace;

use super::http::refusal_response;
use crate::{
    chain::chain,
    model::{
        range::{self, Asked},
        refusal::{Reason, Refusal},
        release::hex_digest,
    },
    objects::ObjectsError,
    service::{Context, Error, manifests},
};

/// A segment never changes; who may read it is asked at every request, so no shared cache keeps it.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// Signed and public, and its name says its version.
const IMMUTABLE_PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// The timestamp is what tells new from old.
const FRESH: HeaderValue = HeaderValue::from_static("no-cache");

/// `/segments/{digest}` and `/tuf/…`. Callers were checked before.
pub fn routes() -> Router<Context> {
    Router::new()
        .route("/segments/{digest}", get(segment))
        .route("/tuf/metadata/{file}", get(metadata))
        .route("/tuf/targets/{*path}", get(target))
        .layer(from_fn(pace::paced))
}

/// One frame, or a stretch of it (RFC 9110, single ranges; others are answered whole).
async fn segment(
    State(ctx): State<Context>,
    Path(name): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let Some(digest) = hex_digest(&name) else { return missing() };
    let length = match ctx.objects.length(&digest).await {
        Ok(Some(length)) => length,
        Ok(None) => return missing(),
        Err(error) => return failed(error.into()),
    };
    let Ok(tag) = HeaderValue::try_from(format!("\"{name}\"")) else { return missing() };
    let mut response = Response::new(Body::empty());
    let answer = response.headers_mut();
    answer.insert(ETAG, tag.clone());
    answer.insert(CACHE_CONTROL, IMMUTABLE);
    answer.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if headers.get(IF_NONE_MATCH).is_some_and(|known| names_tag(known, &tag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    // A range of something else than the client holds a part of would be a wrong patch.
    let same = headers.get(IF_RANGE).is_none_or(|held| *held == tag);
    let range = headers.get(RANGE).filter(|_| same && method == Method::GET);
    let asked =
        range.and_then(|range| range.to_str().ok()).map_or(Asked::Whole, |text| range::parse(text, length));
    let part = match asked {
        Asked::Whole => None,
        Asked::Part(part) => Some(part),
        Asked::Beyond => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            response.headers_mut().insert(CONTENT_RANGE, text(format!("bytes */{length}")));
            return response;
        }
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/zstd"));
    if method == Method::HEAD {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        return response;
    }
    let is_part = part.is_some();
    let download = match ctx.objects.download(&digest, part).await {
        Ok(download) => download,
        Err(ObjectsError::NotFound(_)) => return missing(),
        Err(error) => return failed(error.into()),
    };
    let sent = download.range;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(sent.end - sent.start));
    if is_part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {}-{}/{length}", sent.start, sent.end.saturating_sub(1));
        response.headers_mut().insert(CONTENT_RANGE, text(range));
    }
    *response.body_mut() = Body::from_stream(download.stream);
    response
}

/// `timestamp.json`, `{version}.{role}.json`.
async fn metadata(State(ctx): State<Context>, Path(name): Path<String>) -> Response {
    let caching = if name == "timestamp.json" { FRESH } else { IMMUTABLE_PUBLIC };
    match ctx.trust.metadata_file(&name) {
        Some(bytes) => json(bytes, caching),
        None => missing(),
    }
}

/// A release manifest, under its own path or under either form with its digest in front.
async fn target(State(ctx): State<Context>, Path(path): Path<String>) -> Response {
    match manifests::read(&ctx, &path).await {
        Ok(Some((bytes, named_by_digest))) => {
            json(bytes, if named_by_digest { IMMUTABLE_PUBLIC } else { FRESH })
        }
        Ok(None) => missing(),
        Err(error) => failed(error),
    }
}

fn json(bytes: Bytes, caching: HeaderValue) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, caching)], bytes).into_response()
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, "not found\n").into_response()
}

fn failed(error: Error) -> Response {
    match error {
        Error::Refused(refusal) => refusal_response(&refusal),
        other => {
            tracing::error!(error = %chain(&other), "a download failed by our own fault");
            refusal_response(&Refusal::new(
                Reason::Internal,
                "the server failed; its log has the cause",
                "try again; if it stays, send the log to whoever runs the server",
            ))
        }
    }
}

fn names_tag(header: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(header), Ok(tag)) = (header.to_str(), tag.to_str()) else { return false };
    header.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

fn text(value: String) -> HeaderValue {
    // Digits and fixed words: always a header value.
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests;
