//! Alerts. A row changes only together with an event (`alert_events`).

use serde::{Deserialize, Serialize};

use super::{
    StoreError, Tx,
    column::{Place, json},
    damaged::fill,
    lists::in_list,
    on,
};
use crate::model::{
    alert::{Alert, AlertState, Evidence, Health, Kind, Severity},
    time::Timestamp,
};

const COLUMNS: &str = "id, device_id, component, cause, kind, state, severity, health, summary, recommendation, \
    act_by, forecast, evidence, acknowledged_by, created_at, updated_at, resolved_at, generation, failure_mode, \
    selector, suppressed_by, told, update_to, note";

/// Adds an alert; [`StoreError::Conflict`] when its cause has a living one.
pub async fn alert_insert(tx: &mut Tx, alert: &Alert) -> Result<(), StoreError> {
    let row = Row::from(alert);
    let sql = format!(
        "INSERT INTO alerts ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
         $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)"
    );
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(row.id).bind(row.device_id).bind(row.component).bind(row.cause).bind(row.kind).bind(row.state)
        .bind(row.severity).bind(row.health).bind(row.summary).bind(row.recommendation).bind(row.act_by)
        .bind(row.forecast).bind(row.evidence).bind(row.acknowledged_by).bind(row.created_at)
        .bind(row.updated_at).bind(row.resolved_at).bind(row.generation).bind(row.failure_mode)
        .bind(row.selector).bind(row.suppressed_by).bind(row.told).bind(row.update_to)
        .bind(row.note)
        .execute(conn).await.map(drop))?;
    Ok(())
}

/// Writes what may change of an alert, if the stored generation is the one before it; false when
/// somebody was faster.
pub async fn alert_update(tx: &mut Tx, alert: &Alert) -> Result<bool, StoreError> {
    let row = Row::from(alert);
    let changed = on!(tx, conn => sqlx::query(
        "UPDATE alerts SET kind = $2, state = $3, severity = $4, health = $5, summary = $6, \
         recommendation = $7, act_by = $8, forecast = $9, evidence = $10, acknowledged_by = $11, \
         updated_at = $12, resolved_at = $13, generation = $14, failure_mode = $16, suppressed_by = $17, \
         told = $18, update_to = $19, note = $20 WHERE id = $1 AND generation = $15")
        .bind(row.id).bind(row.kind).bind(row.state).bind(row.severity).bind(row.health).bind(row.summary)
        .bind(row.recommendation).bind(row.act_by).bind(row.forecast).bind(row.evidence)
        .bind(row.acknowledged_by).bind(row.updated_at).bind(row.resolved_at).bind(row.generation)
        .bind(row.generation - 1).bind(row.failure_mode).bind(row.suppressed_by).bind(row.told)
        .bind(row.update_to).bind(row.note)
        .execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(changed == 1)
}

/// One alert.
pub async fn alert_get(tx: &mut Tx, id: &str) -> Result<Option<Alert>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM alerts WHERE id = $1");
    let row: Option<Row> =
        on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(conn).await)?;
    row.map(Alert::try_from).transpose()
}

/// Which alerts a list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lives {
    /// Those that are not resolved.
    Living,
    /// All.
    Any,
}

/// Alerts that changed before the given place, last changed first; ties by id, downwards.
pub async fn alerts_page(
    tx: &mut Tx,
    lives: Lives,
    before: Timestamp,
    before_id: &str,
    limit: i64,
) -> Result<Vec<Alert>, StoreError> {
    let living = match lives {
        Lives::Living => "resolved_at IS NULL AND ",
        Lives::Any => "",
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM alerts WHERE {living}(updated_at < $1 OR (updated_at = $1 AND id < $2)) \
         ORDER BY updated_at DESC, id DESC LIMIT $3"
    );
    let (mut before, mut before_id) = (before.millis(), before_id.to_owned());
    fill!(
        tx,
        limit,
        |left| on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(before).bind(&before_id).bind(left).fetch_all(conn).await)?,
        |last| {
            before = last.updated_at;
            before_id.clone_from(&last.id);
        }
    )
}

