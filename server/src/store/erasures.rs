//! What devices sent, forgotten: which erasures are under way, and what they delete.

use super::{Db, Pools, StoreError, Tx, on, outbox::outbox_erase, series::series_erase};
use crate::model::time::Timestamp;

/// Tables that hold what devices sent, or what was concluded from it.
const TABLES: [&str; 8] =
    ["inbox", "series", "series_pages", "alerts", "alert_events", "outbox", "deliveries", "archive_series"];

/// Notes that everything of a device is to be erased. To note it again changes nothing.
pub async fn erasure_begin(tx: &mut Tx, device_id: &str, now: Timestamp) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO erasures (device_id, begun_at) VALUES ($1, $2) ON CONFLICT (device_id) DO NOTHING")
        .bind(device_id).bind(now.millis()).execute(conn).await.map(drop))?;
    Ok(())
}

/// Devices whose erasure is not finished, the one that waits longest first.
pub async fn erasures_pending(tx: &mut Tx) -> Result<Vec<String>, StoreError> {
    let ids = on!(tx, conn => sqlx::query_scalar("SELECT device_id FROM erasures ORDER BY begun_at, device_id")
        .fetch_all(conn).await)?;
    Ok(ids)
}

/// Whether everything of a device is to be erased and is not yet.
pub async fn erasure_is_pending(tx: &mut Tx, device_id: &str) -> Result<bool, StoreError> {
    let found: Option<i64> = on!(tx, conn =>
        sqlx::query_scalar("SELECT begun_at FROM erasures WHERE device_id = $1").bind(device_id).fetch_optional(conn).await)?;
    Ok(found.is_some())
}

/// Notes that an erasure is finished.
pub async fn erasure_end(tx: &mut Tx, device_id: &str) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("DELETE FROM erasures WHERE device_id = $1")
        .bind(device_id).execute(conn).await.map(drop))?;
    Ok(())
}

/// Deletes batches of a device from the inbox, what tells repeats among them, at most `limit`; returns how many.
pub async fn inbox_erase(tx: &mut Tx, device_id: &str, limit: i64) -> Result<u64, StoreError> {
    let deleted = on!(tx, conn => sqlx::query(
        "DELETE FROM inbox WHERE device_id = $1 AND (sequence, nonce) IN (SELECT sequence, nonce FROM inbox \
         WHERE device_id = $1 ORDER BY sequence, nonce LIMIT $2)")
        .bind(device_id).bind(limit).execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(deleted)
}

/// Deletes what was concluded from a device's readings: its series, its alerts with their changes, and what
/// was to be told of them.
pub async fn conclusions_erase(tx: &mut Tx, device_id: &str) -> Result<(), StoreError> {
    series_erase(tx, device_id).await?;
    outbox_erase(tx, device_id).await?;
    for table in ["alert_events", "alerts"] {
        let sql = format!("DELETE FROM {table} WHERE device_id = $1");
        on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql)).bind(device_id).execute(conn).await.map(drop))?;
    }
    Ok(())
}

impl Db {
    /// Takes deleted rows out of the database's files; false when somebody who reads an earlier state of it
    /// was in the way.
    ///
    /// SQLite overwrites what is deleted (`secure_delete`), and earlier states of the pages are in the log until it
    /// is copied back and cut off. On PostgreSQL the tables are vacuumed.
    pub async fn purge(&self) -> Result<bool, StoreError> {
        match &self.pools {
            Pools::Sqlite { write, .. } => {
                let (busy, _, _): (i64, i64, i64) =
                    sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(write).await?;
                Ok(busy == 0)
            }
            Pools::Postgres(pool) => {
                for table in TABLES {
                    sqlx::query(sqlx::AssertSqlSafe(format!("VACUUM {table}"))).execute(pool).await?;
                }
                Ok(true)
            }
        }
    }
}
