//! `cargo xtask bench`: figures that the design sets budgets for, measured on release builds.

mod footprint;

use std::path::PathBuf;

use anyhow::Result;

use crate::workspace;

/// What to measure.
#[derive(clap::Subcommand)]
pub enum Bench {
    /// CPU of a check-in at which nothing changed, beside a bare tonic call
    CheckIn,
    /// Disks of a data centre through the running server: those that failed and were told before, those told in vain
    Disks {
        /// Folder of the recordings: `drives`; see docs/TESTING.md
        #[arg(long)]
        data: PathBuf,
    },
    /// Size of the agent: its file, and its memory while it waits
    Footprint,
    /// How good predictions are, on recordings of real things by published measures, and what they cost
    Insight {
        /// Folder of the recordings: `nab`, `cmapss` and `battery`; see docs/TESTING.md
        #[arg(long)]
        data: PathBuf,
    },
    /// What readings cost the server, from the call to the saved state, beside a bare insert of the same rows
    Telemetry,
}

/// Measures and prints.
pub fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::CheckIn => {
            workspace::build("release")?;
            // Named as in the build above, so that nothing is built twice.
            workspace::run(workspace::cargo().args(["bench", "--workspace", "--bench", "check_in"]))
        }
        Bench::Disks { data } => {
            workspace::build("release")?;
            workspace::run(
                workspace::cargo()
                    .args(["bench", "--workspace", "--bench", "disks", "--", "--data"])
                    .arg(data.canonicalize()?),
            )
        }
        Bench::Telemetry => {
            workspace::build("release")?;
            workspace::run(workspace::cargo().args(["bench", "--workspace", "--bench", "telemetry"]))
        }
        Bench::Footprint => footprint::run(),
        Bench::Insight { data } => workspace::run(
            workspace::cargo()
                .args(["bench", "-p", "slipway-insight", "--bench", "insight", "--", "--data"])
                .arg(data.canonicalize()?),
        ),
    }
}