/// Alerts that are not resolved, after `after` by id; start with an empty text.
pub async fn alerts_living(tx: &mut Tx, after: &str, limit: i64) -> Result<Vec<Alert>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM alerts WHERE resolved_at IS NULL AND id > $1 ORDER BY id LIMIT $2");
    let mut after = after.to_owned();
    fill!(
        tx,
        limit,
        |left| on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(&after).bind(left).fetch_all(conn).await)?,
        |last| after.clone_from(&last.id)
    )
}

/// How many alerts are resolved, counted up to `most`.
pub async fn alerts_resolved_count(tx: &mut Tx, most: i64) -> Result<i64, StoreError> {
    let count: i64 = on!(tx, conn => sqlx::query_scalar(
        "SELECT CAST(COUNT(*) AS BIGINT) FROM (SELECT 1 FROM alerts WHERE resolved_at IS NOT NULL LIMIT $1) AS resolved")
        .bind(most).fetch_one(conn).await)?;
    Ok(count)
}

/// Alerts of one limit that are not resolved, after `after` by id.
pub async fn alerts_of_cause(
    tx: &mut Tx,
    cause: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Alert>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM alerts WHERE resolved_at IS NULL AND cause = $1 AND id > $2 ORDER BY id LIMIT $3"
    );
    let mut after = after.to_owned();
    fill!(
        tx,
        limit,
        |left| on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(cause).bind(&after).bind(left).fetch_all(conn).await)?,
        |last| after.clone_from(&last.id)
    )
}

/// Alerts of one device that are not resolved, or were after `since`; newest first.
pub async fn alerts_of_device(
    tx: &mut Tx,
    device_id: &str,
    since: Timestamp,
) -> Result<Vec<Alert>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM alerts WHERE device_id = $1 AND (resolved_at IS NULL OR resolved_at > $2) \
         ORDER BY created_at DESC, id DESC"
    );
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(device_id).bind(since.millis()).fetch_all(conn).await)?;
    rows.into_iter().map(Alert::try_from).collect()
}

/// Living alerts that are about several devices, by id. There are few: a cohort or a site each.
pub async fn alerts_of_several(tx: &mut Tx) -> Result<Vec<Alert>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM alerts WHERE device_id = '' AND resolved_at IS NULL ORDER BY id");
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(conn).await)?;
    Ok(tx.readable(rows))
}

/// A device of which a living alert says that it is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    /// The device.
    pub device_id: String,
    /// The alert.
    pub alert_id: String,
    /// The call that was its last.
    pub last_call_at: Timestamp,
}

/// The devices that are said to be silent, by id.
pub async fn alerts_offline(tx: &mut Tx) -> Result<Vec<Silent>, StoreError> {
    let rows: Vec<(String, String, String)> = on!(tx, conn => sqlx::query_as(
        "SELECT device_id, id, evidence FROM alerts WHERE resolved_at IS NULL AND device_id > '' \
         AND kind = 'offline' ORDER BY device_id, id").fetch_all(conn).await)?;
    rows.into_iter()
        .map(|(device_id, alert_id, evidence)| {
            let place = Place { table: "alerts", id: &alert_id };
            let evidence: Evidence = place.json("evidence", &evidence)?;
            Ok(Silent { device_id, alert_id, last_call_at: Timestamp::from_millis(evidence.at_ms) })
        })
        .collect()
}

/// Alerts of these devices that are not resolved, or were after `since`; newest first.
pub async fn alerts_of_devices(
    tx: &mut Tx,
    device_ids: &[&str],
    since: Timestamp,
) -> Result<Vec<Alert>, StoreError> {
    let (list, ids) = in_list(tx, device_ids);
    let sql = format!(
        "SELECT {COLUMNS} FROM alerts WHERE device_id IN {list} AND (resolved_at IS NULL OR resolved_at > $2) \
         ORDER BY created_at DESC, id DESC"
    );
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(ids).bind(since.millis()).fetch_all(conn).await)?;
    rows.into_iter().map(Alert::try_from).collect()
}

/// Alerts of this kind that are not resolved and did not change since `before`, by id.
pub async fn alerts_unchanged(
    tx: &mut Tx,
    kind: Kind,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<Alert>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM alerts WHERE resolved_at IS NULL AND kind = $1 AND updated_at < $2 \
         ORDER BY id LIMIT $3"
    );
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(kind.as_str()).bind(before.millis()).bind(limit).fetch_all(conn).await)?;
    Ok(tx.readable(rows))
}

