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
    /// The private keys stay in the directory: the server never sees them. Whoever has enough of them
    /// and can reach the server can publish firmware; keep a copy where neither fire nor thieves reach
    /// it. With several keys of a role, each is a file of its own, to be handed to its holder. A run
    /// that was interrupted is finished by running the same command again.
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

    /// How many keys of each role, and how many of them have to sign.
    #[command(flatten)]
    pub counts: KeyCounts,
}

/// How many keys of each role, and how many of them have to sign.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
#[command(next_help_heading = "Keys and thresholds")]
pub struct KeyCounts {
    /// How many root keys [default: 1]
    #[arg(long, value_parser = names::one_or_more::<u32>, value_name = "N")]
    pub root_keys: Option<u32>,

    /// How many of them have to sign [default: more than half]
    #[arg(long, value_parser = names::one_or_more::<u32>, value_name = "N")]
    pub root_threshold: Option<u32>,

    /// How many targets keys [default: 1]
    #[arg(long, value_parser = names::one_or_more::<u32>, value_name = "N")]
    pub targets_keys: Option<u32>,

    /// How many of them have to sign [default: more than half]
    #[arg(long, value_parser = names::one_or_more::<u32>, value_name = "N")]
    pub targets_threshold: Option<u32>,

    /// How many publisher keys [default: 1]
    #[arg(long, value_parser = names::one_or_more::<u32>, value_name = "N")]
    pub publisher_keys: Option<u32>,

    /// How many of them have to sign a release [default: more than half]
    #[arg(long, value_parser = names::one_or_more::<u32>, value_name = "N")]
    pub publisher_threshold: Option<u32>,
}

/// How new keys are protected; without a choice the terminal is asked, twice.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(group = ArgGroup::new("protection").multiple(false))]
pub struct NewPassphrase {
    /// Leave the keys unencrypted (for trying out, and where the directory itself is encrypted)
    #[arg(long, group = "protection")]
    pub no_passphrase: bool,

    /// Read the passphrase from the first line of a file
    #[arg(long, group = "protection", value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,

    /// Read the passphrase from the first line of an open file descriptor, as in 3< <(pass show slipway)
    #[arg(long, group = "protection", value_name = "N")]
    pub passphrase_fd: Option<u32>,
}

/// Where the passphrase of keys comes from; without a choice the terminal is asked.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(group = ArgGroup::new("passphrase").multiple(false))]
pub struct KnownPassphrase {
    /// Read the passphrase of the keys from the first line of a file instead of asking for it
    #[arg(long, group = "passphrase", value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,

    /// Read the passphrase of the keys from the first line of an open file descriptor
    #[arg(long, group = "passphrase", value_name = "N")]
    pub passphrase_fd: Option<u32>,
}

/// Versions of a product.
#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Sign an image on this machine and publish it; or publish a draft that others signed
    ///
    /// The image is cut into segments of 1 MiB; only those the server does not have are sent. Nothing
    /// is visible to a device until the last step, which is one transaction. Of a draft, name every
    /// copy that somebody signed: their signatures are brought together.
    Publish(ReleasePublish),
    /// Send an image and write what has to be signed into a folder, for several people to sign
    ///
    /// What is sent is no secret and nothing to a device until it is published. Needs no private key:
    /// of --keys only root.json is read, and for the first release of a product the public keys of its
    /// publishers.
    Draft(ReleaseDraft),
    /// Show what a draft changes, ask, and add the signatures of keys
    Sign(DraftSign),
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
    /// The image, a regular file that is not empty; or a draft, in one or several copies
    #[arg(required = true, value_name = "IMAGE|DRAFT")]
    pub what: Vec<PathBuf>,

    /// Version, for example 2.0.0; has to be newer than every release of the product
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,

    /// Hardware models that the image is for; may be given several times
    #[arg(long, value_name = "MODEL")]
    pub hardware: Vec<String>,

    /// Directory that `trust init` filled
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,

    /// What else is said of the release.
    #[command(flatten)]
    pub rules: ReleaseTerms,

    /// Where the passphrase of the keys comes from.
    #[command(flatten)]
    pub passphrase: KnownPassphrase,

    /// Check everything, send and store nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `release draft`.
#[derive(Debug, clap::Args)]
pub struct ReleaseDraft {
    /// The image: a regular file, not empty
    pub image: PathBuf,

    /// Version, for example 2.0.0; has to be newer than every release of the product
    #[arg(long, value_name = "VERSION")]
    pub version: String,

    /// Hardware models that the image is for; may be given several times
    #[arg(long, value_name = "MODEL", required = true)]
    pub hardware: Vec<String>,

    /// Directory with root.json, the root that is trusted
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,

    /// Folder to write the draft into; it may not exist yet
    #[arg(long, value_name = "DRAFT")]
    pub out: PathBuf,

    /// What else is said of the release.
    #[command(flatten)]
    pub rules: ReleaseTerms,
}

/// What is said of a release beside its image, version and hardware.
#[derive(Debug, Clone, clap::Args)]
pub struct ReleaseTerms {
    /// Part of the device that the image is for
    #[arg(long, value_name = "NAME", default_value = "system")]
    pub component: String,

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
}

/// Arguments of `release sign` and `trust sign`.
#[derive(Debug, clap::Args)]
pub struct DraftSign {
    /// The folder that was drafted
    pub draft: PathBuf,

    /// A private key to sign with; may be given several times
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Vec<PathBuf>,

    /// The root that you trust [default: root.json beside the first key]
    #[arg(long, value_name = "FILE")]
    pub root: Option<PathBuf>,

    /// Do not ask the server whether the draft still follows what is published: compare with what was
    /// published when it was drafted
    #[arg(long)]
    pub offline: bool,

    /// Sign without asking
    #[arg(long)]
    pub yes: bool,

    /// Where the passphrase of the keys comes from.
    #[command(flatten)]
    pub passphrase: KnownPassphrase,
}
