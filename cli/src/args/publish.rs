//! Arguments of `trust` and `release`.

use std::path::PathBuf;

use clap::{ArgGroup, Subcommand};

use super::ListArgs;
use crate::names;

/// Who may sign what.
#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Make the root, targets and publisher keys and give the server its first root
    ///
    /// The private keys stay in the directory: the server never sees them. Whoever has them and can
    /// reach the server can publish firmware; keep a copy where neither fire nor thieves reach it.
    /// A run that was interrupted is finished by running the same command again.
    Init(TrustInit),
    /// Show the present root, its keys and how long it lives
    Show,
}

/// Arguments of `trust init`.
#[derive(Debug, clap::Args)]
pub struct TrustInit {
    /// Directory for the keys; made with mode 0700 if it does not exist
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,

    /// How the new keys are protected.
    #[command(flatten)]
    pub passphrase: NewPassphrase,
}

/// How new keys are protected; without a choice the terminal is asked, twice.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("protection").multiple(false))]
pub struct NewPassphrase {
    /// Leave the keys unencrypted (for trying out, and where the directory itself is encrypted)
    #[arg(long, group = "protection")]
    pub no_passphrase: bool,

    /// Read the passphrase from the first line of a file
    #[arg(long, group = "protection", value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// Versions of a product.
#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Sign an image on this machine and publish it
    ///
    /// The image is cut into segments of 1 MiB; only those the server does not have are sent. Nothing
    /// is visible to a device until the last step, which is one transaction.
    Publish(ReleasePublish),
    /// Releases, newest first; filter fields: product, version, hardware
    #[command(
        after_help = "Example:\n  slipway release list --filter 'product = \"pump\" AND version >= 2.0'"
    )]
    List(ListArgs),
    /// One release
    Show {
        /// PRODUCT/VERSION, or a VERSION of the product `default`
        release: String,
    },
}

/// Arguments of `release publish`.
#[derive(Debug, clap::Args)]
pub struct ReleasePublish {
    /// The image: a regular file, not empty
    pub image: PathBuf,

    /// Version, for example 2.0.0; has to be newer than every release of the product
    #[arg(long, value_name = "VERSION")]
    pub version: String,

    /// Part of the device that the image is for
    #[arg(long, value_name = "NAME", default_value = "system")]
    pub component: String,

    /// Hardware models that the image is for; may be given several times
    #[arg(long, value_name = "MODEL", required = true)]
    pub hardware: Vec<String>,

    /// Directory that `trust init` filled
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,

    /// Read the passphrase of the keys from the first line of a file instead of asking for it
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,

    /// Product line
    #[arg(long, value_name = "NAME", default_value = super::DEFAULT_PRODUCT)]
    pub product: String,

    /// After running this release a device never goes below this release counter [default: as before]
    #[arg(long, value_parser = names::whole::<u64>, value_name = "COUNTER")]
    pub floor: Option<u64>,

    /// Needs at least this release counter installed
    #[arg(long, value_parser = names::whole::<u64>, value_name = "COUNTER", default_value_t = 0, hide_default_value = true)]
    pub min_from: u64,

    /// Accept hardware models that no device or claim of the product has yet
    #[arg(long)]
    pub new_hardware: bool,

    /// Check everything, send and store nothing
    #[arg(long)]
    pub dry_run: bool,
}
