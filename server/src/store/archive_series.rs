//! What series the archive holds, and the newest reading of each. It follows the archive: written before a job
//! ends, and again when the job is done again.

use super::{Inner, StoreError, Tx, column::Place, on};
use crate::model::{device::DataClass, time::Timestamp};

/// One series of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct ArchivedSeries {
    /// Part of the device.
    pub component: String,
    /// Metric.
    pub metric: String,
    /// Class of its readings. A series whose class was changed stands here once for each.
    pub class: DataClass,
    /// UCUM unit of the newest reading.
    pub unit: String,
    /// When that was read.
    pub last_at: Timestamp,
    /// Its value.
    pub last_value: f64,
}

/// The series of a device, by component, metric and class.
pub async fn archive_series_of_device(
    tx: &mut Tx,
    device_id: &str,
) -> Result<Vec<ArchivedSeries>, StoreError> {
    let rows: Vec<(String, String, String, String, i64, f64)> = on!(tx, conn => sqlx::query_as(
        "SELECT component, metric, class, unit, last_at, last_value FROM archive_series WHERE device_id = $1 \
         ORDER BY component, metric, class").bind(device_id).fetch_all(conn).await)?;
    rows.into_iter()
        .map(|(component, metric, class, unit, last_at, last_value)| {
            let place = Place { table: "archive_series", id: device_id };
            let class = place.word("class", &class, DataClass::parse(&class))?;
            let last_at = Timestamp::from_millis(last_at);
            Ok(ArchivedSeries { component, metric, class, unit, last_at, last_value })
        })
        .collect()
}

/// Records series of a device; an older reading never replaces a newer one.
pub async fn archive_series_record(
    tx: &mut Tx,
    device_id: &str,
    series: &[ArchivedSeries],
) -> Result<(), StoreError> {
    tx.count_statement();
    match &mut tx.inner {
        Inner::Sqlite(open) => {
            for one in series {
                sqlx::query(
                    "INSERT INTO archive_series (device_id, component, metric, class, unit, last_at, last_value) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (device_id, component, metric, class) \
                     DO UPDATE SET unit = excluded.unit, last_at = excluded.last_at, \
                     last_value = excluded.last_value WHERE archive_series.last_at < excluded.last_at",
                )
                .bind(device_id)
                .bind(one.component.as_str())
                .bind(one.metric.as_str())
                .bind(one.class.as_str())
                .bind(one.unit.as_str())
                .bind(one.last_at.millis())
                .bind(one.last_value)
                .execute(&mut **open)
                .await?;
            }
        }
        Inner::Postgres(open) => {
            let text = |of: fn(&ArchivedSeries) -> &str| series.iter().map(of).collect::<Vec<&str>>();
            sqlx::query(
                "INSERT INTO archive_series (device_id, component, metric, class, unit, last_at, last_value) \
                 SELECT $1, component, metric, class, unit, last_at, last_value FROM UNNEST($2::text[], $3::text[], \
                 $4::text[], $5::text[], $6::bigint[], $7::double precision[]) \
                 AS new (component, metric, class, unit, last_at, last_value) \
                 ON CONFLICT (device_id, component, metric, class) DO UPDATE SET unit = excluded.unit, \
                 last_at = excluded.last_at, last_value = excluded.last_value \
                 WHERE archive_series.last_at < excluded.last_at",
            )
            .bind(device_id)
            .bind(text(|one| &one.component))
            .bind(text(|one| &one.metric))
            .bind(text(|one| one.class.as_str()))
            .bind(text(|one| &one.unit))
            .bind(series.iter().map(|one| one.last_at.millis()).collect::<Vec<i64>>())
            .bind(series.iter().map(|one| one.last_value).collect::<Vec<f64>>())
            .execute(&mut **open)
            .await?;
        }
    }
    Ok(())
}

/// Forgets the series of a device, or those of one class.
pub async fn archive_series_delete(
    tx: &mut Tx,
    device_id: &str,
    class: Option<DataClass>,
) -> Result<(), StoreError> {
    let word = class.map_or("", DataClass::as_str);
    on!(tx, conn => sqlx::query("DELETE FROM archive_series WHERE device_id = $1 AND ($2 = '' OR class = $2)")
        .bind(device_id).bind(word).execute(conn).await.map(drop))?;
    Ok(())
}

/// Forgets series of a class without a reading since `before`; returns how many.
pub async fn archive_series_expire(
    tx: &mut Tx,
    class: DataClass,
    before: Timestamp,
) -> Result<u64, StoreError> {
    Ok(on!(tx, conn => sqlx::query("DELETE FROM archive_series WHERE class = $1 AND last_at < $2")
        .bind(class.as_str()).bind(before.millis()).execute(conn).await.map(|done| done.rows_affected()))?)
}
