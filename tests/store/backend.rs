//! One case, two databases.

use slipway_server::{model::time::Timestamp, store::Db};
use tempfile::TempDir;

/// A migrated database of one test's own.
pub struct Backend {
    pub db: Db,
    reopen: Reopen,
}

enum Reopen {
    Sqlite(TempDir),
    Postgres { url: String, schema: String },
}

impl Backend {
    pub async fn sqlite() -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        let db = Db::open_sqlite(&folder.path().join("slipway.db")).await.expect("a new database");
        Backend { db, reopen: Reopen::Sqlite(folder) }
    }

    pub async fn postgres() -> Self {
        let (url, schema) = slipway_tests::postgres::fresh_schema();
        let db = Db::open_postgres(&url, Some(&schema)).await.expect("a new schema");
        Backend { db, reopen: Reopen::Postgres { url, schema } }
    }

    /// The same database, opened again as another process would.
    pub async fn again(&self) -> Db {
        match &self.reopen {
            Reopen::Sqlite(folder) => Db::open_sqlite(&folder.path().join("slipway.db")).await,
            Reopen::Postgres { url, schema } => Db::open_postgres(url, Some(schema)).await,
        }
        .expect("the database opens again")
    }
}

/// A moment; larger numbers are later.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_767_225_600 + seconds)
}

/// Makes each case a test on every database.
macro_rules! contract {
    ($($(#[doc = $what:literal])* $case:ident;)*) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case($crate::backend::Backend::sqlite().await).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case($crate::backend::Backend::postgres().await).await;
                }
            )*
        }
    };
}

pub(crate) use contract;
