//! Authorities of manufacturers.

use slipway_trust::Sha256;

use super::{
    StoreError, Tx,
    column::{Place, json},
    damaged::fill,
    on,
};
use crate::model::{enrolment::Authority, time::Timestamp};

const COLUMNS: &str = "id, certificate_sha256, certificate, product, hardware, labels, approve, created_at, \
    created_by";

/// Adds an authority; [`StoreError::Conflict`] when its id or its certificate is there already.
pub async fn manufacturer_insert(tx: &mut Tx, authority: &Authority) -> Result<(), StoreError> {
    let sql = format!("INSERT INTO manufacturers ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(authority.id.as_str()).bind(Sha256::of(&authority.certificate).as_bytes().as_slice())
        .bind(authority.certificate.as_slice()).bind(authority.product.as_str())
        .bind(json(&authority.hardware)).bind(json(&authority.labels)).bind(i64::from(authority.approve))
        .bind(authority.created_at.millis()).bind(authority.created_by.as_str())
        .execute(conn).await.map(drop))
    .map_err(StoreError::from)
}

/// One authority.
pub async fn manufacturer_get(tx: &mut Tx, id: &str) -> Result<Option<Authority>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM manufacturers WHERE id = $1");
    let row: Option<Row> = on!(tx, conn =>
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(conn).await)?;
    row.map(Authority::try_from).transpose()
}

/// Authorities after `after` by id; start with an empty text.
pub async fn manufacturers_page(tx: &mut Tx, after: &str, limit: i64) -> Result<Vec<Authority>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM manufacturers WHERE id > $1 ORDER BY id LIMIT $2");
    let mut after = after.to_owned();
    fill!(
        tx,
        limit,
        |left| on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(&after).bind(left).fetch_all(conn).await)?,
        |last| after.clone_from(&last.id)
    )
}

/// Removes an authority; false when there is none.
pub async fn manufacturer_delete(tx: &mut Tx, id: &str) -> Result<bool, StoreError> {
    let gone = on!(tx, conn => sqlx::query("DELETE FROM manufacturers WHERE id = $1")
        .bind(id).execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(gone > 0)
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    certificate_sha256: Vec<u8>,
    certificate: Vec<u8>,
    product: String,
    hardware: String,
    labels: String,
    approve: i64,
    created_at: i64,
    created_by: String,
}

impl TryFrom<Row> for Authority {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = row.id.clone();
        let place = Place { table: "manufacturers", id: &id };
        let digest = place.digest("certificate_sha256", &row.certificate_sha256)?;
        if digest != Sha256::of(&row.certificate) {
            return Err(place.inconsistent("certificate", format!("{} other bytes", row.certificate.len())));
        }
        Ok(Authority {
            id: row.id,
            certificate: row.certificate,
            product: row.product,
            hardware: place.json("hardware", &row.hardware)?,
            labels: place.json("labels", &row.labels)?,
            approve: row.approve != 0,
            created_at: Timestamp::from_millis(row.created_at),
            created_by: row.created_by,
        })
    }
}
