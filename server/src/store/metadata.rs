//! Signed metadata. Roots are kept for ever; of the other roles the newest file counts. Among them, under its
//! path, stands the one target that the top-level targets name themselves, with their version.

use bytes::Bytes;

use super::{StoreError, Tx, column::Place, on};
use crate::model::{time::Timestamp, trust::SignedFile};

#[derive(sqlx::FromRow)]
struct Row {
    role: String,
    version: i64,
    bytes: Vec<u8>,
    expires_at: i64,
    created_at: i64,
}

impl TryFrom<Row> for SignedFile {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let version = Place { table: "metadata", id: &row.role }.number("version", row.version)?;
        Ok(SignedFile {
            role: row.role,
            version,
            bytes: Bytes::from(row.bytes),
            expires_at: Timestamp::from_millis(row.expires_at),
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}

/// Every root, and the newest file of each other role.
pub async fn metadata_current(tx: &mut Tx) -> Result<Vec<SignedFile>, StoreError> {
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT role, version, bytes, expires_at, created_at FROM metadata AS one
         WHERE role = 'root' OR version = (SELECT MAX(version) FROM metadata AS other WHERE other.role = one.role)
         ORDER BY role, version"
    ).fetch_all(conn).await)?;
    rows.into_iter().map(SignedFile::try_from).collect()
}

/// When each timestamp that is still remembered was signed, oldest first.
pub async fn metadata_timestamps(tx: &mut Tx) -> Result<Vec<(u64, Timestamp)>, StoreError> {
    let rows: Vec<(i64, i64)> = on!(tx, conn => sqlx::query_as(
        "SELECT version, created_at FROM metadata WHERE role = 'timestamp' ORDER BY version"
    ).fetch_all(conn).await)?;
    Ok(rows.into_iter().map(|(version, at)| (version.unsigned_abs(), Timestamp::from_millis(at))).collect())
}

/// Newest version of a role; 0 when it has none.
pub async fn metadata_version(tx: &mut Tx, role: &str) -> Result<u64, StoreError> {
    let (version,): (i64,) = on!(tx, conn => sqlx::query_as(
        "SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) FROM metadata WHERE role = $1"
    ).bind(role).fetch_one(conn).await)?;
    Ok(version.unsigned_abs())
}

/// Adds a file; a conflict when this version of the role exists.
pub async fn metadata_insert(tx: &mut Tx, file: &SignedFile) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO metadata (role, version, bytes, expires_at, created_at) VALUES ($1, $2, $3, $4, $5)"
    )
    .bind(&file.role)
    .bind(file.version.cast_signed())
    .bind(&file.bytes[..])
    .bind(file.expires_at.millis())
    .bind(file.created_at.millis())
    .execute(conn).await.map(drop))?;
    Ok(())
}

/// Forgets the files of a role, not `root`, that are older than `version` and were stored before `before`.
pub async fn metadata_forget(
    tx: &mut Tx,
    role: &str,
    version: u64,
    before: Timestamp,
) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "DELETE FROM metadata WHERE role = $1 AND role <> 'root' AND version < $2 AND created_at < $3"
    )
    .bind(role)
    .bind(version.cast_signed())
    .bind(before.millis())
    .execute(conn).await.map(drop))?;
    Ok(())
}
