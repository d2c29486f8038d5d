//! How many keys of a role there are, and how they are protected.

use std::path::PathBuf;

use clap::ArgGroup;

use crate::names;

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
