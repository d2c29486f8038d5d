//! The lives of parts that reached a limit, and what those of a cohort taught.

use std::collections::BTreeSet;

use super::{
    StoreError, Tx,
    changes::{Kind, changes_bump},
    on,
};
use crate::model::{cohort::Cohort, time::Timestamp};

/// What names a cohort, in this order.
const KEY: &str = "limit_id, aim, unit, product, hardware";
/// A row of the cohort that is bound first.
const OF_COHORT: &str = "limit_id = $1 AND aim = $2 AND unit = $3 AND product = $4 AND hardware = $5";

/// Which life of its device one is in its cohort: 1 for the newest.
const PLACE: &str =
    "ROW_NUMBER() OVER (PARTITION BY device_id ORDER BY ended_at DESC, component, began_at) AS place";
/// The newest of each device, then the one before it.
const IN_TURN: &str = "place, ended_at DESC, device_id, component, began_at";
/// More than there are: both databases want a number before an offset.
const ALL: i64 = 1_000_000_000;

/// A part that reached its limit.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct LifeRow {
    /// The device it was in.
    pub device_id: String,
    /// Which part of it.
    pub component: String,
    /// When it was new, ms since the epoch.
    pub began_at: i64,
    /// When it reached the limit, ms since the epoch.
    pub ended_at: i64,
    /// What `slipway_insight::cohort::track` saved.
    pub track: Vec<u8>,
}

/// A cohort, and whether there is something new to learn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CohortRow {
    /// Which.
    pub cohort: Cohort,
    /// Grew with every life that came or went.
    pub changed: i64,
    /// What `changed` was when it learned.
    pub learned: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    limit_id: String,
    aim: String,
    unit: String,
    product: String,
    hardware: String,
    changed: i64,
    learned: i64,
    fit: Vec<u8>,
}

impl Row {
    fn split(self) -> (CohortRow, Vec<u8>) {
        let Row { limit_id, aim, unit, product, hardware, changed, learned, fit } = self;
        (CohortRow { cohort: Cohort { limit_id, aim, unit, product, hardware }, changed, learned }, fit)
    }
}

/// What names a cohort, in the order of [`KEY`].
type Key = (String, String, String, String, String);

fn cohort_of((limit_id, aim, unit, product, hardware): Key) -> Cohort {
    Cohort { limit_id, aim, unit, product, hardware }
}

/// Puts down the life of a part, once; again it changes nothing.
pub async fn life_put(tx: &mut Tx, cohort: &Cohort, life: &LifeRow) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO lives ({KEY}, device_id, component, began_at, ended_at, track) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT ({KEY}, device_id, component, began_at) DO NOTHING"
    );
    let Cohort { limit_id, aim, unit, product, hardware } = cohort;
    let put = on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(limit_id).bind(aim).bind(unit).bind(product).bind(hardware)
        .bind(&life.device_id).bind(&life.component).bind(life.began_at).bind(life.ended_at).bind(&life.track)
        .execute(conn).await.map(|done| done.rows_affected()))?;
    if put == 0 {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO cohorts ({KEY}, changed, learned, fit) VALUES ($1, $2, $3, $4, $5, 1, 0, $6) \
         ON CONFLICT ({KEY}) DO UPDATE SET changed = cohorts.changed + 1"
    );
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(limit_id).bind(aim).bind(unit).bind(product).bind(hardware).bind(&[] as &[u8])
        .execute(conn).await.map(drop))?;
    Ok(())
}

/// Lives of a cohort, at most `of_device` of each device and `limit` of all: the newest of each device, newest first,
/// then the one before it of each, and so on. Whatever a device says of its own lives, it takes the place of no other.
pub async fn lives_of_cohort(
    tx: &mut Tx,
    cohort: &Cohort,
    of_device: i64,
    limit: i64,
) -> Result<Vec<LifeRow>, StoreError> {
    let sql = format!(
        "SELECT device_id, component, began_at, ended_at, track FROM \
         (SELECT device_id, component, began_at, ended_at, track, {PLACE} FROM lives WHERE {OF_COHORT}) AS placed \
         WHERE place <= $6 ORDER BY {IN_TURN} LIMIT $7"
    );
    let Cohort { limit_id, aim, unit, product, hardware } = cohort;
    let rows = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(limit_id).bind(aim).bind(unit).bind(product).bind(hardware).bind(of_device).bind(limit)
        .fetch_all(conn).await)?;
    Ok(rows)
}

