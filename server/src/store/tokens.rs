//! Bearer tokens.

use super::{
    StoreError, Tx,
    changes::{Kind, changes_bump},
    column::Place,
    damaged::fill,
    on,
};
use crate::model::{
    time::Timestamp,
    token::{Role, Token},
};

const COLUMNS: &str =
    "id, secret_sha256, display_name, role, scope, created_at, created_by, expires_at, revoked_at";

/// Adds a token.
pub async fn token_insert(tx: &mut Tx, token: &Token) -> Result<(), StoreError> {
    let sql = format!("INSERT INTO tokens ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(token.id.as_str()).bind(token.secret_sha256.as_bytes().as_slice())
        .bind(token.display_name.as_str()).bind(token.role.as_str()).bind(token.scope.as_str())
        .bind(token.created_at.millis()).bind(token.created_by.as_str()).bind(token.expires_at.millis())
        .bind(token.revoked_at.map(Timestamp::millis))
        .execute(conn).await.map(drop))?;
    changes_bump(tx, Kind::Tokens).await.map(drop)
}

/// One token.
pub async fn token_get(tx: &mut Tx, id: &str) -> Result<Option<Token>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM tokens WHERE id = $1");
    let row: Option<Row> = on!(tx, conn =>
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(conn).await)?;
    row.map(Token::try_from).transpose()
}

/// Tokens, newest first (ids sort by time), older than `before` when there is one.
pub async fn tokens_page(tx: &mut Tx, before: Option<&str>, limit: i64) -> Result<Vec<Token>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM tokens WHERE $1 = '' OR id < $1 ORDER BY id DESC LIMIT $2");
    let mut before = before.unwrap_or_default().to_owned();
    fill!(
        tx,
        limit,
        |left| on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(&before).bind(left).fetch_all(conn).await)?,
        |last| before.clone_from(&last.id)
    )
}

/// Every token that is not revoked and ends after `ends_after`: what a replica holds in memory.
pub async fn tokens_live(tx: &mut Tx, ends_after: Timestamp) -> Result<Vec<Token>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM tokens WHERE revoked_at IS NULL AND expires_at > $1 ORDER BY id");
    let rows: Vec<Row> = on!(tx, conn =>
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(ends_after.millis()).fetch_all(conn).await)?;
    Ok(tx.readable(rows))
}

/// Ends a token; false when there is none or it was ended before.
pub async fn token_revoke(tx: &mut Tx, id: &str, now: Timestamp) -> Result<bool, StoreError> {
    let changed = on!(tx, conn =>
        sqlx::query("UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
            .bind(id).bind(now.millis()).execute(conn).await.map(|done| done.rows_affected()))?;
    if changed > 0 {
        changes_bump(tx, Kind::Tokens).await?;
    }
    Ok(changed > 0)
}

/// How many admin tokens other than `except` let somebody in until `until` at least.
///
/// Takes the write lock of the token generation first: two admins who revoke each other at once
/// must not both succeed.
pub async fn tokens_other_admins(tx: &mut Tx, except: &str, until: Timestamp) -> Result<i64, StoreError> {
    changes_bump(tx, Kind::Tokens).await?;
    let count: i64 = on!(tx, conn => sqlx::query_scalar(
        "SELECT CAST(COUNT(*) AS BIGINT) FROM tokens \
         WHERE role = 'admin' AND revoked_at IS NULL AND expires_at >= $1 AND id <> $2")
        .bind(until.millis()).bind(except).fetch_one(conn).await)?;
    Ok(count)
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    secret_sha256: Vec<u8>,
    display_name: String,
    role: String,
    scope: String,
    created_at: i64,
    created_by: String,
    expires_at: i64,
    revoked_at: Option<i64>,
}

impl TryFrom<Row> for Token {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = row.id.clone();
        let place = Place { table: "tokens", id: &id };
        Ok(Token {
            secret_sha256: place.digest("secret_sha256", &row.secret_sha256)?,
            role: place.word("role", &row.role, Role::parse(&row.role))?,
            id: row.id,
            display_name: row.display_name,
            scope: row.scope,
            created_at: Timestamp::from_millis(row.created_at),
            created_by: row.created_by,
            expires_at: Timestamp::from_millis(row.expires_at),
            revoked_at: row.revoked_at.map(Timestamp::from_millis),
        })
    }
}
