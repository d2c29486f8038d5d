//! Batches of readings on their way from the inbox into the archive.

use super::{StoreError, Tx, inbox::InboxRow, on};
use crate::model::{archive::WaitingBatch, time::Timestamp};

/// A batch that no job has taken.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct WaitingRow {
    device_id: String,
    sequence: i64,
    nonce: Vec<u8>,
    received_at: i64,
    bytes: i64,
}

impl WaitingRow {
    /// What deciding needs of it.
    pub fn batch(&self) -> WaitingBatch {
        WaitingBatch { received_at: Timestamp::from_millis(self.received_at), bytes: self.bytes }
    }
}

/// The batches that wait longest to be archived, without their readings.
pub async fn inbox_unarchived(tx: &mut Tx, limit: i64) -> Result<Vec<WaitingRow>, StoreError> {
    Ok(on!(tx, conn => sqlx::query_as(
        "SELECT device_id, sequence, nonce, received_at, CAST(LENGTH(readings) AS BIGINT) AS bytes FROM inbox \
         WHERE archive_job = 0 ORDER BY received_at, device_id, sequence, nonce LIMIT $1")
        .bind(limit).fetch_all(conn).await)?)
}

/// Gives a job every waiting batch up to `last`, in the order of [`inbox_unarchived`].
pub async fn inbox_assign(tx: &mut Tx, job: i64, last: &WaitingRow) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "UPDATE inbox SET archive_job = $1 WHERE archive_job = 0 \
         AND (received_at, device_id, sequence, nonce) <= ($2, $3, $4, $5)")
        .bind(job).bind(last.received_at).bind(&last.device_id).bind(last.sequence).bind(&last.nonce)
        .execute(conn).await.map(drop))?;
    Ok(())
}

/// Batches of a job, those after `after` in the order of device, sequence and nonce.
pub async fn inbox_of_job(
    tx: &mut Tx,
    job: i64,
    after: Option<&InboxRow>,
    limit: i64,
) -> Result<Vec<InboxRow>, StoreError> {
    let (device_id, sequence, nonce) = place(after);
    Ok(on!(tx, conn => sqlx::query_as(
        "SELECT device_id, sequence, nonce, received_at, readings FROM inbox \
         WHERE archive_job = $1 AND archive_job > 0 AND archived < 2 \
         AND (device_id, sequence, nonce) > ($2, $3, $4) ORDER BY device_id, sequence, nonce LIMIT $5")
        .bind(job).bind(device_id).bind(sequence).bind(nonce).bind(limit).fetch_all(conn).await)?)
}

/// Says that the batches of a job are in the archive.
pub async fn inbox_archived(tx: &mut Tx, job: i64) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "UPDATE inbox SET archived = 1 WHERE archive_job = $1 AND archive_job > 0 AND archived < 2")
        .bind(job).execute(conn).await.map(drop))?;
    Ok(())
}

/// Lets the readings go of batches that were archived by jobs that ended before `before`, and are consumed.
/// What stays of a batch tells a repeated one. Takes one job at a time; false when there was none.
pub async fn inbox_let_go(tx: &mut Tx, before: Timestamp) -> Result<bool, StoreError> {
    let job: Option<i64> = on!(tx, conn => sqlx::query_scalar(
        "SELECT MIN(number) FROM archive_jobs WHERE ended_at > 0 AND ended_at < $1")
        .bind(before.millis()).fetch_one(conn).await)?;
    let Some(job) = job else { return Ok(false) };
    on!(tx, conn => sqlx::query(
        "UPDATE inbox SET archived = 2, readings = $2 \
         WHERE archive_job = $1 AND archive_job > 0 AND archived < 2 AND consumed = 1")
        .bind(job).bind(Vec::<u8>::new()).execute(conn).await.map(drop))?;
    let left: Option<i64> = on!(tx, conn => sqlx::query_scalar(
        "SELECT sequence FROM inbox WHERE archive_job = $1 AND archive_job > 0 AND archived < 2 LIMIT 1")
        .bind(job).fetch_optional(conn).await)?;
    if left.is_some() {
        // Not consumed yet: what is behind it is younger still.
        return Ok(false);
    }
    on!(tx, conn => sqlx::query("DELETE FROM archive_jobs WHERE number = $1").bind(job).execute(conn).await.map(drop))?;
    Ok(true)
}

/// Batches of a device that are in no file of jobs up to `through`, those after `after` by sequence and nonce.
pub async fn inbox_of_device(
    tx: &mut Tx,
    device_id: &str,
    through: i64,
    after: Option<&InboxRow>,
    limit: i64,
) -> Result<Vec<InboxRow>, StoreError> {
    let (_, sequence, nonce) = place(after);
    Ok(on!(tx, conn => sqlx::query_as(
        "SELECT device_id, sequence, nonce, received_at, readings FROM inbox \
         WHERE device_id = $1 AND archived < 2 AND (archive_job = 0 OR archive_job > $2) \
         AND (sequence, nonce) > ($3, $4) ORDER BY sequence, nonce LIMIT $5")
        .bind(device_id).bind(through).bind(sequence).bind(nonce).bind(limit).fetch_all(conn).await)?)
}

/// Before the first of all keys, or that of a row.
fn place(after: Option<&InboxRow>) -> (&str, i64, &[u8]) {
    after.map_or(("", i64::MIN, &[]), |row| (&row.device_id, row.sequence, &row.nonce))
}
