//! Limits.

use std::time::Duration;

use slipway_insight::Side;

use super::{
    StoreError, Tx,
    changes::{Kind, changes_bump},
    column::Place,
    damaged::fill,
    learned, on,
};
use crate::model::{
    alert::Severity,
    learned::Learned,
    limit::Limit,
    selector::Selector,
    time::{Timestamp, span_millis},
};

const COLUMNS: &str = "id, selector, component, metric, value, is_below, is_consumable, lead_time_ms, \
    horizon_ms, part, created_at, created_by, unit, failure_mode, severity, source, managed_by, \
    learn_factor, learned_at";

/// One limit.
pub async fn limit_get(tx: &mut Tx, id: &str) -> Result<Option<Limit>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM limits WHERE id = $1");
    let row: Option<Row> =
        on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(conn).await)?;
    let mut limit = row.map(Limit::try_from).transpose()?;
    learned::fill(tx, limit.as_mut_slice()).await?;
    Ok(limit)
}

/// Limits after `after` by id; start with an empty text.
pub async fn limits_page(tx: &mut Tx, after: &str, limit: i64) -> Result<Vec<Limit>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM limits WHERE id > $1 ORDER BY id LIMIT $2");
    let mut after = after.to_owned();
    let limits: Result<Vec<Limit>, StoreError> = fill!(
        tx,
        limit,
        |left| on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(&after).bind(left).fetch_all(conn).await)?,
        |last| after.clone_from(&last.id)
    );
    let mut limits = limits?;
    learned::fill(tx, &mut limits).await?;
    Ok(limits)
}

/// How many there are.
pub async fn limits_count(tx: &mut Tx) -> Result<i64, StoreError> {
    let count: i64 = on!(tx, conn =>
        sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM limits").fetch_one(conn).await)?;
    Ok(count)
}

/// How many of them are learned.
pub async fn limits_learned(tx: &mut Tx) -> Result<i64, StoreError> {
    let count: i64 = on!(tx, conn =>
        sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM limits WHERE learn_factor IS NOT NULL")
            .fetch_one(conn).await)?;
    Ok(count)
}

/// Sets a limit; one with the same id is replaced. What was learned for that one stays, and is looked at again.
pub async fn limit_put(tx: &mut Tx, limit: &Limit) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO limits (id, selector, component, metric, value, is_below, is_consumable, lead_time_ms, \
         horizon_ms, part, created_at, created_by, unit, failure_mode, severity, source, managed_by, learn_factor) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) \
         ON CONFLICT (id) DO UPDATE SET selector = excluded.selector, component = excluded.component, \
         metric = excluded.metric, value = excluded.value, is_below = excluded.is_below, \
         is_consumable = excluded.is_consumable, lead_time_ms = excluded.lead_time_ms, \
         horizon_ms = excluded.horizon_ms, part = excluded.part, created_at = excluded.created_at, \
         created_by = excluded.created_by, unit = excluded.unit, failure_mode = excluded.failure_mode, \
         severity = excluded.severity, source = excluded.source, managed_by = excluded.managed_by, learn_factor = excluded.learn_factor, \
         learned_at = NULL")
        .bind(&limit.id).bind(limit.selector.as_str()).bind(&limit.component).bind(&limit.metric)
        .bind(limit.value).bind(i64::from(limit.side == Side::Below)).bind(i64::from(limit.consumable))
        .bind(span_millis(limit.lead_time)).bind(span_millis(limit.horizon)).bind(&limit.part)
        .bind(limit.created_at.millis()).bind(&limit.created_by).bind(&limit.unit).bind(&limit.failure_mode)
        .bind(limit.severity.as_str()).bind(&limit.source).bind(&limit.managed_by)
        .bind(limit.learned.as_ref().map(|learned| learned.factor))
        .execute(conn).await.map(drop))?;
    changes_bump(tx, Kind::Limits).await.map(drop)
}

/// Removes a limit, and what was learned for it.
pub async fn limit_delete(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    learned::learned_forget(tx, id).await?;
    on!(tx, conn => sqlx::query("DELETE FROM limits WHERE id = $1").bind(id).execute(conn).await.map(drop))?;
    changes_bump(tx, Kind::Limits).await.map(drop)
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    selector: String,
    component: String,
    metric: String,
    value: f64,
    is_below: i64,
    is_consumable: i64,
    lead_time_ms: i64,
    horizon_ms: i64,
    part: String,
    created_at: i64,
    created_by: String,
    unit: String,
    failure_mode: String,
    severity: String,
    source: String,
    managed_by: String,
    learn_factor: Option<f64>,
    learned_at: Option<i64>,
}

impl TryFrom<Row> for Limit {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = row.id.clone();
        let place = Place { table: "limits", id: &id };
        Ok(Limit {
            id: row.id,
            selector: Selector::parse(&row.selector)
                .map_err(|_| place.inconsistent("selector", &row.selector))?,
            component: row.component,
            metric: row.metric,
            value: row.value,
            learned: row.learn_factor.map(|factor| Learned {
                learned_at: row.learned_at.map(Timestamp::from_millis),
                ..Learned::by(factor)
            }),
            side: if row.is_below == 0 { Side::Above } else { Side::Below },
            consumable: row.is_consumable != 0,
            lead_time: Duration::from_millis(place.number("lead_time_ms", row.lead_time_ms)?),
            horizon: Duration::from_millis(place.number("horizon_ms", row.horizon_ms)?),
            part: row.part,
            created_at: Timestamp::from_millis(row.created_at),
            created_by: row.created_by,
            unit: row.unit,
            failure_mode: row.failure_mode,
            severity: place.word("severity", &row.severity, Severity::parse(&row.severity))?,
            source: row.source,
            managed_by: row.managed_by,
        })
    }
}
