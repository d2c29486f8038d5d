//! The only place with SQL. One file per noun; rows are private, functions return model types.
//!
//! Portable rules, so that one text runs on SQLite and PostgreSQL:
//! - placeholders `$1`…; times `BIGINT` milliseconds; flags 0 or 1; ids `TEXT`, byte order;
//! - `CAST(SUM(x) AS BIGINT)`, `CAST(COUNT(*) AS BIGINT)`;
//! - a unique tie-break in every `ORDER BY … LIMIT`;
//! - no `IN` with a list from outside: loop, or join.
//!
//! A transaction is a value and its commit a line one can see: dropping a [`Tx`] rolls it back.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};

pub mod alert_events;
pub mod alerts;
pub mod archive;
pub mod archive_clock;
pub mod archive_inbox;
pub mod archive_series;
pub mod assignments;
pub mod audit;
pub mod authorities;
pub mod changes;
pub mod claims;
pub mod cohorts;
mod column;
pub mod conditions;
mod connect;
mod damaged;
pub mod deliveries;
pub mod devices;
pub mod erasures;
mod error;
pub mod fixes;
pub mod inbox;
pub mod inbox_chunk;
pub mod learned;
pub mod limits;
mod lists;
pub mod manufacturers;
pub mod metadata;
mod migrate;
mod on;
pub mod outbox;
pub mod presence;
pub mod releases;
pub mod reports;
pub mod requests;
pub mod revoked_keys;
pub mod rollouts;
pub mod series;
pub mod silences;
pub mod tokens;
pub mod tracks;
pub mod update_lists;
pub mod updates;
pub mod waves;
pub mod wear;
pub mod webhooks;

use damaged::Damaged;
pub use error::StoreError;
pub(crate) use on::on;

/// The database: SQLite in the data directory, or PostgreSQL.
#[derive(Clone, Debug)]
pub struct Db {
    pools: Pools,
    statements: Arc<AtomicU64>,
    damaged: Damaged,
}

#[derive(Clone, Debug)]
enum Pools {
    /// SQLite has one writer at a time: one connection writes, the others read.
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
}

/// An open transaction. Dropped without [`Tx::commit`] it leaves no trace.
#[derive(Debug)]
pub struct Tx {
    pub(crate) inner: Inner,
    statements: Arc<AtomicU64>,
    damaged: Damaged,
}

#[derive(Debug)]
pub(crate) enum Inner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Db {
    /// A transaction that only reads, all of it as of one moment.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        let inner = match &self.pools {
            Pools::Sqlite { read, .. } => Inner::Sqlite(read.begin().await?),
            Pools::Postgres(pool) => {
                Inner::Postgres(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?)
            }
        };
        Ok(self.tx(inner))
    }

    /// A transaction that writes. On SQLite it waits until it is the only one.
    pub async fn write(&self) -> Result<Tx, StoreError> {
        let inner = match &self.pools {
            Pools::Sqlite { write, .. } => Inner::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?),
            Pools::Postgres(pool) => Inner::Postgres(pool.begin().await?),
        };
        Ok(self.tx(inner))
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut tx = self.read().await?;
        let _: i64 = on!(tx, conn => sqlx::query_scalar("SELECT CAST(1 AS BIGINT)").fetch_one(conn).await)?;
        Ok(())
    }

    /// How many statements ran since start; what "executes no SQL" is asserted by.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Whether other processes may write to the same database.
    pub fn is_shared(&self) -> bool {
        matches!(self.pools, Pools::Postgres(_))
    }

    /// Closes every connection after the running transactions.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }

    fn tx(&self, inner: Inner) -> Tx {
        // BEGIN counts too: "no SQL" means none.
        self.statements.fetch_add(1, Ordering::Relaxed);
        Tx { inner, statements: self.statements.clone(), damaged: self.damaged.clone() }
    }
}

impl Tx {
    /// Makes everything in it durable, all or nothing.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self.inner {
            Inner::Sqlite(open) => open.commit().await?,
            Inner::Postgres(open) => open.commit().await?,
        }
        Ok(())
    }

    pub(crate) fn count_statement(&self) {
        self.statements.fetch_add(1, Ordering::Relaxed);
    }
}
