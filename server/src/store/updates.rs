//! Updates: one device's way through one release. Lists are in `update_lists.rs`.

use super::{StoreError, Tx, column::Place, on};
use crate::model::{
    time::Timestamp,
    update::{HistoryLine, Reason, Update, UpdateState},
};

pub(super) const COLUMNS: &str = "id, device_id, rollout_id, wave, product, version, from_version, from_counter, \
    rolls_back, state, reason_code, reason_detail, bytes_fetched, bytes_written, attempt, created_at, \
    updated_at, deadline_at, finished_at, settled, generation";

/// Adds an update and the first line of its history; [`StoreError::Conflict`] when the device has
/// one under way.
pub async fn update_insert(tx: &mut Tx, update: &Update) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO updates ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
         $15, $16, $17, $18, $19, $20, $21)"
    );
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(&update.id).bind(&update.device_id).bind(&update.rollout_id).bind(i64::from(update.wave))
        .bind(&update.product).bind(&update.version).bind(&update.from_version)
        .bind(update.from_counter.cast_signed()).bind(i64::from(update.rolls_back)).bind(update.state.as_str())
        .bind(&update.reason.code).bind(&update.reason.detail).bind(update.bytes_fetched.cast_signed())
        .bind(update.bytes_written.cast_signed()).bind(i64::from(update.attempt))
        .bind(update.created_at.millis()).bind(update.updated_at.millis())
        .bind(update.deadline_at.map(Timestamp::millis)).bind(update.finished_at.map(Timestamp::millis))
        .bind(i64::from(update.settled)).bind(update.generation)
        .execute(conn).await.map(drop))?;
    let line = HistoryLine {
        state: update.state,
        at: update.created_at,
        actor: "server".to_owned(),
        reason: Reason::default(),
    };
    history_append(tx, &update.id, &line).await
}

/// One update.
pub async fn update_get(tx: &mut Tx, id: &str) -> Result<Option<Update>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM updates WHERE id = $1");
    let row: Option<Row> = on!(tx, conn =>
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(conn).await)?;
    row.map(Update::try_from).transpose()
}

/// Writes where an update stands, if nobody was faster: false when `generation` is no longer the
/// stored one, or the update ended. On success its `generation` is the new one.
pub async fn update_store(tx: &mut Tx, update: &mut Update) -> Result<bool, StoreError> {
    let changed = on!(tx, conn => sqlx::query(
        "UPDATE updates SET state = $3, reason_code = $4, reason_detail = $5, bytes_fetched = $6, \
         bytes_written = $7, attempt = $8, updated_at = $9, deadline_at = $10, finished_at = $11, \
         settled = $12, generation = generation + 1 WHERE id = $1 AND generation = $2 AND finished_at IS NULL")
        .bind(&update.id).bind(update.generation).bind(update.state.as_str()).bind(&update.reason.code)
        .bind(&update.reason.detail).bind(update.bytes_fetched.cast_signed())
        .bind(update.bytes_written.cast_signed()).bind(i64::from(update.attempt))
        .bind(update.updated_at.millis()).bind(update.deadline_at.map(Timestamp::millis))
        .bind(update.finished_at.map(Timestamp::millis)).bind(i64::from(update.settled))
        .execute(conn).await.map(|done| done.rows_affected()))?;
    if changed == 1 {
        update.generation += 1;
    }
    Ok(changed == 1)
}

/// Lines of one update's history: an update that goes well has six; one with more than this is told
/// the same over and over.
const HISTORY: i64 = 200;

/// Appends a line to the history of an update, unless that is as long as it may be.
pub async fn history_append(tx: &mut Tx, update_id: &str, line: &HistoryLine) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO update_history (update_id, number, state, at, actor, reason_code, reason_detail) \
         SELECT $1, COALESCE(MAX(number), 0) + 1, $2, $3, $4, $5, $6 FROM update_history WHERE update_id = $1 \
         HAVING COALESCE(MAX(number), 0) < $7")
        .bind(update_id).bind(line.state.as_str()).bind(line.at.millis()).bind(&line.actor)
        .bind(&line.reason.code).bind(&line.reason.detail).bind(HISTORY)
        .execute(conn).await.map(drop))?;
    Ok(())
}

