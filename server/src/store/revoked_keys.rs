//! Keys that were revoked, and as whose. They outlive the device's record, which may be registered anew.

use super::{StoreError, Tx, column::Place, on};
use crate::model::{device::RevokedKey, time::Timestamp};

/// Remembers that `revoked` was the key of `device_id`; what is remembered already stays.
pub async fn revoked_key_put(
    tx: &mut Tx,
    device_id: &str,
    revoked: &RevokedKey,
    now: Timestamp,
) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO revoked_keys (device_id, spki_sha256, revoked_at, was_pending) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (device_id, spki_sha256) DO NOTHING")
        .bind(device_id).bind(revoked.key.as_bytes().as_slice()).bind(now.millis())
        .bind(i64::from(revoked.was_pending))
        .execute(conn).await.map(drop))?;
    Ok(())
}

/// The keys that were revoked as those of `device_id`, the oldest first.
pub async fn revoked_keys(tx: &mut Tx, device_id: &str) -> Result<Vec<RevokedKey>, StoreError> {
    let rows: Vec<(Vec<u8>, i64)> = on!(tx, conn => sqlx::query_as(
        "SELECT spki_sha256, was_pending FROM revoked_keys WHERE device_id = $1 ORDER BY revoked_at, spki_sha256")
        .bind(device_id).fetch_all(conn).await)?;
    let place = Place { table: "revoked_keys", id: device_id };
    rows.into_iter()
        .map(|(key, was_pending)| {
            Ok(RevokedKey { key: place.digest("spki_sha256", &key)?, was_pending: was_pending != 0 })
        })
        .collect()
}
