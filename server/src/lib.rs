//! slipwayd, the fleet service. Reading order:
//!
//! - [`model`]: what a device, a release, a rollout is, and every decision as a pure function.
//! - [`store`]: the only place with SQL.
//! - [`service`]: operations that decide something; they own transactions.
//! - [`api`]: gRPC and HTTP: authenticate, convert, map refusals. Nothing else.
//! - [`tasks`]: reconcilers, safe to run on every replica at once.
//!
//! `api → service → store → model`, `api → store` for plain reads, `tasks → service, store, model`.

pub mod api;
pub mod clock;
pub mod model;
pub mod rng;
pub mod service;
pub mod store;
pub mod tasks;
