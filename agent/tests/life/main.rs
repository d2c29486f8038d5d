//! Whole lives of an agent against a small fleet server: the real agent, real TLS, real files.

mod bundles;
mod device;
mod fleet;
mod full;
mod kill;
mod listen;
mod lost;
mod refuse;
mod refused;
mod threats;
mod update;
mod wire;
