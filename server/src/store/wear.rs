//! Wear models, and the parts that they follow.

use std::time::Duration;

use slipway_insight::cohort::Cohort;

use super::{
    Inner, StoreError, Tx,
    changes::{Kind, changes_bump},
    column::{Place, json},
    damaged::fill,
    lists::in_list,
    on,
};
use crate::model::{
    alert::Severity,
    selector::Selector,
    time::{Timestamp, span_millis},
    wear::{WearModel, WearTerms},
};

const COLUMNS: &str = "id, selector, component, sensors, step_ms, horizon, part, failure_mode, lead_time_ms, severity, \
    source, digest, row_count, fit, updated_at, updated_by";

/// Rows of one statement: SQLite takes 32,766 parameters.
const TOGETHER: usize = 256;

/// One wear model.
pub async fn wear_model_get(tx: &mut Tx, id: &str) -> Result<Option<WearModel>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM wear_models WHERE id = $1");
    let row: Option<Row> =
        on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(conn).await)?;
    row.map(WearModel::try_from).transpose()
}

/// Wear models after `after` by id; start with an empty text.
pub async fn wear_models_page(tx: &mut Tx, after: &str, limit: i64) -> Result<Vec<WearModel>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM wear_models WHERE id > $1 ORDER BY id LIMIT $2");
    let mut after = after.to_owned();
    fill!(
        tx,
        limit,
        |left| on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(&after).bind(left).fetch_all(conn).await)?,
        |last| after.clone_from(&last.id)
    )
}

/// How many there are.
pub async fn wear_models_count(tx: &mut Tx) -> Result<i64, StoreError> {
    let count: i64 = on!(tx, conn =>
        sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM wear_models").fetch_one(conn).await)?;
    Ok(count)
}

/// Sets a wear model; one with the same id is replaced. Last in a transaction.
pub async fn wear_model_put(tx: &mut Tx, model: &WearModel) -> Result<(), StoreError> {
    let WearModel { terms, digest, rows, cohort, updated_at, updated_by } = model;
    let sql = format!(
        "INSERT INTO wear_models ({COLUMNS}) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
         ON CONFLICT (id) DO UPDATE SET selector = excluded.selector, component = excluded.component, \
         sensors = excluded.sensors, step_ms = excluded.step_ms, horizon = excluded.horizon, part = excluded.part, \
         failure_mode = excluded.failure_mode, lead_time_ms = excluded.lead_time_ms, severity = excluded.severity, \
         source = excluded.source, digest = excluded.digest, row_count = excluded.row_count, fit = excluded.fit, \
         updated_at = excluded.updated_at, updated_by = excluded.updated_by"
    );
    on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(&terms.id).bind(terms.selector.as_str()).bind(&terms.component).bind(json(&terms.sensors))
        .bind(terms.step_ms()).bind(i64::from(terms.horizon)).bind(&terms.part).bind(&terms.failure_mode)
        .bind(span_millis(terms.lead_time)).bind(terms.severity.as_str()).bind(&terms.source)
        .bind(digest.as_bytes().as_slice()).bind(i64::from(*rows)).bind(cohort.encode())
        .bind(updated_at.millis()).bind(updated_by)
        .execute(conn).await.map(drop))?;
    changes_bump(tx, Kind::Wear).await.map(drop)
}

/// Removes a wear model and what is known of the parts it followed. Last in a transaction.
pub async fn wear_model_delete(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    wear_parts_restart(tx, id).await?;
    on!(tx, conn => sqlx::query("DELETE FROM wear_models WHERE id = $1").bind(id).execute(conn).await.map(drop))?;
    changes_bump(tx, Kind::Wear).await.map(drop)
}

/// A part that is followed.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct PartRow {
    /// The device.
    pub device_id: String,
    /// The wear model, which says which part.
    pub model_id: String,
    /// What `slipway_insight::cohort::follow` saved.
    pub state: Vec<u8>,
}

/// The parts of these devices that are followed, by device and model.
pub async fn wear_parts_of_devices(tx: &mut Tx, device_ids: &[&str]) -> Result<Vec<PartRow>, StoreError> {
    let (list, ids) = in_list(tx, device_ids);
    let sql = format!(
        "SELECT device_id, model_id, state FROM wear_parts WHERE device_id IN {list} ORDER BY device_id, model_id"
    );
    let rows = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(ids).fetch_all(conn).await)?;
    Ok(rows)
}

