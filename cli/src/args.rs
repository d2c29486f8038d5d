//! The whole command tree, as `slipway --help` tells it.

mod access;
mod alert;
mod bundle;
mod enrol;
mod fleet;
mod keys;
mod publish;
mod rollout;
mod telemetry;
mod wear;
mod webhook;

use std::path::PathBuf;

use clap::{
    Parser, Subcommand, ValueEnum,
    builder::{OsStringValueParser, TypedValueParser},
};

pub use self::{
    access::*, alert::*, bundle::*, enrol::*, fleet::*, keys::*, publish::*, rollout::*, telemetry::*,
    wear::*, webhook::*,
};
use crate::{names, output::Format};

/// The product of a company that has only one and gave it no name.
pub const DEFAULT_PRODUCT: &str = "default";

const EXIT_CODES: &str = "\
Exit codes:
  0  done (for `rollout watch`: the rollout succeeded)
  1  refused or failed; stderr says what was wrong, what to do, and which page of docs/errors explains it
  2  the command line is wrong

Stdout carries data, stderr everything else.";

/// Signed firmware releases, rolled out to a fleet in waves; alerts before parts wear out.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, after_help = EXIT_CODES)]
pub struct Args {
    /// How to reach the server.
    #[command(flatten)]
    pub connection: Connection,

    /// What stdout carries: columns for people, or JSON for programs
    #[arg(long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub output: Format,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How to reach the server, as the command line says it. A token itself may stand in `SLIPWAY_TOKEN`; there is no flag for
/// it, because everybody on a machine can read the command lines of its processes.
///
/// `profile` reads the variables: what the parser read from them would stand in every usage that it prints, as if it
/// had been asked for.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Profile with server, CA and token [env: SLIPWAY_PROFILE] [default: ~/.config/slipway/profile.toml]
    #[arg(long, global = true, value_parser = path(), value_name = "FILE")]
    pub profile: Option<PathBuf>,

    /// Server, for example `https://fleet.example:7443` [env: SLIPWAY_SERVER]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,

    /// PEM file of the CA that signed the server's certificate; no other CA is trusted [env: SLIPWAY_CA]
    #[arg(long, global = true, value_parser = path(), value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// File with the bearer token; SLIPWAY_TOKEN may hold the token itself [env: SLIPWAY_TOKEN_FILE]
    #[arg(long, global = true, value_parser = path(), value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// Paths that may be empty: `profile` says what is wrong with that better than the parser does.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Who may sign what
    #[command(subcommand)]
    Trust(TrustCommand),
    /// Versions of a product, signed by their publisher
    #[command(subcommand)]
    Release(ReleaseCommand),
    /// The right to enrol devices
    #[command(subcommand)]
    Claim(ClaimCommand),
    /// Manufacturers whose machines may enrol by their own certificates
    #[command(subcommand)]
    Authority(AuthorityCommand),
    /// The machines of the fleet
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Plans that bring a release to devices, in waves
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// What a service desk acts on
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Bounds that metrics are forecast against
    #[command(subcommand, visible_alias = "limits")]
    Limit(LimitCommand),
    /// How long parts still live, by the recorded lives of others
    #[command(subcommand)]
    Wear(WearCommand),
    /// Addresses that hear of events
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// What devices measure
    #[command(subcommand)]
    Telemetry(TelemetryCommand),
    /// Who may do what
    #[command(subcommand)]
    Token(TokenCommand),
    /// Who did what
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Write a script that completes commands and flags in a shell
    #[command(after_help = COMPLETION)]
    Completion {
        /// Which shell
        #[arg(value_enum)]
        shell: ShellName,
    },
}

const COMPLETION: &str = "\
Once, for every shell from then on:
  bash  slipway completion bash > ~/.local/share/bash-completion/completions/slipway
  zsh   slipway completion zsh > ~/.zfunc/_slipway      (with `fpath+=~/.zfunc` before compinit in ~/.zshrc)
  fish  slipway completion fish > ~/.config/fish/completions/slipway.fish

It needs no server.";

/// Shells that are completed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShellName {
    /// GNU Bash, with the package bash-completion
    Bash,
    /// The Z shell
    Zsh,
    /// The friendly interactive shell
    Fish,
}

/// How much of a list to show.
#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    /// Only those that match: FIELD = "value", joined by AND, OR, NOT; also != < <= > >= and : (contains)
    #[arg(long, default_value = "", hide_default_value = true, value_name = "FILTER")]
    pub filter: String,

    /// How many.
    #[command(flatten)]
    pub extent: Extent,
}

/// How many entries of a list to show.
#[derive(Debug, Clone, clap::Args)]
pub struct Extent {
    /// Show at most so many; 0 means all
    #[arg(long, default_value_t = 100, value_parser = names::whole::<usize>, value_name = "N")]
    pub max: usize,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_tree_is_consistent() {
        Args::command().debug_assert();
    }
}
