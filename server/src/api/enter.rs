//! The way into every call: rule, caller, time limit, canonical log line; and the way out of
//! streams.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{
    access_table::{self, Access, Rule},
    auth::{Caller, authenticate},
    ending::{Ending, until_ended},
    http::refusal_response,
    status::{answer, refused},
    undecoded::explained,
};
use crate::{
    clock::stopwatch,
    listen::Peer,
    model::refusal::{Reason, Refusal},
    service::{Context, Error},
};

/// Everything between the connection and the handler.
pub async fn enter(State(ctx): State<Arc<Context>>, request: Request, next: Next) -> Response {
    let started = stopwatch();
    let is_grpc = is_grpc(&request);
    let Some(rule) = access_table::find(request.uri().path()) else {
        let response = unlisted(&request, is_grpc);
        ctx.metrics.call("unlisted", code_of(&response, is_grpc), started.elapsed());
        return response;
    };
    let peer = request.extensions().get::<Peer>().map(|peer| peer.addr);
    let (mut parts, body) = request.into_parts();
    let (caller, claimed, response) = match authenticate(&ctx, &rule, &mut parts).await {
        Ok(caller) => {
            if let (Caller::Token(_), Some(peer)) = (&caller, parts.extensions.get::<Peer>()) {
                peer.line.proved();
            }
            let request = Request::from_parts(parts, body);
            let response = dispatch(&ctx, &rule, &caller, request, next, is_grpc).await;
            (caller, None, response)
        }
        Err(denied) => (denied.caller, denied.claimed, failed(*denied.error, is_grpc)),
    };
    let took = started.elapsed();
    let code = code_of(&response, is_grpc);
    ctx.metrics.call(rule.method, code, took);
    log_line(&rule, &caller, claimed.as_deref(), peer, code, took);
    if is_storage_full(&response, is_grpc) && ctx.metrics.storage_full(ctx.clock.now()) {
        tracing::warn!(
            method = rule.method,
            "the disk of the database or the object store is full: what would need room is refused"
        );
    }
    response
}

async fn dispatch(
    ctx: &Context,
    rule: &Rule,
    caller: &Caller,
    request: Request,
    next: Next,
    is_grpc: bool,
) -> Response {
    let Ok(response) = timeout(rule.limit, next.run(request)).await else {
        let refusal = Refusal::new(
            Reason::Unavailable,
            format!("{} took longer than {} s and was given up", rule.method, rule.limit.as_secs()),
            "try again; the call may have had its effect",
        )
        .retry_after(Duration::from_secs(5));
        return failed(refusal.into(), is_grpc);
    };
    let response = if is_grpc { explained(response, rule) } else { response };
    if !rule.is_stream {
        return response;
    }
    let ending = Ending { stop: ctx.stop.clone(), caller: caller.clone() };
    response.map(|body| Body::new(until_ended(body, ending)))
}

fn is_grpc(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// Fails closed: what nobody classified is not dispatched, whoever asks.
fn unlisted(request: &Request, is_grpc: bool) -> Response {
    let path = request.uri().path();
    if path.starts_with(access_table::PACKAGE) {
        let refusal = Refusal::new(
            Reason::RoleRequired,
            "nobody may call this method",
            "check the name of the method; a newer server may have it",
        );
        return failed(refusal.into(), is_grpc);
    }
    if is_grpc {
        return Status::unimplemented("there is no such service here").into_http();
    }
    let mut response = Response::new(Body::from("not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn failed(error: Error, is_grpc: bool) -> Response {
    let refusal = answer(error);
    if is_grpc { refused(&refusal).into_http() } else { refusal_response(&refusal) }
}

/// Whether a call was refused because there is no room.
fn is_storage_full(response: &Response, is_grpc: bool) -> bool {
    if !is_grpc {
        return response.status() == StatusCode::INSUFFICIENT_STORAGE;
    }
    Status::from_header_map(response.headers())
        .filter(|status| status.code() == Code::ResourceExhausted)
        .and_then(|status| status.get_details_error_info())
        .is_some_and(|info| info.reason == Reason::StorageFull.code())
}

/// The name of the status. Calls that fail after their head count as what the head said.
fn code_of(response: &Response, is_grpc: bool) -> &'static str {
    if is_grpc {
        return match Status::from_header_map(response.headers()) {
            Some(status) => code_name(status.code()),
            None => "OK",
        };
    }
    match response.status().as_u16() {
        200..=399 => "OK",
        401 | 403 => "DENIED",
        400..=499 => "REFUSED",
        _ => "FAILED",
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// One line per call. What devices do all day when all is well is only shown on demand.
fn log_line(
    rule: &Rule,
    caller: &Caller,
    claimed: Option<&str>,
    peer: Option<std::net::SocketAddr>,
    code: &str,
    took: Duration,
) {
    let is_public = matches!(rule.access, Access::Public | Access::LocalOr(_));
    let is_routine = code == "OK" && (is_public || matches!(caller, Caller::Device(_)));
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let peer = peer.map(tracing::field::display);
    if is_routine {
        if tracing::enabled!(target: "slipwayd::call", tracing::Level::DEBUG) {
            let caller = caller.name();
            tracing::debug!(target: "slipwayd::call", method = rule.method, caller, code, micros, peer, "call");
        }
    } else if tracing::enabled!(target: "slipwayd::call", tracing::Level::INFO) {
        let caller = caller.name();
        tracing::info!(target: "slipwayd::call", method = rule.method, caller, claimed, code, micros, peer, "call");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_codes() {
        let status = refused(&Refusal::new(Reason::EtagMismatch, "a", "b"));
        assert_eq!(code_of(&status.into_http(), true), "ABORTED");
        assert_eq!(code_of(&Response::new(Body::empty()), true), "OK");
    }

    #[test]
    fn a_full_disk_is_seen_in_either_protocol() {
        let answers = |reason| {
            let refusal = Refusal::new(reason, "a", "b");
            [(refused(&refusal).into_http(), true), (refusal_response(&refusal), false)]
        };
        assert!(answers(Reason::StorageFull).iter().all(|(answer, grpc)| is_storage_full(answer, *grpc)));
        assert!(!answers(Reason::Internal).iter().any(|(answer, grpc)| is_storage_full(answer, *grpc)));
        let [(too_large, _), _] = answers(Reason::MessageTooLarge);
        assert!(!is_storage_full(&too_large, true));
    }
}