/// The history of an update, oldest first.
pub async fn history_list(tx: &mut Tx, update_id: &str) -> Result<Vec<HistoryLine>, StoreError> {
    let rows: Vec<(String, i64, String, String, String)> = on!(tx, conn => sqlx::query_as(
        "SELECT state, at, actor, reason_code, reason_detail FROM update_history WHERE update_id = $1 \
         ORDER BY number").bind(update_id).fetch_all(conn).await)?;
    let place = Place { table: "update_history", id: update_id };
    rows.into_iter()
        .map(|(state, at, actor, code, detail)| {
            Ok(HistoryLine {
                state: place.word("state", &state, UpdateState::parse(&state))?,
                at: Timestamp::from_millis(at),
                actor,
                reason: Reason { code, detail },
            })
        })
        .collect()
}

/// Takes back what no device of the rollout has installed yet; returns how many updates of each
/// wave. Updates on trial, and those that bring a device back, go on.
pub async fn updates_cancel(
    tx: &mut Tx,
    rollout_id: &str,
    actor: &str,
    reason: &Reason,
    now: Timestamp,
) -> Result<Vec<(u32, i64)>, StoreError> {
    let rows: Vec<(String, String, i64)> = on!(tx, conn => sqlx::query_as(
        "UPDATE updates SET state = 'cancelled', reason_code = $2, reason_detail = $3, updated_at = $4, \
         deadline_at = NULL, finished_at = $4, generation = generation + 1 \
         WHERE rollout_id = $1 AND finished_at IS NULL AND rolls_back = 0 \
         AND state IN ('offered', 'downloading', 'staged') RETURNING id, device_id, wave")
        .bind(rollout_id).bind(&reason.code).bind(&reason.detail).bind(now.millis())
        .fetch_all(conn).await)?;
    let mut waves: Vec<(u32, i64)> = Vec::new();
    for (id, device_id, wave) in rows {
        let wave = Place { table: "updates", id: &id }.number("wave", wave)?;
        match waves.iter_mut().find(|(number, _)| *number == wave) {
            Some((_, count)) => *count += 1,
            None => waves.push((wave, 1)),
        }
        let line = HistoryLine {
            state: UpdateState::Cancelled,
            at: now,
            actor: actor.to_owned(),
            reason: reason.clone(),
        };
        history_append(tx, &id, &line).await?;
        // What a replica knows of the device is out of date.
        on!(tx, conn => sqlx::query(
            "UPDATE devices SET updated_at = $2, generation = generation + 1 WHERE id = $1")
            .bind(device_id).bind(now.millis()).execute(conn).await.map(drop))?;
    }
    Ok(waves)
}

/// Notes that the device works on none of its finished updates any more.
pub async fn updates_settle(tx: &mut Tx, device_id: &str) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "UPDATE updates SET settled = 1, generation = generation + 1 \
         WHERE device_id = $1 AND finished_at IS NOT NULL AND settled = 0")
        .bind(device_id).execute(conn).await.map(drop))?;
    Ok(())
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub(super) id: String,
    device_id: String,
    rollout_id: String,
    wave: i64,
    product: String,
    version: String,
    from_version: String,
    from_counter: i64,
    rolls_back: i64,
    state: String,
    reason_code: String,
    reason_detail: String,
    bytes_fetched: i64,
    bytes_written: i64,
    attempt: i64,
    created_at: i64,
    updated_at: i64,
    deadline_at: Option<i64>,
    finished_at: Option<i64>,
    settled: i64,
    generation: i64,
}

impl TryFrom<Row> for Update {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = row.id.clone();
        let place = Place { table: "updates", id: &id };
        Ok(Update {
            device_id: row.device_id,
            rollout_id: row.rollout_id,
            wave: place.number("wave", row.wave)?,
            product: row.product,
            version: row.version,
            from_version: row.from_version,
            from_counter: row.from_counter.cast_unsigned(),
            rolls_back: row.rolls_back != 0,
            state: place.word("state", &row.state, UpdateState::parse(&row.state))?,
            reason: Reason { code: row.reason_code, detail: row.reason_detail },
            bytes_fetched: row.bytes_fetched.cast_unsigned(),
            bytes_written: row.bytes_written.cast_unsigned(),
            attempt: place.number("attempt", row.attempt)?,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
            deadline_at: row.deadline_at.map(Timestamp::from_millis),
            finished_at: row.finished_at.map(Timestamp::from_millis),
            settled: row.settled != 0,
            generation: row.generation,
            id: row.id,
        })
    }
}
