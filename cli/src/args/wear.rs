//! Arguments of `wear`.

use std::path::PathBuf;

use clap::Subcommand;

use super::Extent;

/// How long parts still live, by the recorded lives of others.
#[derive(Debug, Subcommand)]
pub enum WearCommand {
    /// Set a wear model, and have it learn from recorded lives; one of the same name is replaced
    #[command(
        after_help = "The model is TOML, the lives are CSV; docs/wear.md describes both:\n  slipway wear apply -f turbofan.toml --lives lives.csv --dry-run"
    )]
    Apply(WearApply),
    /// Wear models, by name
    List(Extent),
    /// One wear model: what it follows, what it learned, and how well it tells what it has not seen
    Show {
        /// The wear model
        model: String,
    },
    /// Say that a device has a new part: it is followed from new, and an open alert about the one before is resolved
    Restart {
        /// The wear model
        model: String,
        /// The device
        device: String,
    },
    /// Remove a wear model with all that it knows; its open alerts are resolved
    Delete {
        /// The wear model
        model: String,
    },
}

/// Arguments of `wear apply`.
#[derive(Debug, clap::Args)]
pub struct WearApply {
    /// What is followed, and how
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub file: PathBuf,

    /// Recorded lives: `unit`, then each sensor; a row for each step, the last one of a unit its failure
    #[arg(long, value_name = "FILE")]
    pub lives: PathBuf,

    /// Only show what is learned, and what would change
    #[arg(long)]
    pub dry_run: bool,
}
