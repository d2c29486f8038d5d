//! SIGKILL at random moments, for the agents and for the server, as processes on real files.
//!
//! The seed is printed; `SLIPWAY_SEED=N` runs the same kills again.

mod agents;
mod archive;
mod invariants;
mod kills;
mod readings;
mod webhooks;
