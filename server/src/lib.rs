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
mod bootstrap;
mod chain;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod limits;
pub mod listen;
pub mod manufacturer;
pub mod model;
pub mod objects;
pub mod observe;
pub mod otlp;
pub mod pki;
pub mod proof;
pub mod rng;
pub mod serve;
pub mod service;
pub mod store;
pub mod tasks;
pub mod webhook;
