//! What happened that somebody outside may want to hear, put down in the transaction in which it happened.
//!
//! Positions are the generation of [`Kind::Outbox`]: on PostgreSQL handed out in commit order, so whoever has looked up
//! to one will never see a smaller one appear. What is old is deleted; positions may have gaps.

use super::{
    StoreError, Tx,
    changes::{Kind, changes_bump},
    column::Place,
    on,
};
use crate::model::{
    alert::Alert,
    event::{Event, EventKind, NewEvent},
    time::Timestamp,
};

const COLUMNS: &str = "position, id, kind, subject, device_id, at, data";

/// Puts an event down; returns it at its place. Write everything else first: other writers wait from here on.
pub async fn outbox_put(tx: &mut Tx, event: NewEvent) -> Result<Event, StoreError> {
    let event = event.at_position(changes_bump(tx, Kind::Outbox).await?);
    let sql = format!("INSERT INTO outbox ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7)");
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(event.position).bind(&event.id).bind(event.kind.as_str()).bind(&event.subject)
        .bind(&event.device_id).bind(event.at.millis()).bind(&event.data)
        .execute(conn).await.map(drop))?;
    Ok(event)
}

/// Puts down what is to be told of a changed alert, if anything.
pub(super) async fn outbox_put_alert(tx: &mut Tx, alert: &Alert) -> Result<(), StoreError> {
    let subject = format!("alerts/{}", alert.id);
    let told: Option<String> = on!(tx, conn =>
        sqlx::query_scalar("SELECT data FROM outbox WHERE subject = $1 ORDER BY position DESC LIMIT 1")
            .bind(&subject).fetch_optional(conn).await)?;
    // What cannot be read was told as something; the next is told as if nothing had been.
    let told = told.and_then(|data| serde_json::from_str(&data).ok());
    if let Some(event) = NewEvent::of_alert(alert, told.as_ref()) {
        outbox_put(tx, event).await?;
    }
    Ok(())
}

/// The events that follow `position`, oldest first.
pub async fn outbox_after(tx: &mut Tx, position: i64, limit: i64) -> Result<Vec<Event>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM outbox WHERE position > $1 ORDER BY position LIMIT $2");
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(position).bind(limit).fetch_all(conn).await)?;
    rows.into_iter().map(Event::try_from).collect()
}

/// One event, while it is kept.
pub async fn outbox_get(tx: &mut Tx, position: i64) -> Result<Option<Event>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM outbox WHERE position = $1");
    let row: Option<Row> = on!(tx, conn =>
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(position).fetch_optional(conn).await)?;
    row.map(Event::try_from).transpose()
}

/// The position that everything from `since` on follows; the newest when nothing does.
pub async fn outbox_before(tx: &mut Tx, since: Timestamp, newest: i64) -> Result<i64, StoreError> {
    let first: Option<i64> = on!(tx, conn => sqlx::query_scalar("SELECT MIN(position) FROM outbox WHERE at >= $1")
        .bind(since.millis()).fetch_one(conn).await)?;
    Ok(first.map_or(newest, |first| first - 1))
}

/// How many events follow `position`.
pub async fn outbox_count(tx: &mut Tx, position: i64) -> Result<i64, StoreError> {
    let count: i64 = on!(tx, conn =>
        sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM outbox WHERE position > $1")
            .bind(position).fetch_one(conn).await)?;
    Ok(count)
}

/// Deletes events older than `before` with their deliveries, at most `limit`, oldest first; returns how many.
pub async fn outbox_prune(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<u64, StoreError> {
    let last: Option<i64> = on!(tx, conn => sqlx::query_scalar(
        "SELECT MAX(position) FROM (SELECT position FROM outbox WHERE at < $1 ORDER BY at, position LIMIT $2) AS old")
        .bind(before.millis()).bind(limit).fetch_one(conn).await)?;
    let Some(last) = last else { return Ok(0) };
    on!(tx, conn => sqlx::query(
        "DELETE FROM deliveries WHERE position IN (SELECT position FROM outbox WHERE at < $1 AND position <= $2)")
        .bind(before.millis()).bind(last).execute(conn).await.map(drop))?;
    let deleted = on!(tx, conn => sqlx::query("DELETE FROM outbox WHERE at < $1 AND position <= $2")
        .bind(before.millis()).bind(last).execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(deleted)
}

/// Forgets every event of a device, with what waits to be sent of it.
pub async fn outbox_erase(tx: &mut Tx, device_id: &str) -> Result<u64, StoreError> {
    on!(tx, conn => sqlx::query(
        "DELETE FROM deliveries WHERE position IN (SELECT position FROM outbox WHERE device_id = $1)")
        .bind(device_id).execute(conn).await.map(drop))?;
    let deleted = on!(tx, conn => sqlx::query("DELETE FROM outbox WHERE device_id = $1")
        .bind(device_id).execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(deleted)
}

/// Forgets every event about a subject of a device, with what waits to be sent of it.
pub async fn outbox_erase_subject(tx: &mut Tx, device_id: &str, subject: &str) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "DELETE FROM deliveries WHERE position IN (SELECT position FROM outbox WHERE subject = $1 AND device_id = $2)")
        .bind(subject).bind(device_id).execute(conn).await.map(drop))?;
    on!(tx, conn => sqlx::query("DELETE FROM outbox WHERE subject = $1 AND device_id = $2")
        .bind(subject).bind(device_id).execute(conn).await.map(drop))?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    position: i64,
    id: String,
    kind: String,
    subject: String,
    device_id: String,
    at: i64,
    data: String,
}

impl TryFrom<Row> for Event {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = row.position.to_string();
        let place = Place { table: "outbox", id: &id };
        Ok(Event {
            position: row.position,
            kind: place.word("kind", &row.kind, EventKind::parse(&row.kind))?,
            id: row.id,
            subject: row.subject,
            device_id: row.device_id,
            at: Timestamp::from_millis(row.at),
            data: row.data,
        })
    }
}
