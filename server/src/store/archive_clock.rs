//! What the archive remembers of the server's clock, by which it drops readings.

use super::{StoreError, Tx, on};
use crate::model::{steady_clock::SteadyClock, time::Timestamp};

/// Names of the counters.
const SEEN: &str = "clock_seen";
const STEADY: &str = "clock_steady";
const BELIEVED: &str = "clock_believed";

/// What is remembered.
pub async fn archive_clock(tx: &mut Tx) -> Result<SteadyClock, StoreError> {
    let rows: Vec<(String, i64)> = on!(tx, conn => sqlx::query_as(
        "SELECT name, value FROM archive_counters WHERE name IN ($1, $2, $3)")
        .bind(SEEN).bind(STEADY).bind(BELIEVED).fetch_all(conn).await)?;
    let value = |name: &str| rows.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
    Ok(SteadyClock {
        seen: value(SEEN).map(Timestamp::from_millis),
        steady: value(STEADY).unwrap_or(0),
        believed: value(BELIEVED).map(Timestamp::from_millis),
    })
}

/// Remembers it instead of what was remembered.
pub async fn archive_clock_put(tx: &mut Tx, clock: &SteadyClock) -> Result<(), StoreError> {
    let values = [
        (SEEN, clock.seen.map(Timestamp::millis)),
        (STEADY, Some(clock.steady)),
        (BELIEVED, clock.believed.map(Timestamp::millis)),
    ];
    for (name, value) in values {
        let Some(value) = value else { continue };
        on!(tx, conn => sqlx::query(
            "INSERT INTO archive_counters (name, value) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value")
            .bind(name).bind(value).execute(conn).await.map(drop))?;
    }
    Ok(())
}
