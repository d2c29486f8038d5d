//! Which release ends a failure mode.

use super::{
    StoreError, Tx,
    changes::{Kind, changes_bump},
    column::Place,
    damaged::fill,
    on,
};
use crate::model::{fix::Fix, selector::Selector, time::Timestamp};

const COLUMNS: &str = "id, failure_mode, product, version, selector, managed_by, created_at, created_by";

/// Fixes after `after` by id; start with an empty text.
pub async fn fixes_page(tx: &mut Tx, after: &str, limit: i64) -> Result<Vec<Fix>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM fixes WHERE id > $1 ORDER BY id LIMIT $2");
    let mut after = after.to_owned();
    fill!(
        tx,
        limit,
        |left| on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(&after).bind(left).fetch_all(conn).await)?,
        |last| after.clone_from(&last.id)
    )
}

/// Sets a fix; one with the same id is replaced.
pub async fn fix_put(tx: &mut Tx, fix: &Fix) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO fixes (id, failure_mode, product, version, selector, managed_by, created_at, created_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET \
         failure_mode = excluded.failure_mode, product = excluded.product, version = excluded.version, \
         selector = excluded.selector, managed_by = excluded.managed_by, created_at = excluded.created_at, \
         created_by = excluded.created_by")
        .bind(&fix.id).bind(&fix.failure_mode).bind(&fix.product).bind(fix.version.to_string())
        .bind(fix.selector.as_str()).bind(&fix.managed_by).bind(fix.created_at.millis()).bind(&fix.created_by)
        .execute(conn).await.map(drop))?;
    changes_bump(tx, Kind::Limits).await.map(drop)
}

/// Removes a fix.
pub async fn fix_delete(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("DELETE FROM fixes WHERE id = $1").bind(id).execute(conn).await.map(drop))?;
    changes_bump(tx, Kind::Limits).await.map(drop)
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    failure_mode: String,
    product: String,
    version: String,
    selector: String,
    managed_by: String,
    created_at: i64,
    created_by: String,
}

impl TryFrom<Row> for Fix {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let place = Place { table: "fixes", id: &row.id };
        Ok(Fix {
            failure_mode: row.failure_mode,
            product: row.product,
            version: place.word("version", &row.version, row.version.parse().ok())?,
            selector: Selector::parse(&row.selector)
                .map_err(|_| place.inconsistent("selector", &row.selector))?,
            managed_by: row.managed_by,
            created_at: Timestamp::from_millis(row.created_at),
            created_by: row.created_by,
            id: row.id,
        })
    }
}
