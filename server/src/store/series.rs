//! The state of each series, saved in the transaction that consumes its readings.

use super::{StoreError, Tx, on};

/// One series as it is kept.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct SeriesRow {
    /// The component.
    pub component: String,
    /// The metric.
    pub metric: String,
    /// UCUM unit of its readings.
    pub unit: String,
    /// What the forecaster remembers.
    pub state: Vec<u8>,
    /// Newest value.
    pub last_value: f64,
    /// When it was read, ms since the epoch.
    pub last_at: i64,
}

/// Every series of one device.
pub async fn series_of_device(tx: &mut Tx, device_id: &str) -> Result<Vec<SeriesRow>, StoreError> {
    let rows = on!(tx, conn => sqlx::query_as(
        "SELECT component, metric, unit, state, last_value, last_at FROM series WHERE device_id = $1 \
         ORDER BY component, metric")
        .bind(device_id).fetch_all(conn).await)?;
    Ok(rows)
}

/// Saves one series.
pub async fn series_put(tx: &mut Tx, device_id: &str, row: &SeriesRow) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO series (device_id, component, metric, unit, state, last_value, last_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (device_id, component, metric) DO UPDATE SET \
         unit = excluded.unit, state = excluded.state, last_value = excluded.last_value, \
         last_at = excluded.last_at")
        .bind(device_id).bind(&row.component).bind(&row.metric).bind(&row.unit).bind(&row.state)
        .bind(row.last_value).bind(row.last_at).execute(conn).await.map(drop))?;
    Ok(())
}

/// Forgets one series: the part is another one now.
pub async fn series_delete(
    tx: &mut Tx,
    device_id: &str,
    component: &str,
    metric: &str,
) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("DELETE FROM series WHERE device_id = $1 AND component = $2 AND metric = $3")
        .bind(device_id).bind(component).bind(metric).execute(conn).await.map(drop))?;
    Ok(())
}
