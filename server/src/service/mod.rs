//! Operations that decide something. Each takes the [`Context`] first and owns its transaction.

#[cfg(test)]
pub mod testing;

use crate::{
    clock::Clock,
    model::refusal::{Reason, Refusal},
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
            StoreError::Full(_) => Refusal::new(
                Reason::StorageFull,
                "the server's disk is full; nothing was stored",
                "free room on the server, then try again; what was acknowledged before is safe",
            )
            .retry_after(std::time::Duration::from_secs(60))
            .into(),
            other => Error::Store(other),
        }
    }
}
