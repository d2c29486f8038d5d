//! Leaves out of a device's agent what it would carry for nothing.

use std::{env, path::Path};

/// Read by both GNU ld and lld.
const SCRIPT: &str = "link/no-unwind-tables.ld";

fn main() {
    println!("cargo:rerun-if-changed={SCRIPT}");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    // Only the profile `agent` optimises for size, and it aborts on a panic, so nothing ever unwinds. The
    // tables for it are an eighth of the program all the same: the compiler has an option that leaves them
    // out of new code, but the standard library comes with its own.
    if is("OPT_LEVEL", "z") && is("CARGO_CFG_TARGET_OS", "linux") {
        let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", Path::new(&folder).join(SCRIPT).display());
    }
}
