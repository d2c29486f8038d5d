//! Every change of an alert, in commit order.
//!
//! A position is the generation of [`Kind::AlertEvents`]: on PostgreSQL the row it comes from stays
//! locked until the transaction ends, so whoever has read position `n` will never see a smaller
//! one appear. Positions have no gaps; what is missing at the low end was pruned.

use super::{
    StoreError, Tx,
    alerts::{alert_decode, alert_encode},
    changes::{Kind, changes_bump},
    on,
    outbox::outbox_put_alert,
};
use crate::model::{alert::Alert, time::Timestamp};

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertEvent {
    /// Its place in the order.
    pub position: i64,
    /// The alert as the change left it.
    pub alert: Alert,
}

/// Appends a change. Write everything else first: other writers wait from here on.
pub async fn alert_event_append(tx: &mut Tx, alert: &Alert) -> Result<i64, StoreError> {
    let position = changes_bump(tx, Kind::AlertEvents).await?;
    on!(tx, conn => sqlx::query(
        "INSERT INTO alert_events (position, alert_id, device_id, at, alert) VALUES ($1, $2, $3, $4, $5)")
        .bind(position).bind(&alert.id).bind(&alert.device_id).bind(alert.updated_at.millis())
        .bind(alert_encode(alert)).execute(conn).await.map(drop))?;
    outbox_put_alert(tx, alert).await?;
    Ok(position)
}

/// The changes that follow `position`, oldest first.
pub async fn alert_events_after(
    tx: &mut Tx,
    position: i64,
    limit: i64,
) -> Result<Vec<AlertEvent>, StoreError> {
    let rows: Vec<(i64, Vec<u8>)> = on!(tx, conn => sqlx::query_as(
        "SELECT position, alert FROM alert_events WHERE position > $1 ORDER BY position LIMIT $2")
        .bind(position).bind(limit).fetch_all(conn).await)?;
    rows.into_iter()
        .map(|(position, bytes)| {
            let alert = alert_decode(&bytes).ok_or_else(|| StoreError::Inconsistent {
                table: "alert_events",
                column: "alert",
                id: position.to_string(),
                value: String::from_utf8_lossy(&bytes).into_owned(),
            })?;
            Ok(AlertEvent { position, alert })
        })
        .collect()
}

/// Positions that follow `position`, oldest first, and which device the alert of each is about.
pub async fn alert_events_devices(
    tx: &mut Tx,
    position: i64,
    limit: i64,
) -> Result<Vec<(i64, String)>, StoreError> {
    let rows = on!(tx, conn => sqlx::query_as(
        "SELECT position, device_id FROM alert_events WHERE position > $1 ORDER BY position LIMIT $2")
        .bind(position).bind(limit).fetch_all(conn).await)?;
    Ok(rows)
}

/// The oldest position that is still there.
pub async fn alert_events_oldest(tx: &mut Tx) -> Result<Option<i64>, StoreError> {
    let oldest: Option<i64> =
        on!(tx, conn => sqlx::query_scalar("SELECT MIN(position) FROM alert_events").fetch_one(conn).await)?;
    Ok(oldest)
}

/// Deletes changes older than `before`, at most `limit`, oldest first; returns how many.
pub async fn alert_events_prune(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<u64, StoreError> {
    // Up to the first one that stays, so that positions keep having no gaps when clocks differ.
    let deleted = on!(tx, conn => sqlx::query(
        "DELETE FROM alert_events WHERE position IN (SELECT position FROM alert_events WHERE position < \
         COALESCE((SELECT MIN(position) FROM alert_events WHERE at >= $1), 9223372036854775807) \
         ORDER BY position LIMIT $2)")
        .bind(before.millis()).bind(limit).execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(deleted)
}
