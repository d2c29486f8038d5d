//! Reconcilers: take no input, wake by signal and timer, read all state, idempotent, safe on every replica at once.

pub mod alert_feed;
pub mod archive;
pub mod changes;
pub mod cohorts;
pub mod conditions;
pub mod driver;
pub mod erasure;
pub mod fleet;
pub mod inbox;
pub mod metadata;
pub mod offline;
pub mod outbox;
pub mod presence;
pub mod requests;
pub mod retention;
pub mod rollouts;
pub mod suppression;
