//! Alerts and limits on the wire.

use std::time::Duration;

use slipway_insight::Side;
use slipway_proto::v1;

use super::wire::{duration, from_duration, timestamp};
use crate::model::{
    alert::{Alert, AlertState, Health, Kind, Severity},
    id,
    limit::{DEFAULT_HORIZON, Limit},
    refusal::{Reason, Refusal},
    selector::Selector,
    text::quoted,
    time::Timestamp,
};

/// An alert as a client reads it.
pub fn alert(alert: &Alert) -> v1::Alert {
    let evidence = &alert.evidence;
    let forecast = alert.forecast.as_ref().map(|forecast| v1::Forecast {
        p10: Some(millis(forecast.p10_ms)),
        p50: Some(millis(forecast.p50_ms)),
        p90: forecast.p90_ms.map(millis),
        explanation: forecast.explanation(&evidence.unit),
    });
    v1::Alert {
        name: format!("alerts/{}", alert.id),
        device: if alert.device_id.is_empty() {
            String::new()
        } else {
            format!("devices/{}", alert.device_id)
        },
        selector: alert.selector.clone(),
        component: alert.component.clone(),
        kind: kind(alert.kind).into(),
        state: state(alert.state).into(),
        severity: severity(alert.severity).into(),
        health: health(alert.health).into(),
        summary: alert.summary.clone(),
        recommendation: alert.recommendation.clone(),
        act_by: alert.act_by.map(timestamp),
        forecast,
        evidence: Some(v1::Evidence {
            metric: evidence.metric.clone(),
            unit: evidence.unit.clone(),
            value: evidence.value,
            time: Some(millis(evidence.at_ms)),
            limit: evidence.limit,
            slope_per_day: evidence.slope_per_day,
            readings: u64::from(evidence.readings),
        }),
        acknowledged_by: alert.acknowledged_by.clone(),
        create_time: Some(timestamp(alert.created_at)),
        update_time: Some(timestamp(alert.updated_at)),
        resolve_time: alert.resolved_at.map(timestamp),
        etag: alert.etag(),
        failure_mode: alert.failure_mode.clone(),
        suppressed_by: alert.suppressed_by.clone(),
        update_to: alert.update_to.clone(),
    }
}

fn millis(at: i64) -> prost_types::Timestamp {
    timestamp(Timestamp::from_millis(at))
}

fn state(state: AlertState) -> v1::AlertState {
    match state {
        AlertState::Open => v1::AlertState::Open,
        AlertState::Acknowledged => v1::AlertState::Acknowledged,
        AlertState::Resolved => v1::AlertState::Resolved,
    }
}

fn severity(severity: Severity) -> v1::AlertSeverity {
    match severity {
        Severity::Info => v1::AlertSeverity::Info,
        Severity::Warning => v1::AlertSeverity::Warning,
        Severity::Critical => v1::AlertSeverity::Critical,
    }
}

fn kind(kind: Kind) -> v1::AlertKind {
    match kind {
        Kind::StateDetection => v1::AlertKind::StateDetection,
        Kind::Prognosis => v1::AlertKind::Prognosis,
        Kind::Consumable => v1::AlertKind::Consumable,
        Kind::Anomaly => v1::AlertKind::Anomaly,
        Kind::Fleet => v1::AlertKind::Fleet,
        Kind::Offline => v1::AlertKind::Offline,
    }
}

fn health(health: Health) -> v1::AlertHealth {
    match health {
        Health::Failure => v1::AlertHealth::Failure,
        Health::CheckFunction => v1::AlertHealth::CheckFunction,
        Health::OutOfSpecification => v1::AlertHealth::OutOfSpecification,
        Health::MaintenanceRequired => v1::AlertHealth::MaintenanceRequired,
    }
}

/// A limit as an operator reads it.
pub fn limit(limit: &Limit) -> v1::Limit {
    v1::Limit {
        name: format!("limits/{}", limit.id),
        selector: limit.selector.as_str().to_owned(),
        component: limit.component.clone(),
        metric: limit.metric.clone(),
        value: limit.value,
        below: limit.side == Side::Below,
        consumable: limit.consumable,
        lead_time: Some(duration(limit.lead_time)),
        horizon: Some(duration(limit.horizon)),
        part: limit.part.clone(),
        unit: limit.unit.clone(),
        failure_mode: limit.failure_mode.clone(),
        severity: severity(limit.severity).into(),
        source: limit.source.clone(),
        managed_by: limit.managed_by.clone(),
    }
}

/// The limit that an operator wrote. What no limit may be is refused by [`Limit::check`]; here only
/// what cannot be read.
pub fn from_limit(wire: v1::Limit, actor: &str, now: Timestamp) -> Result<Limit, Refusal> {
    let invalid = |field: &str, wrong: String, hint: &str| {
        Refusal::new(Reason::LimitInvalid, wrong, hint).field(format!("limit.{field}"))
    };
    let id = id::within("limits", &wire.name).ok_or_else(|| {
        invalid("name", format!("{} is no name for a limit", quoted(&wire.name)), "name it limits/ID")
    })?;
    let span = |field: &str, span: Option<&prost_types::Duration>, default: Duration| match span {
        None => Ok(default),
        Some(span) => from_duration(span).ok_or_else(|| {
            invalid(field, format!("{field} is a negative time"), "give a time of zero or more")
        }),
    };
    let severity = match wire.severity() {
        v1::AlertSeverity::Info => Severity::Info,
        v1::AlertSeverity::Warning => Severity::Warning,
        v1::AlertSeverity::Unspecified | v1::AlertSeverity::Critical => Severity::Critical,
    };
    Ok(Limit {
        id: id.to_owned(),
        selector: Selector::parse(&wire.selector).map_err(|refusal| refusal.field("limit.selector"))?,
        component: wire.component,
        metric: wire.metric,
        value: wire.value,
        side: if wire.below { Side::Below } else { Side::Above },
        consumable: wire.consumable,
        lead_time: span("lead_time", wire.lead_time.as_ref(), Duration::ZERO)?,
        horizon: span("horizon", wire.horizon.as_ref(), DEFAULT_HORIZON)?,
        part: wire.part,
        unit: wire.unit,
        failure_mode: wire.failure_mode,
        severity,
        source: wire.source,
        managed_by: wire.managed_by,
        created_at: now,
        created_by: actor.to_owned(),
    })
}
