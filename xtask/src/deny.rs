//! `cargo xtask deny`: bans, licences and sources of everything we depend on, as `deny.toml` says.

use anyhow::{Result, bail};

use crate::{tools, workspace};

/// Runs cargo-deny. Advisories are left out: they come over the network and change from day to day, so they belong into
/// a scheduled job and not into a test of this tree.
pub fn run() -> Result<()> {
    let installed = tools::find("cargo-deny").is_some()
        || std::env::var_os("CARGO_HOME")
            .map(std::path::PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
            .is_some_and(|home| home.join("bin/cargo-deny").is_file());
    if !installed {
        bail!("cargo-deny is missing: cargo install cargo-deny --locked");
    }
    workspace::run(workspace::cargo().args([
        "deny",
        "--all-features",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}
