//! Silences.

use super::{StoreError, Tx, column::Place, damaged::fill, on};
use crate::model::{silence::Silence, time::Timestamp};

const COLUMNS: &str = "id, matcher, reason, created_at, created_by, ends_at";

/// Adds a silence.
pub async fn silence_insert(tx: &mut Tx, silence: &Silence) -> Result<(), StoreError> {
    let sql = format!("INSERT INTO silences ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)");
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(&silence.id).bind(silence.matcher.as_str()).bind(&silence.reason)
        .bind(silence.created_at.millis()).bind(&silence.created_by).bind(silence.ends_at.millis())
        .execute(conn).await.map(drop))?;
    Ok(())
}

/// One silence, also one that is over.
pub async fn silence_get(tx: &mut Tx, id: &str) -> Result<Option<Silence>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM silences WHERE id = $1");
    let row: Option<Row> =
        on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(conn).await)?;
    row.map(Silence::try_from).transpose()
}

/// Silences after `after` by id, those that end after `since`; start with an empty text.
pub async fn silences_page(
    tx: &mut Tx,
    after: &str,
    since: Timestamp,
    limit: i64,
) -> Result<Vec<Silence>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM silences WHERE id > $1 AND ends_at > $2 ORDER BY id LIMIT $3");
    let mut after = after.to_owned();
    fill!(
        tx,
        limit,
        |left| on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(&after).bind(since.millis()).bind(left).fetch_all(conn).await)?,
        |last| after.clone_from(&last.id)
    )
}

/// How many end after `now`.
pub async fn silences_count(tx: &mut Tx, now: Timestamp) -> Result<i64, StoreError> {
    let count: i64 = on!(tx, conn =>
        sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM silences WHERE ends_at > $1")
            .bind(now.millis()).fetch_one(conn).await)?;
    Ok(count)
}

/// Removes a silence.
pub async fn silence_delete(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("DELETE FROM silences WHERE id = $1").bind(id).execute(conn).await.map(drop))?;
    Ok(())
}

/// Deletes silences that ended before `before`, at most `limit`; returns how many.
pub async fn silences_prune(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<u64, StoreError> {
    let deleted = on!(tx, conn => sqlx::query(
        "DELETE FROM silences WHERE id IN (SELECT id FROM silences WHERE ends_at < $1 ORDER BY ends_at, id LIMIT $2)")
        .bind(before.millis()).bind(limit).execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(deleted)
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    matcher: String,
    reason: String,
    created_at: i64,
    created_by: String,
    ends_at: i64,
}

impl TryFrom<Row> for Silence {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let place = Place { table: "silences", id: &row.id };
        Ok(Silence {
            matcher: Silence::matcher(&row.matcher)
                .map_err(|_| place.inconsistent("matcher", &row.matcher))?,
            reason: row.reason,
            created_at: Timestamp::from_millis(row.created_at),
            created_by: row.created_by,
            ends_at: Timestamp::from_millis(row.ends_at),
            id: row.id,
        })
    }
}
