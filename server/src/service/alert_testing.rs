//! Devices, callers and readings for the tests of telemetry and alerts.

use std::sync::Arc;

use slipway_insight::{DAY_MS, Side};
use slipway_proto::v1;

use super::{
    Context, device_cache::DeviceEntry, forecasts, ingest, limits, testing::enrolled,
    token_cache::TokenCaller,
};
use crate::{
    model::{
        alert::{Alert, Evidence, Health, Kind, Severity},
        alert_raise::{Raised, raise},
        device::DataClass,
        id,
        limit::{DEFAULT_HORIZON, Limit},
        selector::Selector,
        time::{DAY, Timestamp},
        token::{self, Role, SECRET_BYTES, Token},
    },
    store::{
        devices::{device_get, device_update},
        tokens::{token_insert, token_revoke},
    },
};

pub(super) const METRIC: &str = "filter.pressure_drop";

/// A device whose owner allows `diagnostic`, labelled `site=<site>`.
pub(super) async fn device(ctx: &Context, id: &str, site: &str) -> Arc<DeviceEntry> {
    enrolled(ctx, id, |device| {
        device.labels.insert("site".to_owned(), site.to_owned());
        device.inventory.consent = vec![DataClass::Diagnostic];
    })
    .await
}

/// Moves a device to another site, as an operator would.
pub(super) async fn relabel(ctx: &Context, id: &str, site: &str) {
    let mut tx = ctx.db.write().await.unwrap();
    let mut device = device_get(&mut tx, id).await.unwrap().unwrap();
    device.labels.insert("site".to_owned(), site.to_owned());
    assert!(device_update(&mut tx, &mut device, ctx.clock.now()).await.unwrap());
    tx.commit().await.unwrap();
}

/// A caller with a token of this role; `scope` is a selector, for clients.
pub(super) async fn caller(ctx: &Context, id: &str, role: Role, scope: &str) -> Arc<TokenCaller> {
    let now = ctx.clock.now();
    // The hash is unique in the store: each token needs a secret of its own.
    let secret = [id.bytes().fold(7, |sum: u8, b| sum.wrapping_mul(31).wrapping_add(b)); SECRET_BYTES];
    let token = Token {
        id: id.to_owned(),
        secret_sha256: token::hash(&secret),
        display_name: format!("desk {id}"),
        role,
        scope: scope.to_owned(),
        created_at: now,
        created_by: "tests".to_owned(),
        expires_at: now.after(DAY * 365),
        revoked_at: None,
    };
    let mut tx = ctx.db.write().await.unwrap();
    token_insert(&mut tx, &token).await.unwrap();
    tx.commit().await.unwrap();
    ctx.tokens.reload(ctx).await.unwrap();
    ctx.tokens.find(&token::bearer(id, &secret), now).unwrap()
}

/// Revokes a token, as an administrator would.
pub(super) async fn revoke(ctx: &Context, id: &str) {
    let mut tx = ctx.db.write().await.unwrap();
    assert!(token_revoke(&mut tx, id, ctx.clock.now()).await.unwrap());
    tx.commit().await.unwrap();
    ctx.tokens.reload(ctx).await.unwrap();
}

/// An air filter that may drop 250 Pa.
pub(super) async fn filter_limit(ctx: &Context) -> Limit {
    let limit = Limit {
        id: "filter".to_owned(),
        selector: Selector::default(),
        component: "filter".to_owned(),
        metric: METRIC.to_owned(),
        value: 250.0,
        learned: None,
        side: Side::Above,
        consumable: false,
        lead_time: DAY * 3,
        horizon: DEFAULT_HORIZON,
        unit: String::new(),
        failure_mode: String::new(),
        severity: Severity::Critical,
        source: String::new(),
        managed_by: String::new(),
        part: "air filter".to_owned(),
        created_at: ctx.clock.now(),
        created_by: "tests".to_owned(),
    };
    limits::create(ctx, "tests", limit, false).await.unwrap()
}

/// One diagnostic reading of the filter.
pub(super) fn reading(at: Timestamp, value: f64) -> v1::Reading {
    v1::Reading {
        component: "filter".to_owned(),
        metric: METRIC.to_owned(),
        unit: "Pa".to_owned(),
        data_class: v1::DataClass::Diagnostic.into(),
        time: Some(prost_types::Timestamp { seconds: at.seconds(), nanos: 0 }),
        value,
        boot_id: String::new(),
    }
}

/// Thirty days of four readings a day up to now, at `slope` Pa a day up to `last`.
pub(super) fn month(now: Timestamp, last: f64, slope: f64) -> Vec<v1::Reading> {
    (0..120)
        .rev()
        .map(|quarter| {
            let at = Timestamp::from_millis(now.millis() - i64::from(quarter) * DAY_MS / 4);
            // A little noise, the same each time.
            let noise = f64::from(quarter * 7 % 11) / 11.0 - 0.5;
            reading(at, last - slope * f64::from(quarter) / 4.0 + noise)
        })
        .collect()
}

/// Sends a batch and consumes it.
pub(super) async fn report(ctx: &Context, device: &DeviceEntry, sequence: u64, readings: Vec<v1::Reading>) {
    let request = v1::SendTelemetryRequest { sequence, readings, ..Default::default() };
    ingest::batch(ctx, device, request).await.unwrap();
    while forecasts::consume(ctx).await.unwrap().batches > 0 {}
}

/// A day later, twelve readings that say the filter is new.
pub(super) async fn replace_filter(ctx: &Context, device: &DeviceEntry, sequence: u64) {
    ctx.clock.advance(DAY);
    let now = ctx.clock.now();
    let readings = (0..12).rev().map(|hour| reading(now.before(DAY / 24 * hour), 100.0)).collect();
    report(ctx, device, sequence, readings).await;
}

/// An alert about a warm motor, as it opens; not stored.
pub(super) fn worn(ctx: &Context, device_id: &str) -> Alert {
    let now = ctx.clock.now();
    let seen = Raised {
        device_id,
        selector: "",
        component: "motor",
        cause: "anomaly/hw.temperature",
        kind: Kind::Anomaly,
        failure_mode: "overheating",
        severity: Severity::Info,
        health: Health::CheckFunction,
        summary: "The motor is warmer than usual.".to_owned(),
        recommendation: "Look at the motor.".to_owned(),
        act_by: None,
        forecast: None,
        evidence: Evidence {
            metric: "hw.temperature".to_owned(),
            unit: "Cel".to_owned(),
            value: 71.0,
            at_ms: now.millis(),
            limit: 64.0,
            slope_per_day: 0.0,
            readings: 900,
        },
    };
    raise(None, &seen, id::mint(now, ctx.rng.bytes()), now).expect("a new alert")
}
