//! Batches of readings: acknowledged once here, consumed once by the forecasters.

use super::{Inner, StoreError, Tx, on};
use crate::model::time::Timestamp;

/// Only one replica consumes at a time ("inbx" in ASCII); the others find nothing to do.
const LOCK: i64 = 0x696e_6278;

/// One batch as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct InboxRow {
    /// The device.
    pub device_id: String,
    /// The device's own number for it.
    pub sequence: i64,
    /// Tells batches apart that have the same number, as those of a device and of a copy of it; may be empty.
    pub nonce: Vec<u8>,
    /// When it was acknowledged, ms since the epoch.
    pub received_at: i64,
    /// The readings, encoded by whoever put them in.
    pub readings: Vec<u8>,
}

/// Puts a batch in. Repeating (device, sequence, nonce) changes nothing.
pub async fn inbox_put(tx: &mut Tx, row: &InboxRow) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO inbox (device_id, sequence, nonce, received_at, consumed, readings) \
         VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT (device_id, sequence, nonce) DO NOTHING")
        .bind(&row.device_id).bind(row.sequence).bind(&row.nonce).bind(row.received_at).bind(&row.readings)
        .execute(conn).await.map(drop))?;
    Ok(())
}

/// Takes the right to consume until the transaction ends; false when another replica has it.
pub async fn inbox_try_lock(tx: &mut Tx) -> Result<bool, StoreError> {
    match &tx.inner {
        // A writing transaction is alone on SQLite.
        Inner::Sqlite(_) => Ok(true),
        Inner::Postgres(_) => Ok(on!(tx, conn =>
            sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(LOCK).fetch_one(conn).await)?),
    }
}

/// As [`inbox_try_lock`], but waits for the other one to finish.
pub async fn inbox_lock(tx: &mut Tx) -> Result<(), StoreError> {
    if matches!(tx.inner, Inner::Postgres(_)) {
        on!(tx, conn => sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(conn).await.map(drop))?;
    }
    Ok(())
}

/// The batches that wait longest.
pub async fn inbox_waiting(tx: &mut Tx, limit: i64) -> Result<Vec<InboxRow>, StoreError> {
    let rows = on!(tx, conn => sqlx::query_as(
        "SELECT device_id, sequence, nonce, received_at, readings FROM inbox WHERE consumed = 0 \
         ORDER BY received_at, device_id, sequence, nonce LIMIT $1")
        .bind(limit).fetch_all(conn).await)?;
    Ok(rows)
}

/// Deletes consumed and archived batches received before `before`, at most `limit`; returns how many.
pub async fn inbox_prune(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<u64, StoreError> {
    let deleted = on!(tx, conn => sqlx::query(
        "DELETE FROM inbox WHERE (device_id, sequence, nonce) IN (SELECT device_id, sequence, nonce FROM inbox \
         WHERE consumed = 1 AND archived > 0 AND received_at < $1 ORDER BY received_at, device_id, sequence, nonce LIMIT $2)")
        .bind(before.millis()).bind(limit).execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(deleted)
}
