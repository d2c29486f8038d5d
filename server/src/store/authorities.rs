//! Which certificate authorities the fleet relies on: the names of their files and their keys.

use slipway_trust::Sha256;

use super::{StoreError, Tx, column::Place, on};
use crate::model::time::Timestamp;

/// Every authority that was recorded, by name.
pub async fn authorities_all(tx: &mut Tx) -> Result<Vec<(String, Sha256)>, StoreError> {
    let rows: Vec<(String, Vec<u8>)> = on!(tx, conn =>
        sqlx::query_as("SELECT name, spki_sha256 FROM authorities ORDER BY name").fetch_all(conn).await)?;
    rows.into_iter()
        .map(|(name, key)| {
            let key = Place { table: "authorities", id: &name }.digest("spki_sha256", &key)?;
            Ok((name, key))
        })
        .collect()
}

/// Records an authority; one of the same name is replaced.
pub async fn authority_put(tx: &mut Tx, name: &str, key: &Sha256, now: Timestamp) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO authorities (name, spki_sha256, recorded_at) VALUES ($1, $2, $3) \
         ON CONFLICT (name) DO UPDATE SET spki_sha256 = excluded.spki_sha256, recorded_at = excluded.recorded_at")
        .bind(name).bind(key.as_bytes().as_slice()).bind(now.millis())
        .execute(conn).await.map(drop))?;
    Ok(())
}

/// Takes an authority off the record.
pub async fn authority_forget(tx: &mut Tx, name: &str) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("DELETE FROM authorities WHERE name = $1").bind(name).execute(conn).await.map(drop))?;
    Ok(())
}
