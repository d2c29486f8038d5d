//! Operations that decide something. Each takes the [`Context`] first and owns its transaction.

pub mod active_rollouts;
pub mod admissions;
pub mod alert_book;
#[cfg(test)]
mod alert_testing;
pub mod alert_watch;
pub mod alerts;
pub mod archive;
pub mod assignments;
pub mod audit;
pub mod authorities;
pub mod check_in;
pub mod claims;
pub mod cohorts;
pub mod conditions;
pub mod courier;
pub mod cross_section;
pub mod deliveries;
pub mod device_cache;
pub mod devices;
pub mod enroll;
pub mod enroll_rights;
pub mod erasure;
pub mod explain;
pub mod export;
#[cfg(test)]
pub mod fake_trust;
pub mod fleet_findings;
pub mod forecasts;
#[cfg(test)]
mod going_back_tests;
pub mod hand_assignments;
pub mod ingest;
pub mod known_keys;
pub mod limits;
pub mod limits_apply;
pub mod lines;
pub mod manifests;
pub mod offline;
pub mod online_keys;
pub mod otlp;
pub mod places;
pub mod presence;
pub mod prospects;
pub mod publish;
pub mod publish_withdraw;
pub mod registrations;
pub mod releases;
pub mod renew;
pub mod reports;
#[cfg(test)]
pub(crate) mod rollout_testing;
pub mod rollout_watch;
pub mod rollouts;
pub mod segments;
pub mod server_ca;
pub mod signed_time;
pub mod signing;
pub mod silences;
pub mod stop;
pub mod suppression;
pub mod tally;
pub mod telemetry;
#[cfg(test)]
pub mod testing;
pub mod token_cache;
pub mod tokens;
pub mod trust;
pub mod trust_expiry;
pub mod trust_init;
pub mod trust_keys;
pub mod trust_set;
pub mod trust_signatures;
pub mod trust_update;
pub(crate) mod update_steps;
pub mod updates;
pub mod wake;
pub mod wear;
#[cfg(test)]
mod wear_testing;
pub mod webhooks;

use std::{sync::Arc, time::Duration};

use crate::{
    chain::chain,
    clock::Clock,
    model::refusal::{Reason, Refusal},
    objects::{Objects, ObjectsError},
    observe::Metrics,
    pki::Pki,
    rng::Rng,
    store::{Db, StoreError},
};

/// What every operation needs: the world outside, as values.
#[derive(Clone, Debug)]
pub struct Context {
    /// The database.
    pub db: Db,
    /// What time it is.
    pub clock: Clock,
    /// Randomness.
    pub rng: Rng,
    /// Where the segments are.
    pub objects: Objects,
    /// The signed metadata in force, and the keys to sign with.
    pub trust: trust::Trust,
    /// Certificate authorities.
    pub pki: Arc<Pki>,
    /// Who may call with a token.
    pub tokens: token_cache::TokenCache,
    /// Devices in memory.
    pub devices: device_cache::DeviceCache,
    /// Last contacts that wait to be written.
    pub presence: presence::Presence,
    /// Counters.
    pub metrics: Metrics,
    /// Places for exports.
    pub exports: places::Places,
    /// Places for those who watch alerts and rollouts.
    pub watches: places::Places,
    /// Places for uploads of recorded lives.
    pub lessons: places::Places,
    /// The end of the process.
    pub stop: stop::Stop,
    /// Readings that wait to be stored.
    pub inbox: ingest::Inbox,
    /// Which anomalies are told.
    pub forecasts: forecasts::Forecasts,
    /// The archive of readings.
    pub archive: archive::Archive,
    /// Wakes whoever goes on with erasures.
    pub erasure: Arc<tokio::sync::Notify>,
    /// Release manifests in memory.
    pub manifests: manifests::Manifests,
    /// Wakes the watchers of alerts.
    pub alerts: alerts::AlertFeed,
    /// When devices count as offline.
    pub offline: offline::Offline,
    /// How far living alerts are known in memory.
    pub conditions: conditions::Conditions,
    /// Keeps the flags of alerts in step with silences and outages.
    pub suppression: suppression::Suppression,
    /// Brings events to webhooks.
    pub courier: courier::Courier,
    /// Rollouts that are not over.
    pub rollouts: active_rollouts::ActiveRollouts,
    /// Who renewed how often lately.
    pub renewals: renew::Renewals,
    /// From which addresses claims came lately that nobody made.
    pub guesses: enroll::Guesses,
    /// How long after its end a certificate is renewed without an operator's yes.
    pub renew_after_expiry: Duration,
    /// Also callers of this machine need a token for `/metrics`.
    pub metrics_token: bool,
    /// Wakes the reconciler and the watchers of rollouts.
    pub wake: wake::Wake,
    /// How often a device calls when nothing else decides.
    pub check_in_interval: Duration,
}

/// Why an operation did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller asked for something that is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] StoreError),
    /// Something that should hold does not; the text is for the log, not for the caller.
    #[error("{0}")]
    Internal(String),
}

/// The outcome of an operation.
pub type Result<T> = std::result::Result<T, Error>;

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full(_) => storage_full().into(),
            // The one thing that is counted where it is stored, in the transaction that adds it.
            StoreError::Exceeded { .. } => Refusal::new(
                Reason::ReportInvalid,
                error.to_string(),
                "update the agent; this report will never be taken",
            )
            .into(),
            other => Error::Store(other),
        }
    }
}

fn storage_full() -> Refusal {
    Refusal::new(
        Reason::StorageFull,
        "the server's disk is full, or takes no more; nothing was stored",
        "free room on the server, then try again; what was acknowledged before is safe",
    )
    .retry_after(Duration::from_secs(60))
}

impl From<ObjectsError> for Error {
    fn from(error: ObjectsError) -> Self {
        match error {
            ObjectsError::Full(_) => Refusal::new(
                Reason::StorageFull,
                "the server's object store is full; nothing was stored",
                "free room in the object store, then try again; what was acknowledged before is safe",
            )
            .retry_after(Duration::from_secs(60))
            .into(),
            ObjectsError::Failed(_) => {
                tracing::warn!(error = %chain(&error), "the object store does not answer");
                Refusal::new(Reason::Unavailable, "the object store does not answer", "try again in a moment")
                    .retry_after(Duration::from_secs(5))
                    .into()
            }
            other => Error::Internal(chain(&other)),
        }
    }
}
