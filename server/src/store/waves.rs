//! Waves: their states, and the counters that keep admissions within the limit.

use std::time::Duration;

use super::{StoreError, Tx, column::Place, on};
use crate::model::{
    gate::Gate,
    time::{Timestamp, span_millis},
    update::Outcome,
    wave::{Counts, Wave, WaveState},
};

const COLUMNS: &str = "number, upper_ppm, max_in_flight, min_success_percent, min_sample, max_failures, \
    max_failure_percent, soak_ms, state, opened_at, soaking_since, in_flight, admitted, succeeded, failed, \
    cancelled, forgiven_succeeded, forgiven_failed";

pub(super) async fn wave_insert(tx: &mut Tx, rollout_id: &str, wave: &Wave) -> Result<(), StoreError> {
    let (gate, counts) = (&wave.gate, &wave.counts);
    let sql = format!(
        "INSERT INTO waves (rollout_id, {COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
         $13, $14, $15, $16, $17, $18, $19)"
    );
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(rollout_id).bind(i64::from(wave.number)).bind(i64::from(wave.upper))
        .bind(i64::from(wave.max_in_flight)).bind(i64::from(gate.min_success_percent))
        .bind(i64::from(gate.min_sample)).bind(i64::from(gate.max_failures))
        .bind(i64::from(gate.max_failure_percent)).bind(span_millis(gate.soak)).bind(wave.state.as_str())
        .bind(wave.opened_at.map(Timestamp::millis)).bind(wave.soaking_since.map(Timestamp::millis))
        .bind(i64::from(counts.in_flight)).bind(i64::from(counts.admitted)).bind(i64::from(counts.succeeded))
        .bind(i64::from(counts.failed)).bind(i64::from(counts.cancelled))
        .bind(i64::from(counts.forgiven_succeeded)).bind(i64::from(counts.forgiven_failed))
        .execute(conn).await.map(drop))?;
    Ok(())
}

/// The waves of a rollout, in order.
pub async fn waves_list(tx: &mut Tx, rollout_id: &str) -> Result<Vec<Wave>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM waves WHERE rollout_id = $1 ORDER BY number");
    let rows: Vec<Row> = on!(tx, conn =>
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(rollout_id).fetch_all(conn).await)?;
    rows.into_iter().map(|row| row.read(rollout_id)).collect()
}

/// Admits one device, if the wave admits and its limit allows one more: the whole decision is this
/// one statement, so no number of replicas can overshoot. False when it is refused.
pub async fn wave_admit(tx: &mut Tx, rollout_id: &str, number: u32) -> Result<bool, StoreError> {
    let changed = on!(tx, conn => sqlx::query(
        "UPDATE waves SET in_flight = in_flight + 1, admitted = admitted + 1 \
         WHERE rollout_id = $1 AND number = $2 AND state IN ('open', 'soaking', 'passed') \
         AND (max_in_flight = 0 OR in_flight < max_in_flight) \
         AND EXISTS (SELECT 1 FROM rollouts WHERE id = $1 AND state = 'running')")
        .bind(rollout_id).bind(i64::from(number))
        .execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(changed == 1)
}

/// Counts `updates` as finished.
pub async fn wave_finish(
    tx: &mut Tx,
    rollout_id: &str,
    number: u32,
    outcome: Outcome,
    updates: i64,
) -> Result<(), StoreError> {
    let [succeeded, failed, cancelled] = match outcome {
        Outcome::Success => [updates, 0, 0],
        Outcome::Failure => [0, updates, 0],
        Outcome::Neither => [0, 0, updates],
    };
    on!(tx, conn => sqlx::query(
        "UPDATE waves SET in_flight = in_flight - $3, succeeded = succeeded + $4, failed = failed + $5, \
         cancelled = cancelled + $6 WHERE rollout_id = $1 AND number = $2")
        .bind(rollout_id).bind(i64::from(number)).bind(updates).bind(succeeded).bind(failed).bind(cancelled)
        .execute(conn).await.map(drop))?;
    Ok(())
}

/// Moves a wave to another state. Belongs behind `rollout_advance` or `rollout_enter`, which guard it.
pub async fn wave_enter(
    tx: &mut Tx,
    rollout_id: &str,
    number: u32,
    state: WaveState,
    now: Timestamp,
) -> Result<(), StoreError> {
    let soaking_since = (state == WaveState::Soaking).then_some(now.millis());
    on!(tx, conn => sqlx::query(
        "UPDATE waves SET state = $3, soaking_since = $4, opened_at = COALESCE(opened_at, $5) \
         WHERE rollout_id = $1 AND number = $2")
        .bind(rollout_id).bind(i64::from(number)).bind(state.as_str()).bind(soaking_since).bind(now.millis())
        .execute(conn).await.map(drop))?;
    Ok(())
}

/// Opens failed waves again with a fresh count.
pub async fn waves_forgive(tx: &mut Tx, rollout_id: &str) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "UPDATE waves SET state = 'open', soaking_since = NULL, forgiven_succeeded = succeeded, \
         forgiven_failed = failed WHERE rollout_id = $1 AND state = 'failed'")
        .bind(rollout_id).execute(conn).await.map(drop))?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    number: i64,
    upper_ppm: i64,
    max_in_flight: i64,
    min_success_percent: i64,
    min_sample: i64,
    max_failures: i64,
    max_failure_percent: i64,
    soak_ms: i64,
    state: String,
    opened_at: Option<i64>,
    soaking_since: Option<i64>,
    in_flight: i64,
    admitted: i64,
    succeeded: i64,
    failed: i64,
    cancelled: i64,
    forgiven_succeeded: i64,
    forgiven_failed: i64,
}

impl Row {
    fn read(self, rollout_id: &str) -> Result<Wave, StoreError> {
        let id = format!("{rollout_id}/{}", self.number);
        let place = Place { table: "waves", id: &id };
        Ok(Wave {
            number: place.number("number", self.number)?,
            upper: place.number("upper_ppm", self.upper_ppm)?,
            max_in_flight: place.number("max_in_flight", self.max_in_flight)?,
            gate: Gate {
                min_success_percent: place.number("min_success_percent", self.min_success_percent)?,
                min_sample: place.number("min_sample", self.min_sample)?,
                max_failures: place.number("max_failures", self.max_failures)?,
                max_failure_percent: place.number("max_failure_percent", self.max_failure_percent)?,
                soak: Duration::from_millis(place.number("soak_ms", self.soak_ms)?),
            },
            state: place.word("state", &self.state, WaveState::parse(&self.state))?,
            opened_at: self.opened_at.map(Timestamp::from_millis),
            soaking_since: self.soaking_since.map(Timestamp::from_millis),
            counts: Counts {
                in_flight: place.number("in_flight", self.in_flight)?,
                admitted: place.number("admitted", self.admitted)?,
                succeeded: place.number("succeeded", self.succeeded)?,
                failed: place.number("failed", self.failed)?,
                cancelled: place.number("cancelled", self.cancelled)?,
                forgiven_succeeded: place.number("forgiven_succeeded", self.forgiven_succeeded)?,
                forgiven_failed: place.number("forgiven_failed", self.forgiven_failed)?,
            },
        })
    }
}
