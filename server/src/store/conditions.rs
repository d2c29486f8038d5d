//! What the living alerts say of devices, in the few words that selectors ask for.

use super::{StoreError, Tx, column::Place, lists::in_list, on};
use crate::model::{
    alert::{Health, Kind, Severity},
    condition::{AlertCount, Condition, Living},
};

/// Position, and of an alert its id, kind, severity, failure mode and component.
type Row = (i64, Option<String>, Option<String>, Option<String>, Option<String>, Option<String>);

/// The conditions of one device, and the position up to which events of alerts are in them.
pub async fn conditions_of_device(tx: &mut Tx, device_id: &str) -> Result<(i64, Vec<Condition>), StoreError> {
    // One statement, so that position and rows are of one moment on every isolation level.
    let rows: Vec<Row> = on!(tx, conn =>
        sqlx::query_as(
            "SELECT changes.generation, alerts.id, alerts.kind, alerts.severity, alerts.failure_mode, \
             alerts.component FROM changes LEFT JOIN alerts ON alerts.device_id = $1 \
             AND alerts.resolved_at IS NULL WHERE changes.kind = 'alert_events' ORDER BY alerts.id")
            .bind(device_id).fetch_all(conn).await)?;
    let position = rows.first().map_or(0, |row| row.0);
    let conditions = rows.into_iter().filter_map(|(_, id, kind, severity, failure_mode, component)| {
        Some(condition(&id?, &kind?, &severity?, failure_mode?, component?))
    });
    Ok((position, conditions.collect::<Result<_, _>>()?))
}

/// The conditions of the devices after `after` and up to `last`, by device id.
pub async fn conditions_between(
    tx: &mut Tx,
    after: &str,
    last: &str,
) -> Result<Vec<(String, Condition)>, StoreError> {
    let rows: Vec<(String, String, String, String, String, String)> = on!(tx, conn => sqlx::query_as(
        "SELECT device_id, id, kind, severity, failure_mode, component FROM alerts \
         WHERE resolved_at IS NULL AND device_id > $1 AND device_id <= $2 ORDER BY device_id, id")
        .bind(after).bind(last).fetch_all(conn).await)?;
    rows.into_iter()
        .map(|(device_id, id, kind, severity, failure_mode, component)| {
            Ok((device_id, condition(&id, &kind, &severity, failure_mode, component)?))
        })
        .collect()
}

/// The living alerts of these devices, by device and id.
pub async fn living_of_devices(tx: &mut Tx, ids: &[&str]) -> Result<Vec<(String, Living)>, StoreError> {
    let (list, ids) = in_list(tx, ids);
    let sql = format!(
        "SELECT device_id, id, kind, severity, failure_mode, component, health, suppressed_by FROM alerts \
         WHERE resolved_at IS NULL AND device_id IN {list} ORDER BY device_id, id"
    );
    let rows: Vec<LivingRow> =
        on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(ids).fetch_all(conn).await)?;
    rows.into_iter()
        .map(|row| {
            let place = Place { table: "alerts", id: &row.id };
            let health = place.word("health", &row.health, Health::parse(&row.health))?;
            let condition = condition(&row.id, &row.kind, &row.severity, row.failure_mode, row.component)?;
            let is_suppressed = !row.suppressed_by.is_empty();
            Ok((row.device_id, Living { condition, health, is_suppressed }))
        })
        .collect()
}

/// How many alerts live, by severity and by whether they wake anybody.
pub async fn living_count(tx: &mut Tx) -> Result<Vec<AlertCount>, StoreError> {
    let rows: Vec<(String, i64, i64)> = on!(tx, conn => sqlx::query_as(
        "SELECT severity, suppressed, CAST(COUNT(*) AS BIGINT) FROM (SELECT severity, CAST(CASE WHEN suppressed_by = '' \
         THEN 0 ELSE 1 END AS BIGINT) AS suppressed FROM alerts WHERE resolved_at IS NULL) AS living \
         GROUP BY severity, suppressed ORDER BY severity, suppressed")
        .fetch_all(conn).await)?;
    rows.into_iter()
        .map(|(severity, suppressed, count)| {
            let place = Place { table: "alerts", id: "all that live" };
            let severity = place.word("severity", &severity, Severity::parse(&severity))?;
            Ok(AlertCount { severity, is_suppressed: suppressed != 0, count })
        })
        .collect()
}

#[derive(sqlx::FromRow)]
struct LivingRow {
    device_id: String,
    id: String,
    kind: String,
    severity: String,
    failure_mode: String,
    component: String,
    health: String,
    suppressed_by: String,
}

fn condition(
    id: &str,
    kind: &str,
    severity: &str,
    failure_mode: String,
    component: String,
) -> Result<Condition, StoreError> {
    let place = Place { table: "alerts", id };
    Ok(Condition {
        kind: place.word("kind", kind, Kind::parse(kind))?,
        severity: place.word("severity", severity, Severity::parse(severity))?,
        failure_mode: failure_mode.into(),
        component: component.into(),
    })
}
