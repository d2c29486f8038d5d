//! Arguments of `release bundle`.

use std::path::PathBuf;

/// Arguments of `release bundle`.
#[derive(Debug, clap::Args)]
pub struct ReleaseBundle {
    /// PRODUCT/VERSION, or a VERSION of the product `default`
    pub release: String,

    /// The file to write; replaced when it is there
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,

    /// A device that shall install it; may be given several times
    ///
    /// The release is assigned to the device, and its signed assignment goes along: without it only devices
    /// whose owner allows `bundles = "signed"` take the bundle.
    #[arg(long, value_name = "ID")]
    pub device: Vec<String>,
}
