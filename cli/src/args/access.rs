//! Arguments of `token` and `audit`.

use std::{path::PathBuf, time::Duration};

use clap::{Subcommand, ValueEnum};

use super::{Extent, ListArgs};
use crate::{commands::audit_verify::Mark, duration};

/// Who may do what.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; it is shown once, on stdout
    #[command(
        after_help = "Example:\n  slipway token create 'acme service desk' --role client --scope 'labels.customer = \"acme\"'"
    )]
    Create(TokenCreate),
    /// Make a token that may do what another one may; that one works until it is revoked
    Rotate(TokenRotate),
    /// Tokens, newest first
    List(Extent),
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

    /// Which devices, for clients and ingest, for example 'labels.customer = "acme"'
    #[arg(long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    pub scope: String,

    /// How long it lives [default: 90d]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub ttl: Option<Duration>,

    /// Write the token to a file, mode 0600, instead of to stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `token rotate`.
#[derive(Debug, clap::Args)]
pub struct TokenRotate {
    /// The id of the token to replace
    pub token: String,

    /// How long the new one lives [default: 90d]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub ttl: Option<Duration>,

    /// Write the token to a file, mode 0600, instead of to stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Roles as people type them.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RoleName {
    /// Sees devices and what they measure, releases, rollouts and alerts
    Viewer,
    /// Also schedules rollouts, labels devices, makes claims, sets limits, handles alerts
    Operator,
    /// Sees what a viewer sees and publishes releases
    Publisher,
    /// Everything
    Admin,
    /// Sees the devices in its scope and what they measure, sees and handles their alerts, and nothing else
    Client,
    /// Hands in metrics of the devices in its scope by the OpenTelemetry protocol, and nothing else
    Ingest,
}

/// Who did what.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// What was done with a token or a claim, newest first; filter fields: time, actor, action, resource, detail
    #[command(
        after_help = "Example:\n  slipway audit list --filter 'action = \"RevokeDevice\" AND time >= \"2026-11-01\"'"
    )]
    List(ListArgs),
    /// Read all of it and check that every entry follows from the one before; prints the newest, to be noted elsewhere
    Verify {
        /// The newest entry of an earlier time: it has to be there still
        #[arg(long, value_name = "NUMBER:HASH")]
        known: Option<Mark>,
    },
}
