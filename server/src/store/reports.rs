//! Reports that were taken: what makes a repeated report a report once.

use super::{StoreError, Tx, on};
use crate::model::{time::Timestamp, update::UpdateState};

/// Reports of one update: one that goes well has six; a device with more than this says the same
/// over and over.
pub const OF_UPDATE: i64 = 200;
/// Reports remembered of one device beside those of the update it reports on: a hundred updates in
/// the month that they are remembered for.
pub const OF_DEVICE: i64 = 1000;

/// Remembers a report; false when it was taken before: the same number, of the same step. A number that
/// was used for something else is a report of its own: a device that was restored from a copy counts on
/// from where the copy was made. Forgets the device's oldest when it has too many;
/// [`StoreError::Exceeded`] when it is this update that has.
pub async fn report_insert(
    tx: &mut Tx,
    device_id: &str,
    sequence: u64,
    update_id: &str,
    state: UpdateState,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let added = on!(tx, conn => sqlx::query(
        "INSERT INTO reports (device_id, sequence, update_id, state, received_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (device_id, sequence, update_id, state) DO NOTHING")
        .bind(device_id).bind(sequence.cast_signed()).bind(update_id).bind(state.as_str()).bind(now.millis())
        .execute(conn).await.map(|done| done.rows_affected()))?;
    if added == 0 {
        return Ok(false);
    }
    let of_update: i64 = on!(tx, conn => sqlx::query_scalar(
        "SELECT CAST(COUNT(*) AS BIGINT) FROM reports WHERE device_id = $1 AND update_id = $2")
        .bind(device_id).bind(update_id).fetch_one(conn).await)?;
    if of_update > OF_UPDATE {
        return Err(StoreError::Exceeded { what: "reports of one update", limit: OF_UPDATE });
    }
    on!(tx, conn => sqlx::query(
        "DELETE FROM reports WHERE device_id = $1 AND update_id <> $2 AND sequence <= \
         (SELECT sequence FROM reports WHERE device_id = $1 ORDER BY sequence DESC LIMIT 1 OFFSET $3)")
        .bind(device_id).bind(update_id).bind(OF_DEVICE).execute(conn).await.map(drop))?;
    Ok(true)
}

/// Forgets reports from before `before`.
pub async fn reports_delete_before(tx: &mut Tx, before: Timestamp) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("DELETE FROM reports WHERE received_at < $1")
        .bind(before.millis()).execute(conn).await.map(drop))?;
    Ok(())
}
