//! The floor: the same readings as rows of one table, many to a statement, one commit for each batch of devices.

use slipway_proto::v1::Reading;
use slipway_tests::cpu;
use sqlx::{Connection as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

/// Rows of a statement: six parameters each, and SQLite takes 32,766.
const ROWS: usize = 1_000;

/// CPU time of this process for a reading, in microseconds, when so many devices send these.
pub fn micros_a_reading(readings: &[Reading], devices: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let readings = readings.to_vec();
    std::thread::spawn(move || runtime.block_on(insert(&readings, devices))).join().expect("the floor")
}

async fn insert(readings: &[Reading], devices: usize) -> f64 {
    let folder = TempDir::new().expect("a temporary folder");
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("bulk.db"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
    let mut db = SqliteConnection::connect_with(&options).await.expect("a database");
    db.execute(
        "CREATE TABLE readings (device TEXT NOT NULL, component TEXT NOT NULL, metric TEXT NOT NULL, unit TEXT NOT NULL, \
         at INTEGER NOT NULL, value REAL NOT NULL) STRICT",
    )
    .await
    .expect("a table");
    let rows: Vec<(String, &Reading)> = (0..devices)
        .flat_map(|device| readings.iter().map(move |reading| (format!("device-{device}"), reading)))
        .collect();
    let process = std::process::id();
    let before = cpu::used(process);
    for some in rows.chunks(ROWS) {
        let sql =
            format!("INSERT INTO readings VALUES {}", vec!["(?, ?, ?, ?, ?, ?)"; some.len()].join(", "));
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        for (device, reading) in some {
            let at = reading.time.as_ref().map_or(0, |time| time.seconds * 1000);
            query = query.bind(device).bind(&reading.component).bind(&reading.metric).bind(&reading.unit);
            query = query.bind(at).bind(reading.value);
        }
        query.execute(&mut db).await.expect("rows");
    }
    (cpu::used(process) - before).as_secs_f64() * 1e6 / rows.len() as f64
}
