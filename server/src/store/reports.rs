//! Reports that were taken: what makes a repeated report a report once.

use super::{StoreError, Tx, on};
use crate::model::{time::Timestamp, update::UpdateState};

/// Remembers a report; false when one with this sequence was taken before.
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
         ON CONFLICT (device_id, sequence) DO NOTHING")
        .bind(device_id).bind(sequence.cast_signed()).bind(update_id).bind(state.as_str()).bind(now.millis())
        .execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(added == 1)
}

/// Forgets reports from before `before`.
pub async fn reports_delete_before(tx: &mut Tx, before: Timestamp) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("DELETE FROM reports WHERE received_at < $1")
        .bind(before.millis()).execute(conn).await.map(drop))?;
    Ok(())
}