/// Deletes alerts resolved before `before`, at most `limit`; returns how many.
pub async fn alerts_prune(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<u64, StoreError> {
    let deleted = on!(tx, conn => sqlx::query(
        "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE resolved_at < $1 \
         ORDER BY updated_at, id LIMIT $2)")
        .bind(before.millis()).bind(limit).execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(deleted)
}

/// An alert as an event carries it.
pub(super) fn alert_encode(alert: &Alert) -> Vec<u8> {
    json(&Row::from(alert)).into_bytes()
}

/// Reads [`alert_encode`]; none when it is not one.
pub(super) fn alert_decode(bytes: &[u8]) -> Option<Alert> {
    let row: Row = serde_json::from_slice(bytes).ok()?;
    Alert::try_from(row).ok()
}

#[derive(sqlx::FromRow, Serialize, Deserialize)]
struct Row {
    id: String,
    device_id: String,
    component: String,
    cause: String,
    kind: String,
    state: String,
    severity: String,
    health: String,
    summary: String,
    recommendation: String,
    act_by: Option<i64>,
    forecast: String,
    evidence: String,
    acknowledged_by: String,
    created_at: i64,
    updated_at: i64,
    resolved_at: Option<i64>,
    generation: i64,
    // Events of before these columns lack them.
    #[serde(default)]
    failure_mode: String,
    #[serde(default)]
    selector: String,
    #[serde(default)]
    suppressed_by: String,
    #[serde(default = "told")]
    told: i64,
    #[serde(default)]
    update_to: String,
    #[serde(default)]
    note: String,
}

fn told() -> i64 {
    1
}

impl From<&Alert> for Row {
    fn from(alert: &Alert) -> Self {
        Row {
            id: alert.id.clone(),
            device_id: alert.device_id.clone(),
            component: alert.component.clone(),
            cause: alert.cause.clone(),
            kind: alert.kind.as_str().to_owned(),
            state: alert.state.as_str().to_owned(),
            severity: alert.severity.as_str().to_owned(),
            health: alert.health.as_str().to_owned(),
            summary: alert.summary.clone(),
            recommendation: alert.recommendation.clone(),
            act_by: alert.act_by.map(Timestamp::millis),
            forecast: json(&alert.forecast),
            evidence: json(&alert.evidence),
            acknowledged_by: alert.acknowledged_by.clone(),
            created_at: alert.created_at.millis(),
            updated_at: alert.updated_at.millis(),
            resolved_at: alert.resolved_at.map(Timestamp::millis),
            generation: alert.generation,
            failure_mode: alert.failure_mode.clone(),
            selector: alert.selector.clone(),
            suppressed_by: alert.suppressed_by.clone(),
            told: alert.told.into(),
            update_to: alert.update_to.clone(),
            note: alert.note.clone(),
        }
    }
}

impl TryFrom<Row> for Alert {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = row.id.clone();
        let place = Place { table: "alerts", id: &id };
        Ok(Alert {
            kind: place.word("kind", &row.kind, Kind::parse(&row.kind))?,
            state: place.word("state", &row.state, AlertState::parse(&row.state))?,
            severity: place.word("severity", &row.severity, Severity::parse(&row.severity))?,
            health: place.word("health", &row.health, Health::parse(&row.health))?,
            act_by: row.act_by.map(Timestamp::from_millis),
            forecast: place.json("forecast", &row.forecast)?,
            evidence: place.json("evidence", &row.evidence)?,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
            resolved_at: row.resolved_at.map(Timestamp::from_millis),
            generation: row.generation,
            id: row.id,
            device_id: row.device_id,
            component: row.component,
            cause: row.cause,
            summary: row.summary,
            recommendation: row.recommendation,
            acknowledged_by: row.acknowledged_by,
            failure_mode: row.failure_mode,
            selector: row.selector,
            suppressed_by: row.suppressed_by,
            told: row.told != 0,
            update_to: row.update_to,
            note: row.note,
        })
    }
}
