//! Arguments of `trust` and `release`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{KeyCounts, KnownPassphrase, ListArgs, NewPassphrase, ReleaseBundle};
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
    /// Show how long each signed role lives
    ///
    /// With --within, only the roles that people sign and that end so soon; exit code 1 when there is
    /// one, so that a timer can call.
    #[command(after_help = "Example:\n  slipway trust expiring --within 60d")]
    Expiring {
        /// Only what ends within this time
        #[arg(long, value_parser = crate::duration::parse, value_name = "DURATION")]
        within: Option<std::time::Duration>,
    },
    /// Make one key, for a person who signs with others; prints its public half
    ///
    /// The public half, which ends in .pub, goes to whoever runs `trust rotate`.
    Key {
        /// File to write the private key to, for example ann.pem; never over another
        file: PathBuf,

        /// How it is protected.
        #[command(flatten)]
        passphrase: NewPassphrase,
    },
    /// Give roles new keys, or sign everything for another year
    ///
    /// Roles that people sign: root, targets, publisher. Roles that the server signs: timestamp,
    /// snapshot, director; it makes the new key itself. server-ca is no role: it tells devices from which CAs the
    /// server's own certificate comes, those in the file of --server-ca. Without a role nothing changes but the
    /// dates. A new root is signed by those it replaces and by its own keys. Without --out all of it is signed
    /// with the keys in --keys and published at once; with --out it is a draft.
    Rotate(TrustRotate),
    /// Show what a draft changes, ask, and add the signatures of keys
    Sign(DraftSign),
    /// Give a server that was restored from a backup the roots that were published after the backup
    ///
    /// Devices hold a newer root than such a server. The roots are public: root.json in the newest key
    /// directory is the last, a device keeps all it took as metadata/N.root.json in its state folder.
    Restore {
        /// A root; of several each has to follow the one before
        #[arg(long, required = true, value_name = "FILE")]
        root: Vec<PathBuf>,
    },
    /// Publish a draft that enough people signed; name every copy of it
    Publish {
        /// The folder that was drafted, in one or several copies
        #[arg(required = true)]
        draft: Vec<PathBuf>,

        /// Check everything, store nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// Arguments of `trust rotate`.
#[derive(Debug, clap::Args)]
pub struct TrustRotate {
    /// Roles that get new keys
    #[arg(value_enum, value_name = "ROLE")]
    pub roles: Vec<RotatedRole>,

    /// Directory that `trust init` filled; new keys of people are made in it
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,

    /// Write a draft into this folder instead of signing here
    #[arg(long, value_name = "DRAFT")]
    pub out: Option<PathBuf>,

    /// Sign without asking
    #[arg(long)]
    pub yes: bool,

    /// How the new keys are protected; a passphrase that is read here also opens those that exist.
    #[command(flatten)]
    pub passphrase: NewPassphrase,

    /// How many new keys, as many as there are when nothing is said.
    #[command(flatten)]
    pub counts: KeyCounts,

    /// A public key (.pub file or 64 hex digits) that signs root from now on, instead of new keys; may be
    /// given several times, for old keys that stay too
    #[arg(long, value_name = "PUBLIC")]
    pub root_key: Vec<String>,

    /// The same for targets
    #[arg(long, value_name = "PUBLIC")]
    pub targets_key: Vec<String>,

    /// The same for the publishers of every product
    #[arg(long, value_name = "PUBLIC")]
    pub publisher_key: Vec<String>,

    /// CAs (PEM) that devices accept the server's certificate from, and no others: for `server-ca`
    #[arg(long, value_name = "FILE")]
    pub server_ca: Option<PathBuf>,
}

/// A role that can get new keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RotatedRole {
    /// Signs who may sign.
    Root,
    /// Signs which products there are and who publishes them.
    Targets,
    /// Signs releases.
    Publisher,
    /// The server's: says that there is nothing newer.
    Timestamp,
    /// The server's: says which documents belong together.
    Snapshot,
    /// The server's: says which device shall run what.
    Director,
    /// No role: the CAs that the server's own certificate comes from.
    ServerCa,
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
    /// Take a release back: nobody is offered it any more
    ///
    /// Its rollouts end, and offers that were not installed are taken back. Devices that run it go on,
    /// and are listed: roll out another release to them. Its version is never used again. Refused when
    /// devices need it as a stepping stone.
    Withdraw(ReleaseWithdraw),
    /// Write a release into one file, for devices without a network
    ///
    /// The file holds everything that a device asks the server for: `slipway-agent install --bundle`
    /// installs from it. It is no secret and needs no protection: a device verifies every byte. It is good
    /// until its first signature expires, which is days: make a new one then. A run that was interrupted
    /// goes on where it was.
    #[command(
        after_help = "Example:\n  slipway release bundle pump/2.0.0 --device pump-1 --out pump-2.0.0.tar"
    )]
    Bundle(ReleaseBundle),
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

    /// Of a new product: accept publishers who publish no other product yet
    #[arg(long)]
    pub new_publishers: bool,
}

/// Arguments of `release withdraw`.
#[derive(Debug, clap::Args)]
pub struct ReleaseWithdraw {
    /// PRODUCT/VERSION, or a VERSION of the product `default`
    pub release: String,

    /// Directory that `trust init` filled
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,

    /// Why: shown with the rollouts that end, and in the audit log
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,

    /// Withdraw it although devices need it as a stepping stone
    #[arg(long)]
    pub force: bool,

    /// Write a draft into this folder instead of signing here
    #[arg(long, value_name = "DRAFT")]
    pub out: Option<PathBuf>,

    /// Sign without asking
    #[arg(long)]
    pub yes: bool,

    /// Where the passphrase of the keys comes from.
    #[command(flatten)]
    pub passphrase: KnownPassphrase,
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
