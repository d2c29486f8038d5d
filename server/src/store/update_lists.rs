//! Lists of updates: of a device, of a rollout, of those that ran out of time.

use super::{
    StoreError, Tx,
    damaged::fill,
    on,
    updates::{COLUMNS, Row},
};
use crate::model::{time::Timestamp, update::Update};

/// An update that still matters for decisions: under way, or from a rollout that is not over.
const MATTERS: &str = "(finished_at IS NULL OR rollout_id IN \
    (SELECT id FROM rollouts WHERE state IN ('running', 'paused', 'rolling_back')))";

/// What matters of one device's updates, oldest first.
pub async fn updates_of_device(tx: &mut Tx, device_id: &str) -> Result<Vec<Update>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM updates WHERE device_id = $1 AND {MATTERS} ORDER BY created_at, id");
    let rows: Vec<Row> = on!(tx, conn =>
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(device_id).fetch_all(conn).await)?;
    Ok(tx.readable(rows))
}

/// What matters of the updates of devices after `after`, up to and including `through`; by device,
/// oldest first.
pub async fn updates_of_devices(tx: &mut Tx, after: &str, through: &str) -> Result<Vec<Update>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM updates WHERE device_id > $1 AND device_id <= $2 AND {MATTERS} \
         ORDER BY device_id, created_at, id"
    );
    let rows: Vec<Row> = on!(tx, conn =>
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(after).bind(through).fetch_all(conn).await)?;
    Ok(tx.readable(rows))
}

/// Updates older than the one with the id `before`, newest first; of one device, or of all.
pub async fn updates_page(
    tx: &mut Tx,
    device_id: Option<&str>,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<Update>, StoreError> {
    let of_device = if device_id.is_some() { "device_id = $1" } else { "$1 = ''" };
    let sql =
        format!("SELECT {COLUMNS} FROM updates WHERE {of_device} AND id < $2 ORDER BY id DESC LIMIT $3");
    // Ids sort by time; every one of them is below "~".
    let mut before = before.unwrap_or("~").to_owned();
    fill!(
        tx,
        limit,
        |left| on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(device_id.unwrap_or_default()).bind(&before).bind(left).fetch_all(conn).await)?,
        |last| before.clone_from(&last.id)
    )
}

/// Updates of a rollout that changed at or after `since`, oldest change first.
pub async fn updates_changed(
    tx: &mut Tx,
    rollout_id: &str,
    since: Timestamp,
    limit: i64,
) -> Result<Vec<Update>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM updates WHERE rollout_id = $1 AND updated_at >= $2 ORDER BY updated_at, id LIMIT $3"
    );
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(rollout_id).bind(since.millis()).bind(limit).fetch_all(conn).await)?;
    Ok(tx.readable(rows))
}

/// Updates whose deadline is at or before `now`.
pub async fn updates_due(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<Vec<Update>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM updates WHERE finished_at IS NULL AND deadline_at <= $1 \
         ORDER BY deadline_at, id LIMIT $2"
    );
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(now.millis()).bind(limit).fetch_all(conn).await)?;
    Ok(tx.readable(rows))
}

/// When the next update times out.
pub async fn updates_next_deadline(tx: &mut Tx) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<i64> = on!(tx, conn =>
        sqlx::query_scalar("SELECT MIN(deadline_at) FROM updates WHERE finished_at IS NULL")
            .fetch_one(conn).await)?;
    Ok(at.map(Timestamp::from_millis))
}

/// How many updates of a rollout are under way.
pub async fn updates_unfinished(tx: &mut Tx, rollout_id: &str) -> Result<i64, StoreError> {
    let count: i64 = on!(tx, conn => sqlx::query_scalar(
        "SELECT CAST(COUNT(*) AS BIGINT) FROM updates WHERE rollout_id = $1 AND finished_at IS NULL")
        .bind(rollout_id).fetch_one(conn).await)?;
    Ok(count)
}

/// Devices that took the release of this rollout, or may have: what was taken back or timed out can
/// have been installed all the same.
pub async fn updates_takers(tx: &mut Tx, rollout_id: &str) -> Result<Vec<String>, StoreError> {
    let ids: Vec<String> = on!(tx, conn => sqlx::query_scalar(
        "SELECT DISTINCT device_id FROM updates WHERE rollout_id = $1 AND rolls_back = 0 \
         AND state IN ('succeeded', 'cancelled', 'timed_out') \
         ORDER BY device_id").bind(rollout_id).fetch_all(conn).await)?;
    Ok(ids)
}
