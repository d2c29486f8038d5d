//! Alerts on the wire.

use slipway_proto::v1;

use super::wire::timestamp;
use crate::model::{
    alert::{Alert, AlertState, Health, Kind, Severity},
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
        comparable_parts: forecast.comparable,
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
        recommendation: alert.advice(),
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
        note: alert.note.clone(),
        wear_model: alert.wear_model().map(|id| format!("wearModels/{id}")).unwrap_or_default(),
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

pub(super) fn severity(severity: Severity) -> v1::AlertSeverity {
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

pub(super) fn health(health: Health) -> v1::AlertHealth {
    match health {
        Health::Failure => v1::AlertHealth::Failure,
        Health::CheckFunction => v1::AlertHealth::CheckFunction,
        Health::OutOfSpecification => v1::AlertHealth::OutOfSpecification,
        Health::MaintenanceRequired => v1::AlertHealth::MaintenanceRequired,
    }
}
