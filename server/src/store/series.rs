//! The state of each series, saved in the transaction that consumes its readings.
//!
//! A device reports most of its series together, so they are kept together: a row is a *page* of up to
//! [`PAGE`] series. A row for each series costs several times as much CPU, most of it for keys.

use std::collections::BTreeMap;

use super::{Inner, StoreError, Tx, lists::in_list, on};

mod page;

/// Series of one page: what a device reports in a minute is one or two rows of 16 KiB, and a device with the
/// most series that are kept does not rewrite half a megabyte for one reading.
pub const PAGE: usize = 32;

/// Pages of one statement: SQLite takes 32,766 parameters, and half a megabyte is enough at once.
const TOGETHER: usize = 32;

/// One series as it is kept.
#[derive(Clone, Debug, PartialEq)]
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

/// Some of a device's series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesPage {
    /// The device.
    pub device_id: String,
    /// Counts from 0.
    pub page: i64,
    /// At most [`PAGE`], in no order.
    pub series: Vec<SeriesRow>,
}

/// Every series of one device, by component and metric.
pub async fn series_of_device(tx: &mut Tx, device_id: &str) -> Result<Vec<SeriesRow>, StoreError> {
    let pages = pages(tx, &[device_id]).await?;
    let kept = pages.into_iter().flat_map(|page| page.series);
    let mut all: Vec<SeriesRow> =
        kept.chain(old(tx, &[device_id]).await?.into_iter().map(|(_, series)| series)).collect();
    all.sort_by(|a, b| (&a.component, &a.metric).cmp(&(&b.component, &b.metric)));
    Ok(all)
}

/// Every series of these devices, by device, in no order within one.
pub async fn series_of_sample(
    tx: &mut Tx,
    device_ids: &[&str],
) -> Result<BTreeMap<String, Vec<SeriesRow>>, StoreError> {
    let mut by_device: BTreeMap<String, Vec<SeriesRow>> = BTreeMap::new();
    for page in pages(tx, device_ids).await? {
        by_device.entry(page.device_id).or_default().extend(page.series);
    }
    for (device_id, series) in old(tx, device_ids).await? {
        by_device.entry(device_id).or_default().push(series);
    }
    Ok(by_device)
}

/// The pages of these devices, by device and number; for a transaction that writes: what an earlier release
/// kept in a row each is moved to pages on the way.
pub async fn series_of_devices(tx: &mut Tx, device_ids: &[&str]) -> Result<Vec<SeriesPage>, StoreError> {
    let mut kept = pages(tx, device_ids).await?;
    let old = old(tx, device_ids).await?;
    if old.is_empty() {
        return Ok(kept);
    }
    let mut by_device: BTreeMap<String, Vec<SeriesRow>> = BTreeMap::new();
    for (device_id, series) in old {
        by_device.entry(device_id).or_default().push(series);
    }
    for (device_id, series) in by_device {
        let of_device = kept.iter().filter(|page| page.device_id == device_id);
        let next = of_device.map(|page| page.page + 1).max().unwrap_or(0);
        let moved = (next..).zip(series.chunks(PAGE)).map(|(page, series)| SeriesPage {
            device_id: device_id.clone(),
            page,
            series: series.to_vec(),
        });
        let moved: Vec<SeriesPage> = moved.collect();
        series_save(tx, &moved).await?;
        on!(tx, conn => sqlx::query("DELETE FROM series WHERE device_id = $1")
            .bind(&device_id).execute(conn).await.map(drop))?;
        kept.extend(moved);
    }
    kept.sort_by(|a, b| (&a.device_id, a.page).cmp(&(&b.device_id, b.page)));
    Ok(kept)
}

/// Saves pages as they are; one without series goes.
pub async fn series_save(tx: &mut Tx, pages: &[SeriesPage]) -> Result<(), StoreError> {
    let (kept, empty): (Vec<&SeriesPage>, Vec<&SeriesPage>) =
        pages.iter().partition(|page| !page.series.is_empty());
    for page in empty {
        on!(tx, conn => sqlx::query("DELETE FROM series_pages WHERE device_id = $1 AND page = $2")
            .bind(&page.device_id).bind(page.page).execute(conn).await.map(drop))?;
    }
    for together in kept.chunks(TOGETHER) {
        save(tx, together).await?;
    }
    Ok(())
}

async fn save(tx: &mut Tx, pages: &[&SeriesPage]) -> Result<(), StoreError> {
    const CONFLICT: &str = "ON CONFLICT (device_id, page) DO UPDATE SET series = excluded.series";
    tx.count_statement();
    let encoded = pages.iter().map(|page| page::encode(&page.series));
    match &mut tx.inner {
        Inner::Sqlite(open) => {
            let rows = vec!["(?, ?, ?)"; pages.len()].join(", ");
            let sql = format!("INSERT INTO series_pages (device_id, page, series) VALUES {rows} {CONFLICT}");
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
            for (page, bytes) in pages.iter().zip(encoded) {
                query = query.bind(page.device_id.as_str()).bind(page.page).bind(bytes);
            }
            query.execute(&mut **open).await?;
        }
        Inner::Postgres(open) => {
            let sql = format!(
                "INSERT INTO series_pages (device_id, page, series) \
                 SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::bytea[]) {CONFLICT}"
            );
            let ids: Vec<&str> = pages.iter().map(|page| page.device_id.as_str()).collect();
            let numbers: Vec<i64> = pages.iter().map(|page| page.page).collect();
            let bytes: Vec<Vec<u8>> = encoded.collect();
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(ids)
                .bind(numbers)
                .bind(bytes)
                .execute(&mut **open)
                .await?;
        }
    }
    Ok(())
}

