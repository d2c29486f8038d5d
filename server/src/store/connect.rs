//! Pools and what every connection is told first.

use std::{path::Path, str::FromStr as _, sync::Arc, time::Duration};

use sqlx::{
    Connection as _,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Damaged, Db, Pools, StoreError, migrate};

/// Readers beside the one writer; reads are short and answered from the page cache.
const SQLITE_READERS: u32 = 4;
/// Per replica; PostgreSQL's default limit of 100 then serves five.
const POSTGRES_CONNECTIONS: u32 = 20;

impl Db {
    /// Opens or makes the SQLite database in `file` and brings it to the present schema.
    pub async fn open_sqlite(file: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: what was acknowledged survives a power cut, not only a crash.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // What is deleted is overwritten: an erasure is one, and not a promise about free pages.
            .pragma("secure_delete", "ON")
            .busy_timeout(Duration::from_secs(10));
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            // A full disk makes SQLite roll back by itself, which the driver does not notice: it
            // would refuse every later transaction on that connection.
            .before_acquire(|conn, _| Box::pin(async move { Ok(!conn.is_in_transaction()) }))
            .connect_with(options.clone())
            .await?;
        let read = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        let db = Db {
            pools: Pools::Sqlite { write, read },
            statements: Arc::default(),
            damaged: Damaged::default(),
        };
        migrate::run(&db).await?;
        Ok(db)
    }

    /// Connects to PostgreSQL 15 or newer and brings the schema to the present.
    ///
    /// `url` is `postgres://user@host:port/database`; `schema`, when given, is made and used
    /// instead of the default one.
    pub async fn open_postgres(url: &str, schema: Option<&str>) -> Result<Self, StoreError> {
        let mut options = PgConnectOptions::from_str(url)?;
        if let Some(schema) = schema {
            options = options.options([("search_path", schema)]);
        }
        let pool = PgPoolOptions::new().max_connections(POSTGRES_CONNECTIONS).connect_with(options).await?;
        if let Some(schema) = schema {
            let quoted = schema.replace('"', "\"\"");
            let sql = format!("CREATE SCHEMA IF NOT EXISTS \"{quoted}\"");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await?;
        }
        let db = Db { pools: Pools::Postgres(pool), statements: Arc::default(), damaged: Damaged::default() };
        migrate::run(&db).await?;
        Ok(db)
    }
}