/// Forgets the lives of a cohort beyond `most`, in the order of [`lives_of_cohort`]; returns how many.
pub async fn lives_prune(tx: &mut Tx, cohort: &Cohort, most: i64) -> Result<u64, StoreError> {
    let sql = format!(
        "DELETE FROM lives WHERE {OF_COHORT} AND (device_id, component, began_at) IN \
         (SELECT device_id, component, began_at FROM \
         (SELECT device_id, component, began_at, ended_at, {PLACE} FROM lives WHERE {OF_COHORT}) AS placed \
         ORDER BY {IN_TURN} LIMIT {ALL} OFFSET $6)"
    );
    let Cohort { limit_id, aim, unit, product, hardware } = cohort;
    let pruned = on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(limit_id).bind(aim).bind(unit).bind(product).bind(hardware).bind(most)
        .execute(conn).await.map(|done| done.rows_affected()))?;
    Ok(pruned)
}

/// Forgets the oldest lives of a device's parts: those beyond `in_cohort` of each cohort, and beyond `in_all` of all. The
/// cohorts they were of are to learn without them.
pub async fn lives_of_device_prune(
    tx: &mut Tx,
    device_id: &str,
    in_cohort: i64,
    in_all: i64,
) -> Result<(), StoreError> {
    let sql = format!(
        "DELETE FROM lives WHERE device_id = $1 AND ({KEY}, component, began_at) NOT IN \
         (SELECT {KEY}, component, began_at FROM (SELECT {KEY}, component, began_at, ended_at, \
         ROW_NUMBER() OVER (PARTITION BY {KEY} ORDER BY ended_at DESC, component, began_at) AS place \
         FROM lives WHERE device_id = $1) AS placed WHERE place <= $2 \
         ORDER BY ended_at DESC, {KEY}, component, began_at LIMIT $3) RETURNING {KEY}"
    );
    let pruned: Vec<Key> = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(device_id).bind(in_cohort).bind(in_all).fetch_all(conn).await)?;
    let sql = format!("UPDATE cohorts SET changed = changed + 1 WHERE {OF_COHORT}");
    // In one order, so that two transactions never wait for each other.
    for Cohort { limit_id, aim, unit, product, hardware } in
        pruned.into_iter().map(cohort_of).collect::<BTreeSet<_>>()
    {
        on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql.as_str()))
            .bind(limit_id).bind(aim).bind(unit).bind(product).bind(hardware)
            .execute(conn).await.map(drop))?;
    }
    Ok(())
}

/// Forgets the lives of a device's parts; the cohorts they were of are to learn without them.
pub async fn lives_erase(tx: &mut Tx, device_id: &str) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE cohorts SET changed = changed + 1 \
         WHERE ({KEY}) IN (SELECT {KEY} FROM lives WHERE device_id = $1)"
    );
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql)).bind(device_id).execute(conn).await.map(drop))?;
    on!(tx, conn => sqlx::query("DELETE FROM lives WHERE device_id = $1")
        .bind(device_id).execute(conn).await.map(drop))?;
    Ok(())
}

/// Component and metric of the lives of a device's parts.
pub async fn lives_of_device(tx: &mut Tx, device_id: &str) -> Result<Vec<(String, String)>, StoreError> {
    let rows: Vec<(String, String)> = on!(tx, conn => sqlx::query_as(
        "SELECT DISTINCT component, aim FROM lives WHERE device_id = $1 ORDER BY component, aim")
        .bind(device_id).fetch_all(conn).await)?;
    // An aim begins with its metric, whose name has no blank.
    let metric = |aim: String| aim.split(' ').next().unwrap_or_default().to_owned();
    Ok(rows.into_iter().map(|(component, aim)| (component, metric(aim))).collect())
}

