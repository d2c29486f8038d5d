//! Who did what: append-only, each row chained to the one before by its hash.

use slipway_trust::Sha256;

use super::{Inner, StoreError, Tx, on};
use crate::model::time::Timestamp;

/// One act of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Position in the log, from 1.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// Who: `tokens/{id}` and display name, or `server`.
    pub actor: String,
    /// What, as the method is called.
    pub action: String,
    /// On what, as its resource name.
    pub resource: String,
    /// What else matters.
    pub detail: String,
    /// SHA-256 over the previous hash and this row, hex.
    pub hash: String,
}

/// One appender at a time on PostgreSQL, so that no two rows follow the same one ("audi" in ASCII).
const LOCK: i64 = 0x6175_6469;

/// Appends one act. Belongs into the transaction of the act, near its end.
pub async fn audit_append(
    tx: &mut Tx,
    at: Timestamp,
    actor: &str,
    action: &str,
    resource: &str,
    detail: &str,
) -> Result<(), StoreError> {
    if matches!(tx.inner, Inner::Postgres(_)) {
        on!(tx, conn => sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(conn).await.map(drop))?;
    }
    let last: Option<(i64, String)> = on!(tx, conn =>
        sqlx::query_as("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1").fetch_optional(conn).await)?;
    let (number, before) = last.map_or((1, String::new()), |(number, hash)| (number + 1, hash));
    let mut entry = AuditEntry {
        number,
        at,
        actor: actor.to_owned(),
        action: action.to_owned(),
        resource: resource.to_owned(),
        detail: detail.to_owned(),
        hash: String::new(),
    };
    entry.hash = link(&before, &entry);
    on!(tx, conn => sqlx::query(
        "INSERT INTO audit (number, at, actor, action, resource, detail, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(entry.number).bind(entry.at.millis()).bind(actor).bind(action).bind(resource).bind(detail)
        .bind(entry.hash).execute(conn).await.map(drop))
    .map_err(StoreError::from)
}

/// Entries after `after` in order; start with 0.
pub async fn audit_page(tx: &mut Tx, after: i64, limit: i64) -> Result<Vec<AuditEntry>, StoreError> {
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT number, at, actor, action, resource, detail, hash FROM audit WHERE number > $1 \
         ORDER BY number LIMIT $2").bind(after).bind(limit).fetch_all(conn).await)?;
    Ok(rows.into_iter().map(AuditEntry::from).collect())
}

/// Entries before number `before`, newest first.
pub async fn audit_before(tx: &mut Tx, before: i64, limit: i64) -> Result<Vec<AuditEntry>, StoreError> {
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT number, at, actor, action, resource, detail, hash FROM audit WHERE number < $1 \
         ORDER BY number DESC LIMIT $2").bind(before).bind(limit).fetch_all(conn).await)?;
    Ok(rows.into_iter().map(AuditEntry::from).collect())
}

/// The hash that chains `entry` to the row whose hash is `before` (empty for the first).
///
/// Every field goes in with its length, so that no two entries share their text.
pub fn link(before: &str, entry: &AuditEntry) -> String {
    let mut text = String::new();
    let (number, at) = (entry.number.to_string(), entry.at.millis().to_string());
    for part in [before, &number, &at, &entry.actor, &entry.action, &entry.resource, &entry.detail] {
        text.push_str(&part.len().to_string());
        text.push(':');
        text.push_str(part);
    }
    Sha256::of(text.as_bytes()).to_string()
}

#[derive(sqlx::FromRow)]
struct Row {
    number: i64,
    at: i64,
    actor: String,
    action: String,
    resource: String,
    detail: String,
    hash: String,
}

impl From<Row> for AuditEntry {
    fn from(row: Row) -> Self {
        AuditEntry {
            number: row.number,
            at: Timestamp::from_millis(row.at),
            actor: row.actor,
            action: row.action,
            resource: row.resource,
            detail: row.detail,
            hash: row.hash,
        }
    }
}
