//! Arguments of `claim`, `device` and `token`.

use std::{path::PathBuf, time::Duration};

use clap::{Subcommand, ValueEnum};

use super::ListArgs;
use crate::{duration, names};

/// The right to enrol devices.
#[derive(Debug, Subcommand)]
pub enum ClaimCommand {
    /// Make a claim; its token is shown once
    Create(ClaimCreate),
    /// Claims, newest first
    List {
        /// Show at most so many; 0 means all
        #[arg(long, default_value_t = 100, value_name = "N")]
        max: usize,
    },
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
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub uses: u32,

    /// Only this device may use it
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub device_id: String,

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
    /// Devices by id; filter fields: id, product, hardware, state, version, labels.KEY, attributes.KEY, online
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
    /// Refuse every later call of the device
    Revoke {
        /// The device
        device: String,
        /// For the audit log
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Let a quarantined device be offered updates again
    Unquarantine {
        /// The device
        device: String,
    },
    /// Updates, newest first; filter fields: rollout, release, state, wave
    Updates {
        /// The device; all devices if none is named
        device: Option<String>,
        /// How much to show.
        #[command(flatten)]
        list: ListArgs,
    },
}

/// Who may do what.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; it is shown once, on stdout
    Create(TokenCreate),
    /// Tokens, newest first
    List {
        /// Show at most so many; 0 means all
        #[arg(long, default_value_t = 100, value_name = "N")]
        max: usize,
    },
    /// End a token at once
    Revoke {
        /// The token's id
        token: String,
    },
    /// Whose token is used here
    Whoami,
}

/// Arguments of `token create`.
#[derive(Debug, clap::Args)]
pub struct TokenCreate {
    /// For people; appears in the audit log
    pub name: String,

    /// What it may do
    #[arg(long, value_enum)]
    pub role: RoleName,

    /// Which devices, for clients, for example 'labels.customer = "acme"'
    #[arg(long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    pub scope: String,

    /// How long it lives [default: 90d]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub ttl: Option<Duration>,

    /// Write the token to a file, mode 0600, instead of to stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Roles as people type them.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RoleName {
    /// Sees devices, releases, rollouts and alerts
    Viewer,
    /// Also schedules rollouts, labels devices, makes claims, sets limits, handles alerts
    Operator,
    /// Sees what a viewer sees and publishes releases
    Publisher,
    /// Everything
    Admin,
    /// Sees and handles the alerts of the devices in its scope, and nothing else
    Client,
}
