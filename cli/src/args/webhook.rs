//! Arguments of `webhook`.

use std::{path::PathBuf, time::Duration};

use clap::{Subcommand, ValueEnum};

use super::Extent;
use crate::{duration, names};

/// Addresses that hear of events.
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Have events sent to an address, from now on; the secret is shown once, on stdout
    #[command(
        after_help = "Example:\n  slipway webhook create 'acme desk' --url https://desk.example/slipway --scope \
                      'labels.customer = \"acme\"' --event 'alert.*'"
    )]
    Create(WebhookCreate),
    /// Webhooks, oldest first
    List(Extent),
    /// One webhook and how it does
    Show {
        /// The webhook's id
        webhook: String,
    },
    /// Change a webhook
    Set(WebhookSet),
    /// Send again, and at once everything that waits
    Enable {
        /// The webhook's id
        webhook: String,
    },
    /// Send nothing; what happens waits, for 30 days at most
    Disable {
        /// The webhook's id
        webhook: String,
    },
    /// Send an event that says nothing, now, and say what became of it
    Test {
        /// The webhook's id
        webhook: String,
    },
    /// Send what happened before once more, each event under the id that it had
    Replay(WebhookReplay),
    /// Make a new secret; for a day the old one signs as well
    Rotate {
        /// The webhook's id
        webhook: String,

        /// Write the secret to a file, mode 0600, instead of to stdout
        #[arg(long, value_name = "FILE")]
        secret_out: Option<PathBuf>,
    },
    /// Remove a webhook with everything that waits for it
    Delete {
        /// The webhook's id
        webhook: String,
    },
    /// What was sent, or waits to be, newest event first
    Deliveries(WebhookDeliveries),
}

/// Arguments of `webhook create`.
#[derive(Debug, clap::Args)]
pub struct WebhookCreate {
    /// For people
    pub name: String,

    /// Where events are sent
    #[arg(long, value_name = "URL")]
    pub url: String,

    /// Only of these devices, for example 'labels.customer = "acme"'; a client's token brings its own
    #[arg(long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    pub scope: String,

    /// Only events of this type, for example alert.opened or 'alert.*'; may be repeated
    #[arg(long = "event", value_name = "TYPE")]
    pub events: Vec<String>,

    /// How events are signed
    #[arg(long, value_enum, default_value_t = SignatureName::Hmac)]
    pub signature: SignatureName,

    /// Write the secret to a file, mode 0600, instead of to stdout
    #[arg(long, value_name = "FILE")]
    pub secret_out: Option<PathBuf>,
}

/// Arguments of `webhook set`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct WebhookSet {
    /// The webhook's id
    pub webhook: String,

    /// For people
    #[arg(long, value_name = "NAME", group = "change")]
    pub name: Option<String>,

    /// Where events are sent
    #[arg(long, value_name = "URL", group = "change")]
    pub url: Option<String>,

    /// Only of these devices; '' for all
    #[arg(long, value_name = "SELECTOR", group = "change")]
    pub scope: Option<String>,

    /// Only events of this type; may be repeated; '' for every event
    #[arg(long = "event", value_name = "TYPE", group = "change")]
    pub events: Vec<String>,
}

/// Arguments of `webhook replay`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("from").required(true))]
pub struct WebhookReplay {
    /// The webhook's id
    pub webhook: String,

    /// What happened within so long, for example 2h; events are kept for 30 days
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, group = "from")]
    pub since: Option<Duration>,

    /// What follows this position of `webhook deliveries`
    #[arg(long, value_name = "N", value_parser = names::whole::<i64>, group = "from")]
    pub position: Option<i64>,
}

/// Arguments of `webhook deliveries`.
#[derive(Debug, clap::Args)]
pub struct WebhookDeliveries {
    /// The webhook's id
    pub webhook: String,

    /// Only those that stand so
    #[arg(long, value_enum)]
    pub state: Option<StateName>,

    /// How many.
    #[command(flatten)]
    pub extent: Extent,
}

/// How events are signed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SignatureName {
    /// By a secret that sender and receiver share
    Hmac,
    /// By a key of which the receiver knows the public half
    Ed25519,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum StateName {
    /// To be sent, now or later
    Waiting,
    /// The receiver took it
    Delivered,
    /// Given up after the last attempt
    Failed,
    /// Its device left the scope before it was sent
    Dropped,
}

impl StateName {
    /// As a filter names it.
    pub fn word(self) -> &'static str {
        match self {
            StateName::Waiting => "waiting",
            StateName::Delivered => "delivered",
            StateName::Failed => "failed",
            StateName::Dropped => "dropped",
        }
    }
}
