//! Claims: the right to enrol devices.

use super::{
    StoreError, Tx,
    column::{Place, json},
    damaged::fill,
    on,
};
use crate::model::{claim::Claim, time::Timestamp};

const COLUMNS: &str = "id, secret_sha256, product, hardware, labels, uses, used, device_id, created_at, \
    created_by, expires_at, revoked_at, device_id_pattern, approve";

/// Adds a claim.
pub async fn claim_insert(tx: &mut Tx, claim: &Claim) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO claims ({COLUMNS}) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    );
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(claim.id.as_str()).bind(claim.secret_sha256.as_bytes().as_slice())
        .bind(claim.product.as_str()).bind(json(&claim.hardware)).bind(json(&claim.labels))
        .bind(i64::from(claim.uses)).bind(i64::from(claim.used)).bind(claim.device_id.as_str())
        .bind(claim.created_at.millis()).bind(claim.created_by.as_str()).bind(claim.expires_at.millis())
        .bind(claim.revoked_at.map(Timestamp::millis))
        .bind(claim.device_id_pattern.as_str()).bind(i64::from(claim.approve))
        .execute(conn).await.map(drop))
    .map_err(StoreError::from)
}

/// One claim.
pub async fn claim_get(tx: &mut Tx, id: &str) -> Result<Option<Claim>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM claims WHERE id = $1");
    let row: Option<Row> = on!(tx, conn =>
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(conn).await)?;
    row.map(Claim::try_from).transpose()
}

/// Claims, newest first (ids sort by time), older than `before` when there is one.
pub async fn claims_page(tx: &mut Tx, before: Option<&str>, limit: i64) -> Result<Vec<Claim>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM claims WHERE $1 = '' OR id < $1 ORDER BY id DESC LIMIT $2");
    let mut before = before.unwrap_or_default().to_owned();
    fill!(
        tx,
        limit,
        |left| on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(&before).bind(left).fetch_all(conn).await)?,
        |last| before.clone_from(&last.id)
    )
}

/// Spends one use; false when none is left or the claim has ended. Belongs into the transaction
/// that adds the device.
pub async fn claim_spend(tx: &mut Tx, id: &str, now: Timestamp) -> Result<bool, StoreError> {
    let changed = on!(tx, conn => sqlx::query(
        "UPDATE claims SET used = used + 1 \
         WHERE id = $1 AND used < uses AND revoked_at IS NULL AND expires_at > $2")
        .bind(id).bind(now.millis()).execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(changed > 0)
}

/// Ends a claim; false when there is none or it was ended before.
pub async fn claim_revoke(tx: &mut Tx, id: &str, now: Timestamp) -> Result<bool, StoreError> {
    let changed = on!(tx, conn =>
        sqlx::query("UPDATE claims SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
            .bind(id).bind(now.millis()).execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(changed > 0)
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    secret_sha256: Vec<u8>,
    product: String,
    hardware: String,
    labels: String,
    uses: i64,
    used: i64,
    device_id: String,
    created_at: i64,
    created_by: String,
    expires_at: i64,
    revoked_at: Option<i64>,
    device_id_pattern: String,
    approve: i64,
}

impl TryFrom<Row> for Claim {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = row.id.clone();
        let place = Place { table: "claims", id: &id };
        Ok(Claim {
            secret_sha256: place.digest("secret_sha256", &row.secret_sha256)?,
            hardware: place.json("hardware", &row.hardware)?,
            labels: place.json("labels", &row.labels)?,
            uses: place.number("uses", row.uses)?,
            used: place.number("used", row.used)?,
            id: row.id,
            product: row.product,
            device_id: row.device_id,
            device_id_pattern: row.device_id_pattern,
            approve: row.approve != 0,
            created_at: Timestamp::from_millis(row.created_at),
            created_by: row.created_by,
            expires_at: Timestamp::from_millis(row.expires_at),
            revoked_at: row.revoked_at.map(Timestamp::from_millis),
        })
    }
}
