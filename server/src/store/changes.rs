//! Generations: how a replica learns that another one changed what it has cached.
//!
//! A bump is part of the transaction that makes the change. On PostgreSQL its row stays locked
//! until that transaction ends, so generations are handed out in commit order; bump last, and
//! several kinds in the order of [`Kind`], so that two transactions never wait for each other.

use super::{StoreError, Tx, on};

/// What a replica may have cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Bearer tokens.
    Tokens,
    /// Device records.
    Devices,
    /// Rollouts and waves.
    Rollouts,
    /// Signed metadata.
    Trust,
    /// Limits of series.
    Limits,
    /// Wear models.
    Wear,
    /// Changes of alerts; its generation is the position of an event.
    AlertEvents,
    /// Events to be told outside; its generation is the position of one.
    Outbox,
    /// What cohorts taught.
    Cohorts,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Tokens => "tokens",
            Kind::Devices => "devices",
            Kind::Rollouts => "rollouts",
            Kind::Trust => "trust",
            Kind::Limits => "limits",
            Kind::Wear => "wear",
            Kind::AlertEvents => "alert_events",
            Kind::Outbox => "outbox",
            Kind::Cohorts => "cohorts",
        }
    }
}

/// The generation of every kind at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generations {
    /// Of [`Kind::Tokens`].
    pub tokens: i64,
    /// Of [`Kind::Devices`].
    pub devices: i64,
    /// Of [`Kind::Rollouts`].
    pub rollouts: i64,
    /// Of [`Kind::Trust`].
    pub trust: i64,
    /// Of [`Kind::Limits`].
    pub limits: i64,
    /// Of [`Kind::AlertEvents`].
    pub alert_events: i64,
}

/// Marks `kind` as changed by this transaction; returns the new generation.
pub async fn changes_bump(tx: &mut Tx, kind: Kind) -> Result<i64, StoreError> {
    let generation: i64 = on!(tx, conn =>
        sqlx::query_scalar("UPDATE changes SET generation = generation + 1 WHERE kind = $1 RETURNING generation")
            .bind(kind.as_str()).fetch_one(conn).await)?;
    Ok(generation)
}

/// The generation of one kind.
pub async fn changes_get(tx: &mut Tx, kind: Kind) -> Result<i64, StoreError> {
    let generation: i64 = on!(tx, conn =>
        sqlx::query_scalar("SELECT generation FROM changes WHERE kind = $1")
            .bind(kind.as_str()).fetch_one(conn).await)?;
    Ok(generation)
}

/// All of them, in one statement.
pub async fn changes_all(tx: &mut Tx) -> Result<Generations, StoreError> {
    let rows: Vec<(String, i64)> =
        on!(tx, conn => sqlx::query_as("SELECT kind, generation FROM changes").fetch_all(conn).await)?;
    let of = |kind: Kind| rows.iter().find(|(name, _)| name == kind.as_str()).map_or(0, |(_, value)| *value);
    Ok(Generations {
        tokens: of(Kind::Tokens),
        devices: of(Kind::Devices),
        rollouts: of(Kind::Rollouts),
        trust: of(Kind::Trust),
        limits: of(Kind::Limits),
        alert_events: of(Kind::AlertEvents),
    })
}
