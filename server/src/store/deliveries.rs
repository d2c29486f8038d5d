//! Events on their way to webhooks.

use super::{StoreError, Tx, column::Place, damaged::fill, on};
use crate::model::{
    delivery::{Delivery, DeliveryState},
    event::Event,
    time::Timestamp,
};

const COLUMNS: &str = "webhook_id, position, subject, state, attempts, created_at, next_attempt_at, first_attempt_at, \
    last_attempt_at, http_status, error";

/// Puts an event down for a webhook; one that was sent before is to be sent once more.
pub async fn delivery_put(
    tx: &mut Tx,
    webhook_id: &str,
    event: &Event,
    now: Timestamp,
) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO deliveries (webhook_id, position, subject, state, attempts, created_at, next_attempt_at, \
         http_status, error) VALUES ($1, $2, $3, 'waiting', 0, $4, $4, 0, '') \
         ON CONFLICT (webhook_id, position) DO UPDATE SET state = 'waiting', attempts = 0, \
         next_attempt_at = excluded.next_attempt_at, first_attempt_at = NULL, error = ''")
        .bind(webhook_id).bind(event.position).bind(&event.subject).bind(now.millis())
        .execute(conn).await.map(drop))
    .map_err(StoreError::from)
}

/// What may be sent to a webhook now: of each subject the first that waits, when its time has come; oldest first.
pub async fn deliveries_due(
    tx: &mut Tx,
    webhook_id: &str,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Delivery>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM deliveries AS d WHERE webhook_id = $1 AND state = 'waiting' AND next_attempt_at <= $2 \
         AND NOT EXISTS (SELECT 1 FROM deliveries AS e WHERE e.webhook_id = d.webhook_id AND e.subject = d.subject \
         AND e.position < d.position AND e.state = 'waiting') ORDER BY position LIMIT $3"
    );
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(webhook_id).bind(now.millis()).bind(limit).fetch_all(conn).await)?;
    Ok(tx.readable(rows))
}

/// Writes what came of an attempt; false when the delivery was begun anew meanwhile, or is gone.
pub async fn delivery_update(
    tx: &mut Tx,
    delivery: &Delivery,
    attempts_before: i64,
) -> Result<bool, StoreError> {
    let changed = on!(tx, conn => sqlx::query(
        "UPDATE deliveries SET state = $3, attempts = $4, next_attempt_at = $5, first_attempt_at = $6, \
         last_attempt_at = $7, http_status = $8, error = $9 \
         WHERE webhook_id = $1 AND position = $2 AND state = 'waiting' AND attempts = $10")
        .bind(&delivery.webhook_id).bind(delivery.position).bind(delivery.state.as_str()).bind(delivery.attempts)
        .bind(delivery.next_attempt_at.millis()).bind(delivery.first_attempt_at.map(Timestamp::millis))
        .bind(delivery.last_attempt_at.map(Timestamp::millis)).bind(delivery.http_status).bind(&delivery.error)
        .bind(attempts_before).execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(changed > 0)
}

/// What waits for a webhook is tried now; with `afresh` as if it never had been.
pub async fn deliveries_hurry(
    tx: &mut Tx,
    webhook_id: &str,
    now: Timestamp,
    afresh: bool,
) -> Result<(), StoreError> {
    let sql = if afresh {
        "UPDATE deliveries SET next_attempt_at = $2, attempts = 0, first_attempt_at = NULL \
         WHERE webhook_id = $1 AND state = 'waiting'"
    } else {
        "UPDATE deliveries SET next_attempt_at = $2 WHERE webhook_id = $1 AND state = 'waiting' AND next_attempt_at > $2"
    };
    on!(tx, conn => sqlx::query(sql).bind(webhook_id).bind(now.millis()).execute(conn).await.map(drop))
        .map_err(StoreError::from)
}

/// How many wait for a webhook.
pub async fn deliveries_waiting(tx: &mut Tx, webhook_id: &str) -> Result<i64, StoreError> {
    let count: i64 = on!(tx, conn => sqlx::query_scalar(
        "SELECT CAST(COUNT(*) AS BIGINT) FROM deliveries WHERE webhook_id = $1 AND state = 'waiting'")
        .bind(webhook_id).fetch_one(conn).await)?;
    Ok(count)
}

/// How many wait, for whichever webhook.
pub async fn deliveries_waiting_all(tx: &mut Tx) -> Result<i64, StoreError> {
    let count: i64 = on!(tx, conn => sqlx::query_scalar(
        "SELECT CAST(COUNT(*) AS BIGINT) FROM deliveries WHERE state = 'waiting'").fetch_one(conn).await)?;
    Ok(count)
}

/// Deliveries of a webhook before position `before`, newest event first.
pub async fn deliveries_page(
    tx: &mut Tx,
    webhook_id: &str,
    before: i64,
    limit: i64,
) -> Result<Vec<Delivery>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM deliveries WHERE webhook_id = $1 AND position < $2 ORDER BY position DESC LIMIT $3"
    );
    let mut before = before;
    fill!(
        tx,
        limit,
        |left| on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(webhook_id).bind(before).bind(left).fetch_all(conn).await)?,
        |last| before = last.position
    )
}

#[derive(sqlx::FromRow)]
struct Row {
    webhook_id: String,
    position: i64,
    subject: String,
    state: String,
    attempts: i64,
    created_at: i64,
    next_attempt_at: i64,
    first_attempt_at: Option<i64>,
    last_attempt_at: Option<i64>,
    http_status: i64,
    error: String,
}

impl TryFrom<Row> for Delivery {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = format!("{}/{}", row.webhook_id, row.position);
        let place = Place { table: "deliveries", id: &id };
        Ok(Delivery {
            state: place.word("state", &row.state, DeliveryState::parse(&row.state))?,
            webhook_id: row.webhook_id,
            position: row.position,
            subject: row.subject,
            attempts: row.attempts,
            created_at: Timestamp::from_millis(row.created_at),
            next_attempt_at: Timestamp::from_millis(row.next_attempt_at),
            first_attempt_at: row.first_attempt_at.map(Timestamp::from_millis),
            last_attempt_at: row.last_attempt_at.map(Timestamp::from_millis),
            http_status: row.http_status,
            error: row.error,
        })
    }
}
