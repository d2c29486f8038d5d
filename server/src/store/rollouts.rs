//! Rollouts. Their waves are in `waves.rs`.

use std::time::Duration;

use super::{Inner, StoreError, Tx, column::Place, on, waves};
use crate::model::{
    rollout::{FailureAction, Rollout, RolloutState},
    time::{Timestamp, span_millis},
};

const COLUMNS: &str = "id, product, version, selector, on_failure, standing, allow_downgrade, spread_by, \
    update_timeout_ms, seed, state, state_reason, created_at, created_by, updated_at, generation";

/// Adds a rollout with its waves.
pub async fn rollout_insert(tx: &mut Tx, rollout: &Rollout) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO rollouts ({COLUMNS}) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
    );
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(&rollout.id).bind(&rollout.product).bind(&rollout.version).bind(&rollout.selector)
        .bind(rollout.on_failure.as_str()).bind(i64::from(rollout.standing))
        .bind(i64::from(rollout.allow_downgrade)).bind(&rollout.spread_by).bind(span_millis(rollout.update_timeout)).bind(&rollout.seed).bind(rollout.state.as_str())
        .bind(&rollout.state_reason).bind(rollout.created_at.millis()).bind(&rollout.created_by)
        .bind(rollout.updated_at.millis()).bind(rollout.generation)
        .execute(conn).await.map(drop))?;
    for wave in &rollout.waves {
        waves::wave_insert(tx, &rollout.id, wave).await?;
    }
    Ok(())
}

/// One rollout with its waves.
pub async fn rollout_get(tx: &mut Tx, id: &str) -> Result<Option<Rollout>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM rollouts WHERE id = $1");
    let row: Option<Row> = on!(tx, conn =>
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(conn).await)?;
    match row {
        Some(row) => Ok(Some(row.read(tx).await?)),
        None => Ok(None),
    }
}

/// Every rollout that is not over, in the order of ids. One that cannot be read offers nothing.
pub async fn rollouts_active(tx: &mut Tx) -> Result<Vec<Rollout>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM rollouts WHERE state IN ('running', 'paused', 'rolling_back') ORDER BY id"
    );
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(conn).await)?;
    readable(tx, rows).await
}

/// Rollouts made before the one with the id `before`, newest first; start with none. Fewer than
/// `limit` are no sign of the end: those that cannot be read are left out. The second value is the id
/// to go on before; none at the end.
pub async fn rollouts_page(
    tx: &mut Tx,
    before: Option<&str>,
    limit: i64,
) -> Result<(Vec<Rollout>, Option<String>), StoreError> {
    // Ids sort by time; every one of them is below "~".
    let sql = format!("SELECT {COLUMNS} FROM rollouts WHERE id < $1 ORDER BY id DESC LIMIT $2");
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(before.unwrap_or("~")).bind(limit).fetch_all(conn).await)?;
    let is_full = i64::try_from(rows.len()).is_ok_and(|count| count == limit);
    let next = rows.last().filter(|_| is_full).map(|last| last.id.clone());
    Ok((readable(tx, rows).await?, next))
}

/// The rollouts that can be read, with their waves; the log names the others.
async fn readable(tx: &mut Tx, rows: Vec<Row>) -> Result<Vec<Rollout>, StoreError> {
    let mut rollouts = Vec::with_capacity(rows.len());
    for row in rows {
        let read = row.read(tx).await;
        rollouts.extend(tx.unless_damaged(read)?);
    }
    Ok(rollouts)
}

/// Moves a rollout to another state, if nobody was faster: false when `generation` is no longer
/// the stored one.
pub async fn rollout_enter(
    tx: &mut Tx,
    id: &str,
    generation: i64,
    state: RolloutState,
    reason: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let changed = on!(tx, conn => sqlx::query(
        "UPDATE rollouts SET state = $3, state_reason = $4, updated_at = $5, generation = generation + 1 \
         WHERE id = $1 AND generation = $2")
        .bind(id).bind(generation).bind(state.as_str()).bind(reason).bind(now.millis())
        .execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(changed == 1)
}

/// Claims the right to change waves: false when `generation` is no longer the stored one.
pub async fn rollout_advance(tx: &mut Tx, id: &str, generation: i64) -> Result<bool, StoreError> {
    let changed = on!(tx, conn => sqlx::query(
        "UPDATE rollouts SET generation = generation + 1 WHERE id = $1 AND generation = $2")
        .bind(id).bind(generation).execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(changed == 1)
}

/// Where the rollout stands, held still until the end of the transaction: an operator who pauses it
/// waits for the admissions under way, and those that follow see the pause. None when there is no
/// such rollout.
pub async fn rollout_hold(tx: &mut Tx, id: &str) -> Result<Option<RolloutState>, StoreError> {
    tx.count_statement();
    let text: Option<String> = match &mut tx.inner {
        // The only writer there is holds it already.
        Inner::Sqlite(open) => {
            sqlx::query_scalar("SELECT state FROM rollouts WHERE id = $1")
                .bind(id)
                .fetch_optional(&mut **open)
                .await?
        }
        Inner::Postgres(open) => {
            sqlx::query_scalar("SELECT state FROM rollouts WHERE id = $1 FOR SHARE")
                .bind(id)
                .fetch_optional(&mut **open)
                .await?
        }
    };
    let place = Place { table: "rollouts", id };
    text.map(|text| place.word("state", &text, RolloutState::parse(&text))).transpose()
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    product: String,
    version: String,
    selector: String,
    on_failure: String,
    standing: i64,
    allow_downgrade: i64,
    spread_by: String,
    update_timeout_ms: i64,
    seed: String,
    state: String,
    state_reason: String,
    created_at: i64,
    created_by: String,
    updated_at: i64,
    generation: i64,
}

impl Row {
    async fn read(self, tx: &mut Tx) -> Result<Rollout, StoreError> {
        let id = self.id.clone();
        let place = Place { table: "rollouts", id: &id };
        Ok(Rollout {
            product: self.product,
            version: self.version,
            selector: self.selector,
            on_failure: place.word("on_failure", &self.on_failure, FailureAction::parse(&self.on_failure))?,
            standing: self.standing != 0,
            allow_downgrade: self.allow_downgrade != 0,
            spread_by: self.spread_by,
            update_timeout: Duration::from_millis(place.number("update_timeout_ms", self.update_timeout_ms)?),
            seed: self.seed,
            state: place.word("state", &self.state, RolloutState::parse(&self.state))?,
            state_reason: self.state_reason,
            created_at: Timestamp::from_millis(self.created_at),
            created_by: self.created_by,
            updated_at: Timestamp::from_millis(self.updated_at),
            generation: self.generation,
            waves: waves::waves_list(tx, &self.id).await?,
            id: self.id,
        })
    }
}
