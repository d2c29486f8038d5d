//! When devices were last heard of: hot, soft, and apart from the rows that matter.

use super::{Inner, StoreError, Tx, on};
use crate::model::time::Timestamp;

/// One device's last contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The device.
    pub device_id: String,
    /// When it called last.
    pub seen_at: Timestamp,
    /// When it was told to call again.
    pub next_check_in_at: Timestamp,
}

/// Records last contacts; an older one never replaces a newer one.
///
/// One statement on PostgreSQL, where each costs a round trip; one each on SQLite, where they
/// cost microseconds and a long list of parameters does not.
pub async fn presence_record(tx: &mut Tx, batch: &[Seen]) -> Result<(), StoreError> {
    if batch.is_empty() {
        return Ok(());
    }
    tx.count_statement();
    match &mut tx.inner {
        Inner::Sqlite(open) => {
            for seen in batch {
                sqlx::query(
                    "INSERT INTO presence (device_id, seen_at, next_check_in_at) VALUES ($1, $2, $3) \
                     ON CONFLICT (device_id) DO UPDATE SET seen_at = excluded.seen_at, \
                     next_check_in_at = excluded.next_check_in_at WHERE presence.seen_at < excluded.seen_at",
                )
                .bind(seen.device_id.as_str())
                .bind(seen.seen_at.millis())
                .bind(seen.next_check_in_at.millis())
                .execute(&mut **open)
                .await?;
            }
        }
        Inner::Postgres(open) => {
            let ids: Vec<&str> = batch.iter().map(|seen| seen.device_id.as_str()).collect();
            let at: Vec<i64> = batch.iter().map(|seen| seen.seen_at.millis()).collect();
            let next: Vec<i64> = batch.iter().map(|seen| seen.next_check_in_at.millis()).collect();
            // Sorted and one row per device: two replicas lock in the same order, and one
            // statement may not touch a row twice.
            sqlx::query(
                "INSERT INTO presence (device_id, seen_at, next_check_in_at) \
                 SELECT DISTINCT ON (id) id, at, next FROM UNNEST($1::text[], $2::bigint[], $3::bigint[]) \
                 AS batch (id, at, next) ORDER BY id, at DESC \
                 ON CONFLICT (device_id) DO UPDATE SET seen_at = excluded.seen_at, \
                 next_check_in_at = excluded.next_check_in_at WHERE presence.seen_at < excluded.seen_at",
            )
            .bind(ids)
            .bind(at)
            .bind(next)
            .execute(&mut **open)
            .await?;
        }
    }
    Ok(())
}

/// Last contacts after `after` in the order of device ids; start with an empty text.
pub async fn presence_page(tx: &mut Tx, after: &str, limit: i64) -> Result<Vec<Seen>, StoreError> {
    let rows: Vec<(String, i64, i64)> = on!(tx, conn => sqlx::query_as(
        "SELECT device_id, seen_at, next_check_in_at FROM presence WHERE device_id > $1 \
         ORDER BY device_id LIMIT $2")
        .bind(after).bind(limit).fetch_all(conn).await)?;
    Ok(rows.into_iter().map(seen).collect())
}

/// Last contacts of the devices after `after` and up to `last`, by id.
pub async fn presence_between(tx: &mut Tx, after: &str, last: &str) -> Result<Vec<Seen>, StoreError> {
    let rows: Vec<(String, i64, i64)> = on!(tx, conn => sqlx::query_as(
        "SELECT device_id, seen_at, next_check_in_at FROM presence WHERE device_id > $1 AND device_id <= $2 \
         ORDER BY device_id")
        .bind(after).bind(last).fetch_all(conn).await)?;
    Ok(rows.into_iter().map(seen).collect())
}

/// One device's last contact.
pub async fn presence_get(tx: &mut Tx, device_id: &str) -> Result<Option<Seen>, StoreError> {
    let row: Option<(String, i64, i64)> = on!(tx, conn =>
        sqlx::query_as("SELECT device_id, seen_at, next_check_in_at FROM presence WHERE device_id = $1")
            .bind(device_id).fetch_optional(conn).await)?;
    Ok(row.map(seen))
}

fn seen((device_id, seen_at, next): (String, i64, i64)) -> Seen {
    Seen {
        device_id,
        seen_at: Timestamp::from_millis(seen_at),
        next_check_in_at: Timestamp::from_millis(next),
    }
}
