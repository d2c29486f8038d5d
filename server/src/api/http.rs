//! Plain HTTP: health and metrics, and refusals without gRPC around them.

use axum::{
    Router,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};

use super::status::DOMAIN;
use crate::{
    model::{
        condition::AlertCount,
        refusal::{Kind, Refusal},
    },
    service::{Context, Error, trust_expiry},
    store::conditions::living_count,
};

/// `/healthz` and `/metrics`.
pub fn routes() -> Router<Context> {
    Router::new().route("/healthz", get(healthz)).route("/metrics", get(metrics))
}

/// A refusal as JSON: `{"error": {"reason", "domain", "message", "hint"}}`.
pub fn refusal_response(refusal: &Refusal) -> Response {
    let status = match refusal.reason.kind() {
        Kind::InvalidArgument | Kind::FailedPrecondition => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::PermissionDenied => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::AlreadyExists | Kind::Aborted => StatusCode::CONFLICT,
        Kind::OutOfRange => StatusCode::RANGE_NOT_SATISFIABLE,
        Kind::ResourceExhausted => StatusCode::INSUFFICIENT_STORAGE,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal | Kind::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let body = serde_json::json!({ "error": {
        "reason": refusal.reason.code(),
        "domain": DOMAIN,
        "message": refusal.message,
        "hint": refusal.hint,
    }});
    let mut response = (status, format!("{body}\n")).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(span) = refusal.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(span.as_secs().max(1)));
    }
    response
}

/// Healthy while it serves and its database answers.
async fn healthz(State(ctx): State<Context>) -> Response {
    if ctx.stop.is_raised() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    match ctx.db.ping().await {
        Ok(()) => "ok\n".into_response(),
        Err(error) => {
            tracing::warn!(error = %super::status::chain(&error), "unhealthy: the database does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response()
        }
    }
}

async fn metrics(State(ctx): State<Context>) -> Response {
    if ctx.metrics.fleet().is_due(ctx.clock.now()) {
        match living(&ctx).await {
            Ok(alerts) => ctx.metrics.fleet().stand(&ctx.devices.count(), &alerts),
            // The other figures matter most when the database is away.
            Err(error) => {
                tracing::warn!(error = %super::status::chain(&error), "the alerts could not be counted for /metrics");
            }
        }
    }
    if let Some(set) = ctx.trust.current() {
        let now = ctx.clock.now();
        let lives = trust_expiry::lives(&set).into_iter();
        ctx.metrics.lives(lives.map(|life| (life.role.clone(), life.seconds_left(now))));
    }
    let text = ctx.metrics.text(ctx.db.statements());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
}

async fn living(ctx: &Context) -> Result<Vec<AlertCount>, Error> {
    let mut tx = ctx.db.read().await?;
    Ok(living_count(&mut tx).await?)
}