/// Forgets the lives of one part as one metric tells them; the cohorts they were of are to learn without them.
pub async fn lives_erase_series(
    tx: &mut Tx,
    device_id: &str,
    component: &str,
    metric: &str,
) -> Result<(), StoreError> {
    const OF_SERIES: &str = "device_id = $1 AND component = $2 AND SUBSTR(aim, 1, LENGTH($3)) = $3";
    let aim = format!("{metric} ");
    let sql = format!(
        "UPDATE cohorts SET changed = changed + 1 WHERE ({KEY}) IN (SELECT {KEY} FROM lives WHERE {OF_SERIES})"
    );
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(device_id).bind(component).bind(&aim).execute(conn).await.map(drop))?;
    let sql = format!("DELETE FROM lives WHERE {OF_SERIES}");
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(device_id).bind(component).bind(&aim).execute(conn).await.map(drop))?;
    Ok(())
}

/// Every cohort, by name.
pub async fn cohorts_all(tx: &mut Tx) -> Result<Vec<CohortRow>, StoreError> {
    // What they learned is not asked for: an empty column in its place.
    let sql = format!("SELECT {KEY}, changed, learned, SUBSTR(fit, 1, 0) AS fit FROM cohorts ORDER BY {KEY}");
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(conn).await)?;
    Ok(rows.into_iter().map(|row| row.split().0).collect())
}

/// What cohorts learned, of those that learned anything, by name.
pub async fn cohorts_fits(tx: &mut Tx) -> Result<Vec<(Cohort, Vec<u8>)>, StoreError> {
    let sql =
        format!("SELECT {KEY}, changed, learned, fit FROM cohorts WHERE LENGTH(fit) > 0 ORDER BY {KEY}");
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(conn).await)?;
    Ok(rows.into_iter().map(Row::split).map(|(row, fit)| (row.cohort, fit)).collect())
}

/// Cohorts that learned nothing and have lives of fewer than `devices` devices, all of which ended before `before`.
pub async fn cohorts_lonely(tx: &mut Tx, devices: i64, before: Timestamp) -> Result<Vec<Cohort>, StoreError> {
    let sql = format!(
        "SELECT {KEY} FROM lives WHERE ({KEY}) IN (SELECT {KEY} FROM cohorts WHERE LENGTH(fit) = 0) \
         GROUP BY {KEY} HAVING COUNT(DISTINCT device_id) < $1 AND MAX(ended_at) < $2 ORDER BY {KEY}"
    );
    let lonely: Vec<Key> = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(devices).bind(before.millis()).fetch_all(conn).await)?;
    Ok(lonely.into_iter().map(cohort_of).collect())
}

/// Keeps what a cohort learned when its lives were those of `changed`; nothing when it learned nothing. False when
/// they are others by now: then nothing is kept. Last in a transaction.
pub async fn cohort_learned(
    tx: &mut Tx,
    cohort: &Cohort,
    changed: i64,
    fit: &[u8],
) -> Result<bool, StoreError> {
    let sql = format!("UPDATE cohorts SET learned = $6, fit = $7 WHERE {OF_COHORT} AND changed = $6");
    let Cohort { limit_id, aim, unit, product, hardware } = cohort;
    let kept = on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(limit_id).bind(aim).bind(unit).bind(product).bind(hardware).bind(changed).bind(fit)
        .execute(conn).await.map(|done| done.rows_affected() == 1))?;
    if kept {
        changes_bump(tx, Kind::Cohorts).await?;
    }
    Ok(kept)
}

/// Forgets a cohort with its lives. Last in a transaction.
pub async fn cohort_delete(tx: &mut Tx, cohort: &Cohort) -> Result<(), StoreError> {
    let Cohort { limit_id, aim, unit, product, hardware } = cohort;
    for table in ["lives", "cohorts"] {
        let sql = format!("DELETE FROM {table} WHERE {OF_COHORT}");
        on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(limit_id).bind(aim).bind(unit).bind(product).bind(hardware)
            .execute(conn).await.map(drop))?;
    }
    changes_bump(tx, Kind::Cohorts).await.map(drop)
}
