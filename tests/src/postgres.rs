//! A schema of its own for each test, in the cluster that `cargo xtask test` starts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where the throwaway cluster listens, as `cargo xtask test` says it.
pub const VARIABLE: &str = "SLIPWAY_TEST_POSTGRES";

/// URL of the cluster, and the name of a schema that no other test has.
///
/// # Panics
///
/// When there is no cluster: a suite that skips a database would prove nothing about it.
pub fn fresh_schema() -> (String, String) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let url = std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: run the tests with `cargo xtask test`, or set it to postgres://user@host:port/database")
    });
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    (url, format!("test_{}_{number}", std::process::id()))
}
