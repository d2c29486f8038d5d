//! Embedded migrations: numbered, never edited once released, the same names for both databases.

use sqlx::AssertSqlSafe;

use super::{Db, Inner, StoreError, on};

struct Migration {
    number: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! migration {
    ($number:literal, $name:literal) => {
        Migration {
            number: $number,
            name: $name,
            sqlite: include_str!(concat!("../../../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../../../migrations/postgres/", $name, ".sql")),
        }
    };
}

const MIGRATIONS: &[Migration] = &[
    migration!(1, "0001_first"),
    migration!(2, "0002_authorities"),
    migration!(3, "0003_renewal"),
    migration!(4, "0004_going_back"),
    migration!(5, "0005_enrolments"),
    migration!(8, "0008_webhooks"),
    migration!(7, "0007_alerts"),
    migration!(9, "0009_nonces"),
    migration!(10, "0010_series_pages"),
    migration!(11, "0011_archive"),
    migration!(12, "0012_erasures"),
    migration!(13, "0013_revoked_keys"),
    migration!(14, "0014_cohorts"),
    migration!(15, "0015_learned"),
    migration!(16, "0016_erasure_classes"),
    migration!(17, "0017_notes"),
    migration!(18, "0018_wear"),
    migration!(19, "0019_recovering"),
];

/// Two replicas that start at once take turns under this advisory lock ("slip" in ASCII).
const LOCK: i64 = 0x736c_6970;

/// Brings the schema to the present; refuses one that is newer than this program.
pub(super) async fn run(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.write().await?;
    if matches!(tx.inner, Inner::Postgres(_)) {
        on!(tx, conn => sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(conn).await.map(drop))?;
    }
    on!(tx, conn => sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS schema_migrations (number BIGINT PRIMARY KEY NOT NULL, name TEXT NOT NULL)"
    ).execute(conn).await.map(drop))?;
    let applied: Vec<(i64, String)> = on!(tx, conn =>
        sqlx::query_as("SELECT number, name FROM schema_migrations ORDER BY number").fetch_all(conn).await)?;
    for (number, name) in &applied {
        if !MIGRATIONS.iter().any(|known| known.number == *number && known.name == name) {
            return Err(StoreError::Inconsistent {
                table: "schema_migrations",
                column: "name",
                id: number.to_string(),
                value: format!("{name}: made by a newer slipwayd"),
            });
        }
    }
    for migration in MIGRATIONS {
        if applied.iter().any(|(number, _)| *number == migration.number) {
            continue;
        }
        let sql = match tx.inner {
            Inner::Sqlite(_) => migration.sqlite,
            Inner::Postgres(_) => migration.postgres,
        };
        on!(tx, conn => sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop))?;
        on!(tx, conn => sqlx::query("INSERT INTO schema_migrations (number, name) VALUES ($1, $2)")
            .bind(migration.number).bind(migration.name).execute(conn).await.map(drop))?;
    }
    tx.commit().await
}
