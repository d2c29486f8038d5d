//! Bounds that were learned, by limit and model.

use slipway_insight::fence::Fence;

use super::{
    StoreError, Tx,
    changes::{Kind, changes_bump},
    column::Place,
    on,
};
use crate::model::{
    learned::{Learned, LearnedBound, Model},
    limit::Limit,
    time::Timestamp,
};

#[derive(sqlx::FromRow)]
struct Row {
    limit_id: String,
    product: String,
    hardware: String,
    component: String,
    unit: String,
    devices: i64,
    value: Option<f64>,
    median: Option<f64>,
    beyond: i64,
    factor: f64,
    learned_at: i64,
}

/// Gives the limits whose bounds are learned what was learned.
pub(super) async fn fill(tx: &mut Tx, limits: &mut [Limit]) -> Result<(), StoreError> {
    if !limits.iter().any(|limit| limit.learned.is_some()) {
        return Ok(());
    }
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT limit_id, product, hardware, component, unit, devices, value, median, beyond, factor, learned_at \
         FROM learned_bounds ORDER BY limit_id, product, hardware, component, unit").fetch_all(conn).await)?;
    for row in rows {
        let of_limit = limits.iter_mut().find(|limit| limit.id == row.limit_id);
        if let Some(learned) = of_limit.and_then(|limit| limit.learned.as_mut()) {
            learned.bounds.push(LearnedBound::try_from(row)?);
        }
    }
    Ok(())
}

/// Writes what was learned for a limit, in place of what was known before.
pub async fn learned_put(tx: &mut Tx, limit_id: &str, learned: &Learned) -> Result<(), StoreError> {
    learned_forget(tx, limit_id).await?;
    for bound in &learned.bounds {
        let model = &bound.model;
        let fence = bound.fence.as_ref();
        on!(tx, conn => sqlx::query(
            "INSERT INTO learned_bounds (limit_id, product, hardware, component, unit, devices, value, median, \
             beyond, factor, learned_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
            .bind(limit_id).bind(&model.product).bind(&model.hardware).bind(&model.component).bind(&model.unit)
            .bind(i64::from(bound.devices)).bind(fence.map(|fence| fence.value))
            .bind(fence.map(|fence| fence.median)).bind(i64::from(fence.map_or(0, |fence| fence.beyond)))
            .bind(bound.factor).bind(bound.learned_at.millis()).execute(conn).await.map(drop))?;
    }
    let at = learned.learned_at.map(Timestamp::millis);
    on!(tx, conn => sqlx::query("UPDATE limits SET learned_at = $2 WHERE id = $1")
        .bind(limit_id).bind(at).execute(conn).await.map(drop))?;
    changes_bump(tx, Kind::Limits).await.map(drop)
}

/// Forgets what was learned for a limit.
pub async fn learned_forget(tx: &mut Tx, limit_id: &str) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("DELETE FROM learned_bounds WHERE limit_id = $1")
        .bind(limit_id).execute(conn).await.map(drop))?;
    Ok(())
}

impl TryFrom<Row> for LearnedBound {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = row.limit_id.clone();
        let place = Place { table: "learned_bounds", id: &id };
        let devices = place.number("devices", row.devices)?;
        let beyond = place.number("beyond", row.beyond)?;
        let fence = row.value.zip(row.median);
        Ok(LearnedBound {
            model: Model {
                product: row.product,
                hardware: row.hardware,
                component: row.component,
                unit: row.unit,
            },
            devices,
            fence: fence.map(|(value, median)| Fence { value, median, devices, beyond }),
            factor: row.factor,
            learned_at: Timestamp::from_millis(row.learned_at),
        })
    }
}
