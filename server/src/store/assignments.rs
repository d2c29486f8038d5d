//! What each device shall run, as signed for it.

use bytes::Bytes;

use super::{StoreError, Tx, on};
use crate::model::{time::Timestamp, trust::Assignment};

#[derive(sqlx::FromRow)]
struct Row {
    device_id: String,
    version: i64,
    release: String,
    bytes: Vec<u8>,
    expires_at: i64,
    created_at: i64,
}

impl From<Row> for Assignment {
    fn from(row: Row) -> Self {
        Assignment {
            device: row.device_id,
            version: row.version.unsigned_abs(),
            release: (!row.release.is_empty()).then_some(row.release),
            bytes: Bytes::from(row.bytes),
            expires_at: Timestamp::from_millis(row.expires_at),
            created_at: Timestamp::from_millis(row.created_at),
        }
    }
}

/// The assignment of one device.
pub async fn assignment_get(tx: &mut Tx, device: &str) -> Result<Option<Assignment>, StoreError> {
    let row: Option<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT device_id, version, release, bytes, expires_at, created_at FROM assignments WHERE device_id = $1"
    ).bind(device).fetch_optional(conn).await)?;
    Ok(row.map(Assignment::from))
}

/// At most `limit` assignments of devices after `after`, by device: what a cache starts with.
pub async fn assignments_page(tx: &mut Tx, after: &str, limit: u32) -> Result<Vec<Assignment>, StoreError> {
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT device_id, version, release, bytes, expires_at, created_at FROM assignments
         WHERE device_id > $1 ORDER BY device_id LIMIT $2"
    ).bind(after).bind(i64::from(limit)).fetch_all(conn).await)?;
    Ok(rows.into_iter().map(Assignment::from).collect())
}

/// Has the assignments of a release (none: all of them) signed anew when their devices call next.
pub async fn assignments_make_due(tx: &mut Tx, release: Option<&str>) -> Result<(), StoreError> {
    // Half of a life that has no length is over.
    on!(tx, conn => sqlx::query(
        "UPDATE assignments SET expires_at = created_at WHERE release = $1 OR $2 = ''"
    ).bind(release.unwrap_or_default()).bind(release.unwrap_or_default()).execute(conn).await.map(drop))?;
    Ok(())
}

/// Stores an assignment on top of version `previous` (0: the first); a conflict when another came first.
pub async fn assignment_put(tx: &mut Tx, assignment: &Assignment, previous: u64) -> Result<(), StoreError> {
    let release = assignment.release.as_deref().unwrap_or_default();
    let written = on!(tx, conn => sqlx::query(
        "INSERT INTO assignments (device_id, version, release, bytes, expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (device_id) DO UPDATE SET version = excluded.version, release = excluded.release,
           bytes = excluded.bytes, expires_at = excluded.expires_at, created_at = excluded.created_at
         WHERE assignments.version = $7"
    )
    .bind(&assignment.device)
    .bind(assignment.version.cast_signed())
    .bind(release)
    .bind(&assignment.bytes[..])
    .bind(assignment.expires_at.millis())
    .bind(assignment.created_at.millis())
    .bind(previous.cast_signed())
    .execute(conn).await.map(|done| done.rows_affected()))?;
    if written == 0 {
        return Err(StoreError::Conflict { constraint: "assignments.version".to_owned() });
    }
    Ok(())
}
