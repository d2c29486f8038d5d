//! The device side of Slipway.
//!
//! `machine` decides, purely; `shell` makes each decision durable in the `journal` and has it done;
//! everything else is an adapter: `slots` (disk and boot loader), `link` (the server), `fetch` (bytes),
//! `verify` (signed metadata), `bundle` (both from a file), `keystore` and `identity`, `health`, `local` (what the device says on the spot). Readings go
//! from `collect` through `consent` into the `spool`; `telemetry` ties them together.

pub mod aside;
pub mod authorities;
pub mod bundle;
pub mod certificate;
pub mod clock;
pub mod collect;
pub mod config;
pub mod consent;
pub mod contact;
pub mod diagnose;
pub mod diary;
pub mod durable;
pub mod effects;
pub mod enroll;
pub mod fetch;
pub mod first_word;
pub mod health;
pub mod http_date;
pub mod identity;
pub mod install;
pub mod journal;
pub mod kept;
pub mod keystore;
pub mod link;
pub mod local;
pub mod machine;
pub mod manifest;
pub mod pace;
pub mod passport;
pub mod readings;
pub mod recover;
pub mod replay;
pub mod rng;
pub mod run;
pub mod schedule;
pub mod shell;
pub mod signed_time;
pub mod slots;
pub mod socket;
pub mod spool;
pub mod telemetry;
pub mod tls;
pub mod verify;

pub use config::{Config, StateDir};
pub use install::{InstallError, install};
pub use run::{RunError, run};
