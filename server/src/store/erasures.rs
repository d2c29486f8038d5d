//! What devices sent, forgotten: which erasures are under way, and what they delete.

use super::{
    Db, Pools, StoreError, Tx,
    cohorts::lives_erase,
    column::Place,
    inbox::InboxRow,
    on,
    outbox::{outbox_erase, outbox_erase_subject},
    series::series_erase,
    tracks::tracks_erase,
    wear::wear_parts_erase,
};
use crate::model::{device::DataClass, erasure::Erasure, time::Timestamp};

/// Tables that hold what devices sent, or what was concluded from it.
const TABLES: [&str; 12] = [
    "inbox",
    "series",
    "series_pages",
    "tracks",
    "lives",
    "cohorts",
    "wear_parts",
    "alerts",
    "alert_events",
    "outbox",
    "deliveries",
    "archive_series",
];

/// Notes that something of a device is to be erased. To note it again changes nothing.
pub async fn erasure_begin(tx: &mut Tx, erasure: &Erasure, now: Timestamp) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO erasures (device_id, class, begun_at) VALUES ($1, $2, $3) \
         ON CONFLICT (device_id, class) DO NOTHING")
        .bind(&erasure.device_id).bind(word(erasure)).bind(now.millis()).execute(conn).await.map(drop))?;
    Ok(())
}

/// The erasures that are not finished, the one that waits longest first.
pub async fn erasures_pending(tx: &mut Tx) -> Result<Vec<Erasure>, StoreError> {
    let rows: Vec<(String, String)> = on!(tx, conn =>
        sqlx::query_as("SELECT device_id, class FROM erasures ORDER BY begun_at, device_id, class")
            .fetch_all(conn).await)?;
    rows.into_iter()
        .map(|(device_id, class)| {
            let place = Place { table: "erasures", id: &device_id };
            let class = match class.as_str() {
                "" => None,
                word => Some(place.word("class", word, DataClass::parse(word))?),
            };
            Ok(Erasure { device_id, class })
        })
        .collect()
}

/// Whether it is to be erased and is not yet.
pub async fn erasure_is_pending(tx: &mut Tx, erasure: &Erasure) -> Result<bool, StoreError> {
    let found: Option<i64> = on!(tx, conn =>
        sqlx::query_scalar("SELECT begun_at FROM erasures WHERE device_id = $1 AND class = $2")
            .bind(&erasure.device_id).bind(word(erasure)).fetch_optional(conn).await)?;
    Ok(found.is_some())
}

/// Notes that an erasure is finished.
pub async fn erasure_end(tx: &mut Tx, erasure: &Erasure) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("DELETE FROM erasures WHERE device_id = $1 AND class = $2")
        .bind(&erasure.device_id).bind(word(erasure)).execute(conn).await.map(drop))?;
    Ok(())
}

/// Empty: everything.
fn word(erasure: &Erasure) -> &'static str {
    erasure.class.map_or("", DataClass::as_str)
}

/// Puts other readings in the place of those of a batch.
pub async fn inbox_rewrite(tx: &mut Tx, row: &InboxRow, readings: &[u8]) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "UPDATE inbox SET readings = $4 WHERE device_id = $1 AND sequence = $2 AND nonce = $3")
        .bind(&row.device_id).bind(row.sequence).bind(&row.nonce).bind(readings)
        .execute(conn).await.map(drop))?;
    Ok(())
}

/// Deletes an alert of a device with its changes, and what was to be told of it.
pub async fn alert_erase(tx: &mut Tx, device_id: &str, alert_id: &str) -> Result<(), StoreError> {
    outbox_erase_subject(tx, device_id, &format!("alerts/{alert_id}")).await?;
    on!(tx, conn => sqlx::query("DELETE FROM alert_events WHERE device_id = $1 AND alert_id = $2")
        .bind(device_id).bind(alert_id).execute(conn).await.map(drop))?;
    on!(tx, conn => sqlx::query("DELETE FROM alerts WHERE device_id = $1 AND id = $2")
        .bind(device_id).bind(alert_id).execute(conn).await.map(drop))?;
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

/// Deletes what was concluded from a device's readings: its series with their courses, the lives of its parts and
/// how they wear, its alerts with their changes, and what was to be told of them. What cohorts learned from those lives is to be learned
/// anew.
pub async fn conclusions_erase(tx: &mut Tx, device_id: &str) -> Result<(), StoreError> {
    series_erase(tx, device_id).await?;
    tracks_erase(tx, device_id).await?;
    lives_erase(tx, device_id).await?;
    wear_parts_erase(tx, device_id).await?;
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
