//! How series that limits watch went since their parts were new; written only when a sample was taken.

use super::{Inner, StoreError, Tx, lists::in_list, on};

/// Rows of one statement: SQLite takes 32,766 parameters.
const TOGETHER: usize = 256;

/// The course of one series.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct TrackRow {
    /// The device.
    pub device_id: String,
    /// The component.
    pub component: String,
    /// The metric.
    pub metric: String,
    /// What `slipway_insight::cohort::track` saved.
    pub track: Vec<u8>,
}

/// The courses of these devices, by device, component and metric.
pub async fn tracks_of_devices(tx: &mut Tx, device_ids: &[&str]) -> Result<Vec<TrackRow>, StoreError> {
    let (list, ids) = in_list(tx, device_ids);
    let sql = format!(
        "SELECT device_id, component, metric, track FROM tracks WHERE device_id IN {list} \
         ORDER BY device_id, component, metric"
    );
    let rows = on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(ids).fetch_all(conn).await)?;
    Ok(rows)
}

/// Saves courses as they are.
pub async fn tracks_save(tx: &mut Tx, tracks: &[TrackRow]) -> Result<(), StoreError> {
    for together in tracks.chunks(TOGETHER) {
        save(tx, together).await?;
    }
    Ok(())
}

async fn save(tx: &mut Tx, tracks: &[TrackRow]) -> Result<(), StoreError> {
    const CONFLICT: &str = "ON CONFLICT (device_id, component, metric) DO UPDATE SET track = excluded.track";
    tx.count_statement();
    match &mut tx.inner {
        Inner::Sqlite(open) => {
            let rows = vec!["(?, ?, ?, ?)"; tracks.len()].join(", ");
            let sql =
                format!("INSERT INTO tracks (device_id, component, metric, track) VALUES {rows} {CONFLICT}");
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
            for row in tracks {
                query = query.bind(&row.device_id).bind(&row.component).bind(&row.metric).bind(&row.track);
            }
            query.execute(&mut **open).await?;
        }
        Inner::Postgres(open) => {
            let sql = format!(
                "INSERT INTO tracks (device_id, component, metric, track) \
                 SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bytea[]) {CONFLICT}"
            );
            let column = |text: fn(&TrackRow) -> &str| tracks.iter().map(text).collect::<Vec<&str>>();
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(column(|row| &row.device_id))
                .bind(column(|row| &row.component))
                .bind(column(|row| &row.metric))
                .bind(tracks.iter().map(|row| row.track.as_slice()).collect::<Vec<&[u8]>>())
                .execute(&mut **open)
                .await?;
        }
    }
    Ok(())
}

/// Forgets one course: the part is another one now.
pub async fn track_delete(
    tx: &mut Tx,
    device_id: &str,
    component: &str,
    metric: &str,
) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("DELETE FROM tracks WHERE device_id = $1 AND component = $2 AND metric = $3")
        .bind(device_id).bind(component).bind(metric).execute(conn).await.map(drop))?;
    Ok(())
}

/// Forgets every course of a device.
pub async fn tracks_erase(tx: &mut Tx, device_id: &str) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("DELETE FROM tracks WHERE device_id = $1")
        .bind(device_id).execute(conn).await.map(drop))?;
    Ok(())
}