/// Saves parts as they are.
pub async fn wear_parts_save(tx: &mut Tx, parts: &[PartRow]) -> Result<(), StoreError> {
    for together in parts.chunks(TOGETHER) {
        save(tx, together).await?;
    }
    Ok(())
}

async fn save(tx: &mut Tx, parts: &[PartRow]) -> Result<(), StoreError> {
    const CONFLICT: &str = "ON CONFLICT (device_id, model_id) DO UPDATE SET state = excluded.state";
    tx.count_statement();
    match &mut tx.inner {
        Inner::Sqlite(open) => {
            let rows = vec!["(?, ?, ?)"; parts.len()].join(", ");
            let sql = format!("INSERT INTO wear_parts (device_id, model_id, state) VALUES {rows} {CONFLICT}");
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
            for row in parts {
                query = query.bind(&row.device_id).bind(&row.model_id).bind(&row.state);
            }
            query.execute(&mut **open).await?;
        }
        Inner::Postgres(open) => {
            let sql = format!(
                "INSERT INTO wear_parts (device_id, model_id, state) \
                 SELECT * FROM UNNEST($1::text[], $2::text[], $3::bytea[]) {CONFLICT}"
            );
            let column = |text: fn(&PartRow) -> &str| parts.iter().map(text).collect::<Vec<&str>>();
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(column(|row| &row.device_id))
                .bind(column(|row| &row.model_id))
                .bind(parts.iter().map(|row| row.state.as_slice()).collect::<Vec<&[u8]>>())
                .execute(&mut **open)
                .await?;
        }
    }
    Ok(())
}

/// Forgets one part: it is another one now, or is no longer followed.
pub async fn wear_part_delete(tx: &mut Tx, device_id: &str, model_id: &str) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("DELETE FROM wear_parts WHERE device_id = $1 AND model_id = $2")
        .bind(device_id).bind(model_id).execute(conn).await.map(drop))?;
    Ok(())
}

/// Forgets every part that a model follows.
pub async fn wear_parts_restart(tx: &mut Tx, model_id: &str) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("DELETE FROM wear_parts WHERE model_id = $1")
        .bind(model_id).execute(conn).await.map(drop))?;
    Ok(())
}

/// Forgets every part of a device.
pub async fn wear_parts_erase(tx: &mut Tx, device_id: &str) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("DELETE FROM wear_parts WHERE device_id = $1")
        .bind(device_id).execute(conn).await.map(drop))?;
    Ok(())
}

/// How many devices each model follows, of those that follow any, by model.
pub async fn wear_parts_count(tx: &mut Tx) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = on!(tx, conn => sqlx::query_as(
        "SELECT model_id, CAST(COUNT(*) AS BIGINT) FROM wear_parts GROUP BY model_id ORDER BY model_id")
        .fetch_all(conn).await)?;
    Ok(rows)
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    selector: String,
    component: String,
    sensors: String,
    step_ms: i64,
    horizon: i64,
    part: String,
    failure_mode: String,
    lead_time_ms: i64,
    severity: String,
    source: String,
    digest: Vec<u8>,
    row_count: i64,
    fit: Vec<u8>,
    updated_at: i64,
    updated_by: String,
}

impl TryFrom<Row> for WearModel {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let place = Place { table: "wear_models", id: &row.id };
        let terms = WearTerms {
            id: row.id.clone(),
            selector: Selector::parse(&row.selector)
                .map_err(|_| place.inconsistent("selector", &row.selector))?,
            component: row.component,
            sensors: place.json("sensors", &row.sensors)?,
            step: Duration::from_millis(place.number("step_ms", row.step_ms)?),
            horizon: place.number("horizon", row.horizon)?,
            part: row.part,
            failure_mode: row.failure_mode,
            lead_time: Duration::from_millis(place.number("lead_time_ms", row.lead_time_ms)?),
            severity: place.word("severity", &row.severity, Severity::parse(&row.severity))?,
            source: row.source,
        };
        let cohort = Cohort::decode(&row.fit).map_err(|error| place.inconsistent("fit", error))?;
        if cohort.sensors() != terms.sensors.len() {
            return Err(place.inconsistent("fit", format!("of {} sensors", cohort.sensors())));
        }
        Ok(WearModel {
            digest: place.digest("digest", &row.digest)?,
            rows: place.number("row_count", row.row_count)?,
            cohort,
            updated_at: Timestamp::from_millis(row.updated_at),
            updated_by: row.updated_by,
            terms,
        })
    }
}
