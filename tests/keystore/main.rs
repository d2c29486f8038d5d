//! What every key store has to do, and a fleet whose device has its key in a TPM.
//!
//! Without the feature `tpm` only the store in files is held to it; `cargo xtask test` runs both.

mod contract;
#[cfg(feature = "tpm")]
mod fleet;
#[cfg(feature = "tpm")]
mod trouble;
