//! `cargo xtask bench`: figures that the design sets budgets for, measured on release builds.

mod footprint;

use anyhow::Result;

use crate::workspace;

/// What to measure.
#[derive(clap::Subcommand)]
pub enum Bench {
    /// CPU of a check-in at which nothing changed, beside a bare tonic call
    CheckIn,
    /// Size of the agent: its file, and its memory while it waits
    Footprint,
}

/// Measures and prints.
pub fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::CheckIn => {
            workspace::build("release")?;
            // Named as in the build above, so that nothing is built twice.
            workspace::run(workspace::cargo().args(["bench", "--workspace", "--bench", "check_in"]))
        }
        Bench::Footprint => footprint::run(),
    }
}
