//! Arguments of `claim` and `device`.

use std::{path::PathBuf, time::Duration};

use clap::{Subcommand, ValueEnum};
use slipway_proto::v1;

use super::{ClaimFile, DeviceImport, Extent, ListArgs};
use crate::{duration, names};

/// What the owner of a device is asked about.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ClassName {
    /// Needed to update safely
    Essential,
    /// How the machine is
    Diagnostic,
    /// How it is used
    Usage,
    /// Where it is
    Location,
}

impl ClassName {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            ClassName::Essential => "essential",
            ClassName::Diagnostic => "diagnostic",
            ClassName::Usage => "usage",
            ClassName::Location => "location",
        }
    }

    /// On the wire.
    pub fn wire(self) -> v1::DataClass {
        match self {
            ClassName::Essential => v1::DataClass::Essential,
            ClassName::Diagnostic => v1::DataClass::Diagnostic,
            ClassName::Usage => v1::DataClass::Usage,
            ClassName::Location => v1::DataClass::Location,
        }
    }
}

/// The right to enrol devices.
#[derive(Debug, Subcommand)]
pub enum ClaimCommand {
    /// Make a claim; its token is shown once
    #[command(
        after_help = "Example:\n  slipway claim create --product pump --hardware gw-a --uses 20 \\\n      --label site=north --out claim.json"
    )]
    Create(ClaimCreate),
    /// Write a claim file without a token, for machines whose keys are registered (`slipway device import`)
    /// and for those with a certificate of their manufacturer (`slipway authority import`)
    File(ClaimFile),
    /// Claims, newest first
    List(Extent),
    /// End a claim; devices that used it stay
    Revoke {
        /// The claim
        claim: String,
    },
}

/// Arguments of `claim create`.
#[derive(Debug, clap::Args)]
pub struct ClaimCreate {
    /// Product that the devices will belong to
    #[arg(long, value_name = "NAME", default_value = super::DEFAULT_PRODUCT)]
    pub product: String,

    /// Hardware models that may use it; may be given several times
    #[arg(long, value_name = "MODEL", required = true)]
    pub hardware: Vec<String>,

    /// Label the devices start with; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = names::key_value)]
    pub labels: Vec<(String, String)>,

    /// How many devices may use it
    #[arg(long, value_name = "N", value_parser = names::one_or_more::<u32>, default_value_t = 1)]
    pub uses: u32,

    /// Only this device may use it
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub device_id: String,

    /// Only device ids that match may use it: * stands for any characters, ? for one
    #[arg(
        long,
        value_name = "PATTERN",
        default_value = "",
        hide_default_value = true,
        visible_alias = "serial-pattern"
    )]
    pub device_id_pattern: String,

    /// Devices start pending, until `slipway device approve`
    #[arg(long)]
    pub approve: bool,

    /// How long it lives [default: 30d]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub ttl: Option<Duration>,

    /// Server address as the devices reach it [default: the one used here]
    #[arg(long, value_name = "URL")]
    pub device_server: Option<String>,

    /// Write the claim file for `slipway-agent enroll` here, mode 0600, instead of to stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The machines of the fleet.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// Devices by id; filter fields: id, product, hardware, state, version, labels.KEY, attributes.KEY, online, alerts.kind,
    /// alerts.failure_mode, alerts.severity, alerts.component
    #[command(
        after_help = "Example:\n  slipway device list --filter 'labels.site = \"north\" AND alerts.severity:critical'"
    )]
    List(ListArgs),
    /// One device
    Show {
        /// The device
        device: String,
    },
    /// Set and remove labels
    Label {
        /// The device
        device: String,
        /// Labels to set
        #[arg(value_name = "KEY=VALUE", value_parser = names::key_value, required_unless_present = "remove")]
        set: Vec<(String, String)>,
        /// Label to remove; may be given several times
        #[arg(long, value_name = "KEY")]
        remove: Vec<String>,
    },
    /// Why it is or is not offered an update, and how its last updates went
    Explain {
        /// The device
        device: String,
    },
    /// Register machines by their public keys; they enrol without a token
    #[command(
        after_help = "The file begins with its header:\n  device_id,public_key,hardware,product,label:site\n  pump-1,MFkwEwYHKoZI…,gw-a,pump,north\n\n`slipway-agent key --state DIR` prints the public key of a machine.\nA file that was imported before changes nothing; a corrected line corrects a machine that has not enrolled yet."
    )]
    Import(DeviceImport),
    /// Say yes to devices that enrolled pending
    Approve {
        /// The devices
        #[arg(required = true)]
        devices: Vec<String>,
    },
    /// Refuse every later call of the device; one that is registered never enrols
    Revoke {
        /// The device
        device: String,
        /// For the audit log
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Take a device back into good standing: end its quarantine, let it renew a certificate that ended too long ago, drop the
    /// mark that its key was in use at two addresses
    Unquarantine {
        /// The device
        device: String,
    },
    /// Write everything the server holds of a device into a file, a line of JSON each
    #[command(after_help = "Example:\n  slipway device export pump-1 --out pump-1.jsonl")]
    Export {
        /// The device
        device: String,
        /// The new file, mode 0600
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Erase everything a device sent, and what was concluded from it, for good
    #[command(after_help = "Example:\n  slipway device erase pump-1 --class location --yes")]
    Erase {
        /// The device
        device: String,
        /// Only this class of data [default: all of them]
        #[arg(long, value_enum, value_name = "CLASS")]
        class: Option<ClassName>,
        /// It cannot be taken back
        #[arg(long)]
        yes: bool,
    },
    /// Updates, newest first; filter fields: rollout, release, state, wave
    #[command(
        after_help = "Example:\n  slipway device updates --filter 'state = \"failed\" AND release = \"releases/pump/2.0.0\"'"
    )]
    Updates {
        /// The device; all devices if none is named
        device: Option<String>,
        /// How much to show.
        #[command(flatten)]
        list: ListArgs,
    },
}