/// Forgets one series: the part is another one now.
pub async fn series_delete(
    tx: &mut Tx,
    device_id: &str,
    component: &str,
    metric: &str,
) -> Result<(), StoreError> {
    let is_it = |series: &SeriesRow| series.component == component && series.metric == metric;
    for mut page in series_of_devices(tx, &[device_id]).await? {
        if page.series.iter().any(is_it) {
            page.series.retain(|series| !is_it(series));
            series_save(tx, &[page]).await?;
        }
    }
    Ok(())
}

/// Forgets every series of a device.
pub async fn series_erase(tx: &mut Tx, device_id: &str) -> Result<(), StoreError> {
    for table in ["series_pages", "series"] {
        let sql = format!("DELETE FROM {table} WHERE device_id = $1");
        on!(tx, conn => sqlx::query(sqlx::AssertSqlSafe(sql)).bind(device_id).execute(conn).await.map(drop))?;
    }
    Ok(())
}

async fn pages(tx: &mut Tx, device_ids: &[&str]) -> Result<Vec<SeriesPage>, StoreError> {
    let (list, ids) = in_list(tx, device_ids);
    let sql = format!(
        "SELECT device_id, page, series FROM series_pages WHERE device_id IN {list} ORDER BY device_id, page"
    );
    let rows: Vec<(String, i64, Vec<u8>)> =
        on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(ids).fetch_all(conn).await)?;
    rows.into_iter()
        .map(|(device_id, page, bytes)| match page::decode(&bytes) {
            Some(series) => Ok(SeriesPage { device_id, page, series }),
            None => Err(StoreError::Inconsistent {
                table: "series_pages",
                column: "series",
                id: format!("{device_id}/{page}"),
                value: format!("{} bytes", bytes.len()),
            }),
        })
        .collect()
}

/// What release 0.1.0 kept: a row for each series.
async fn old(tx: &mut Tx, device_ids: &[&str]) -> Result<Vec<(String, SeriesRow)>, StoreError> {
    #[derive(sqlx::FromRow)]
    struct Row {
        device_id: String,
        component: String,
        metric: String,
        unit: String,
        state: Vec<u8>,
        last_value: f64,
        last_at: i64,
    }
    let (list, ids) = in_list(tx, device_ids);
    let sql = format!(
        "SELECT device_id, component, metric, unit, state, last_value, last_at FROM series \
         WHERE device_id IN {list} ORDER BY device_id, component, metric"
    );
    let rows: Vec<Row> =
        on!(tx, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(ids).fetch_all(conn).await)?;
    let series = |row: Row| {
        let Row { device_id, component, metric, unit, state, last_value, last_at } = row;
        (device_id, SeriesRow { component, metric, unit, state, last_value, last_at })
    };
    Ok(rows.into_iter().map(series).collect())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::store::Db;

    #[tokio::test]
    async fn what_an_earlier_release_kept_moves_to_pages() {
        let folder = TempDir::new().unwrap();
        let db = Db::open_sqlite(&folder.path().join("slipway.db")).await.unwrap();
        let mut tx = db.write().await.unwrap();
        for (device, count) in [("a", 70), ("b", 1)] {
            for number in 0..count {
                on!(tx, conn => sqlx::query("INSERT INTO series VALUES ($1, 'disk', $2, 'By', x'0102', 0.5, 7)")
                    .bind(device).bind(format!("m{number:02}")).execute(conn).await.map(drop))
                .unwrap();
            }
        }
        let kept = SeriesPage { device_id: "a".to_owned(), page: 0, series: Vec::new() };
        let before = series_of_device(&mut tx, "a").await.unwrap();
        assert_eq!(
            (before.len(), before[69].metric.as_str(), before[0].state.as_slice()),
            (70, "m69", &[1, 2][..])
        );
        series_save(&mut tx, &[SeriesPage { series: before[..1].to_vec(), ..kept }]).await.unwrap();
        let pages = series_of_devices(&mut tx, &["a"]).await.unwrap();
        assert_eq!(pages.iter().map(|page| page.series.len()).collect::<Vec<_>>(), [1, PAGE, PAGE, 6]);
        assert_eq!(series_of_devices(&mut tx, &["a"]).await.unwrap(), pages);
        let others = on!(tx, conn => sqlx::query_scalar::<_, String>("SELECT device_id FROM series").fetch_all(conn).await);
        assert_eq!(others.unwrap(), ["b"]);
    }
}
