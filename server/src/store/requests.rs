//! Request ids that were answered, so that a repeated call is an act once.

use super::{StoreError, Tx, on};
use crate::model::time::Timestamp;

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who called.
    pub actor: String,
    /// Which method.
    pub method: String,
    /// The caller's id for it.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// SHA-256 of what was asked, hex.
    pub digest: String,
    /// What came of it, as a resource name.
    pub resource: String,
}

/// Remembers a call; when the same actor used the same id for the same method at or after
/// `since`, nothing is written and the earlier call is returned. Belongs into the transaction
/// that does what was asked.
pub async fn request_begin(
    tx: &mut Tx,
    call: &Request,
    since: Timestamp,
) -> Result<Option<Request>, StoreError> {
    on!(tx, conn => sqlx::query(
        "DELETE FROM requests WHERE actor = $1 AND method = $2 AND request_id = $3 AND at < $4")
        .bind(call.actor.as_str()).bind(call.method.as_str()).bind(call.id.as_str()).bind(since.millis())
        .execute(conn).await.map(drop))?;
    let added = on!(tx, conn => sqlx::query(
        "INSERT INTO requests (actor, method, request_id, at, digest, resource) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (actor, method, request_id) DO NOTHING")
        .bind(call.actor.as_str()).bind(call.method.as_str()).bind(call.id.as_str()).bind(call.at.millis())
        .bind(call.digest.as_str()).bind(call.resource.as_str())
        .execute(conn).await.map(|done| done.rows_affected()))?;
    if added > 0 {
        return Ok(None);
    }
    let (at, digest, resource): (i64, String, String) = on!(tx, conn => sqlx::query_as(
        "SELECT at, digest, resource FROM requests WHERE actor = $1 AND method = $2 AND request_id = $3")
        .bind(call.actor.as_str()).bind(call.method.as_str()).bind(call.id.as_str())
        .fetch_one(conn).await)?;
    Ok(Some(Request { at: Timestamp::from_millis(at), digest, resource, ..call.clone() }))
}

/// The earlier call with the same actor, method and id, made at or after `since`.
pub async fn request_find(
    tx: &mut Tx,
    call: &Request,
    since: Timestamp,
) -> Result<Option<Request>, StoreError> {
    let row: Option<(i64, String, String)> = on!(tx, conn => sqlx::query_as(
        "SELECT at, digest, resource FROM requests \
         WHERE actor = $1 AND method = $2 AND request_id = $3 AND at >= $4")
        .bind(call.actor.as_str()).bind(call.method.as_str()).bind(call.id.as_str()).bind(since.millis())
        .fetch_optional(conn).await)?;
    Ok(row.map(|(at, digest, resource)| Request {
        at: Timestamp::from_millis(at),
        digest,
        resource,
        ..call.clone()
    }))
}

/// Forgets calls from before `before`; returns how many.
pub async fn requests_delete_before(tx: &mut Tx, before: Timestamp) -> Result<u64, StoreError> {
    let gone = on!(tx, conn => sqlx::query("DELETE FROM requests WHERE at < $1")
        .bind(before.millis()).execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(gone)
}
