//! Arguments of `authority`, and of what registers devices.

use std::path::PathBuf;

use clap::Subcommand;

use super::Extent;
use crate::names;

/// Manufacturers whose machines may enrol by their own certificates.
#[derive(Debug, Subcommand)]
pub enum AuthorityCommand {
    /// Let machines enrol that show a certificate of this authority
    Import(AuthorityImport),
    /// Authorities by name
    List(Extent),
    /// Let nobody enrol with it any more; devices that did stay
    Remove {
        /// The authority
        authority: String,
    },
}

/// Arguments of `authority import`.
#[derive(Debug, clap::Args)]
pub struct AuthorityImport {
    /// The authority's certificate, PEM
    #[arg(value_name = "CA.pem")]
    pub certificate: PathBuf,

    /// Its name here
    #[arg(long, value_name = "NAME")]
    pub name: String,

    /// Product that the devices will belong to
    #[arg(long, value_name = "NAME", default_value = super::DEFAULT_PRODUCT)]
    pub product: String,

    /// Hardware models that may enrol; may be given several times [default: any]
    #[arg(long, value_name = "MODEL")]
    pub hardware: Vec<String>,

    /// Label the devices start with; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = names::key_value)]
    pub labels: Vec<(String, String)>,

    /// Devices start pending, until `slipway device approve`
    #[arg(long)]
    pub approve: bool,
}

/// Arguments of `claim file`.
#[derive(Debug, clap::Args)]
pub struct ClaimFile {
    /// Product that the devices will belong to
    #[arg(long, value_name = "NAME", default_value = super::DEFAULT_PRODUCT)]
    pub product: String,

    /// Server address as the devices reach it [default: the one used here]
    #[arg(long, value_name = "URL")]
    pub device_server: Option<String>,

    /// Write the file for `slipway-agent enroll` here instead of to stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `device import`.
#[derive(Debug, clap::Args)]
pub struct DeviceImport {
    /// Columns device_id, public_key (PEM, base64 of the DER, or its SHA-256 in hex), hardware; if wanted
    /// product, and label:KEY for each label
    #[arg(value_name = "FILE.csv")]
    pub file: PathBuf,

    /// Product of lines that name none
    #[arg(long, value_name = "NAME", default_value = super::DEFAULT_PRODUCT)]
    pub product: String,

    /// Check every line, register nothing
    #[arg(long)]
    pub dry_run: bool,
}
