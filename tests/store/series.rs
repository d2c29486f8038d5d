//! The states of series, a page of them in a row, and the chunks of batches that step them.

use slipway_server::store::{
    Db,
    inbox::{InboxRow, inbox_put, inbox_waiting},
    inbox_chunk::{inbox_chunk, inbox_consumed},
    series::{
        PAGE, SeriesPage, SeriesRow, series_delete, series_erase, series_of_device, series_of_devices,
        series_save,
    },
};

use crate::backend::{Backend, at, contract};

contract! {
    pages_are_saved_as_they_are;
    one_series_is_forgotten_and_the_others_stay;
    a_device_is_erased_whole;
    a_chunk_has_the_oldest_batches_up_to_so_many_bytes;
    batches_are_consumed_once;
}

fn series(metric: &str, last_value: f64) -> SeriesRow {
    SeriesRow {
        component: "filter".to_owned(),
        metric: metric.to_owned(),
        unit: "Pa".to_owned(),
        state: vec![1, 2, 3],
        last_value,
        last_at: 9,
    }
}

fn page(device_id: &str, page: i64, series: Vec<SeriesRow>) -> SeriesPage {
    SeriesPage { device_id: device_id.to_owned(), page, series }
}

async fn saved(db: &Db, device_id: &str) -> Vec<SeriesRow> {
    series_of_device(&mut db.read().await.unwrap(), device_id).await.unwrap()
}

async fn pages_are_saved_as_they_are(backend: Backend) {
    // More pages than one statement takes, of names that mean something to JSON and SQL.
    let mut pages: Vec<SeriesPage> =
        (0..40).map(|number| page("b", number, vec![series(&format!("m{number:02}"), 0.1 + 0.2)])).collect();
    let quoted = page("a\"b'\\", 0, vec![series("x", -0.0)]);
    pages.insert(0, quoted.clone());
    let mut tx = backend.db.write().await.unwrap();
    series_save(&mut tx, &pages).await.unwrap();
    series_save(&mut tx, &[page("b", 7, vec![series("m07", 5.0), series("new", 6.0)])]).await.unwrap();
    series_save(&mut tx, &[page("b", 8, Vec::new())]).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = backend.db.write().await.unwrap();
    let read = series_of_devices(&mut tx, &["b", "nobody", "a\"b'\\"]).await.unwrap();
    assert_eq!((read.len(), &read[0]), (40, &quoted));
    assert_eq!(read[8].series, [series("m07", 5.0), series("new", 6.0)]);
    assert_eq!((read[9].page, read[39].page), (9, 39));
    drop(tx);
    let all = saved(&backend.db, "b").await;
    assert_eq!((all.len(), all[39].metric.as_str()), (40, "new"), "by component and metric");
}

async fn one_series_is_forgotten_and_the_others_stay(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    let pages =
        [page("a", 0, vec![series("x", 1.0), series("y", 2.0)]), page("a", 1, vec![series("z", 3.0)])];
    series_save(&mut tx, &pages).await.unwrap();
    series_delete(&mut tx, "a", "filter", "x").await.unwrap();
    series_delete(&mut tx, "a", "filter", "z").await.unwrap();
    series_delete(&mut tx, "a", "pump", "y").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(saved(&backend.db, "a").await, [series("y", 2.0)]);
    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(series_of_devices(&mut tx, &["a"]).await.unwrap().len(), 1, "an empty page is none");
}

async fn a_device_is_erased_whole(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    let full = (0..PAGE).map(|number| series(&number.to_string(), 0.0)).collect();
    series_save(&mut tx, &[page("a", 0, full), page("b", 0, vec![series("x", 1.0)])]).await.unwrap();
    series_erase(&mut tx, "a").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        (saved(&backend.db, "a").await, saved(&backend.db, "b").await),
        (vec![], vec![series("x", 1.0)])
    );
}

fn batch(device: &str, sequence: i64, seconds: i64) -> InboxRow {
    InboxRow {
        device_id: device.to_owned(),
        sequence,
        nonce: vec![7; 16],
        received_at: at(seconds).millis(),
        readings: vec![0; 100],
    }
}

async fn a_chunk_has_the_oldest_batches_up_to_so_many_bytes(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    for row in [batch("b", 2, 1), batch("a", 7, 1), batch("b", 1, 0), batch("Z", 1, 1)] {
        inbox_put(&mut tx, &row).await.unwrap();
    }
    let oldest = [batch("b", 1, 0), batch("Z", 1, 1), batch("a", 7, 1), batch("b", 2, 1)];
    for (bytes, rows, taken, is_full) in
        [(0, 9, 1, true), (99, 9, 1, true), (299, 9, 2, true), (900, 3, 3, true), (900, 9, 4, false)]
    {
        let chunk = inbox_chunk(&mut tx, bytes, rows).await.unwrap();
        assert_eq!(
            (chunk.rows.as_slice(), chunk.is_full),
            (&oldest[..taken], is_full),
            "{bytes} bytes, {rows} rows"
        );
    }
}

async fn batches_are_consumed_once(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    let rows: Vec<InboxRow> = (1..=200).map(|sequence| batch("a", sequence, sequence)).collect();
    for row in &rows {
        inbox_put(&mut tx, row).await.unwrap();
    }
    let other = InboxRow { nonce: vec![8; 16], ..batch("a", 200, 200) };
    inbox_put(&mut tx, &other).await.unwrap();
    assert_eq!(inbox_consumed(&mut tx, &[]).await.unwrap(), 0);
    assert_eq!(inbox_consumed(&mut tx, &rows).await.unwrap(), 200);
    assert_eq!(inbox_consumed(&mut tx, &rows).await.unwrap(), 0);
    assert_eq!(inbox_waiting(&mut tx, 10).await.unwrap(), [other]);
}
