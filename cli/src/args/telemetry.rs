//! Arguments of `telemetry`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::Extent;
use crate::moment::Moment;

/// What devices measure.
#[derive(Debug, Subcommand)]
pub enum TelemetryCommand {
    /// What a device measures, with the newest reading of each
    List {
        /// The device
        device: String,
        /// How much to show.
        #[command(flatten)]
        extent: Extent,
    },
    /// Draw one metric of a device over time
    #[command(
        after_help = "Example:\n  slipway telemetry show pump-1 hw.temperature --component nvme-0 --since 30d --plot heat.svg"
    )]
    Show(TelemetryShow),
    /// Write readings into a file that other programs open
    #[command(
        after_help = "Example:\n  slipway telemetry export --selector 'labels.site = \"north\"' --since 30d \\\n      --format parquet --out north.parquet"
    )]
    Export(TelemetryExport),
}

/// Arguments of `telemetry show`.
#[derive(Debug, clap::Args)]
pub struct TelemetryShow {
    /// The device
    pub device: String,

    /// The metric
    pub metric: String,

    /// Part of the device; needed if more than one has the metric
    #[arg(long, value_name = "NAME")]
    pub component: Option<String>,

    /// From when on: so long ago (7d), or a date
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub since: Moment,

    /// Up to when: so long ago, or a date [default: now]
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,

    /// Also write the picture into this file, as SVG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

/// Arguments of `telemetry export`.
#[derive(Debug, clap::Args)]
pub struct TelemetryExport {
    /// The device
    #[arg(long, value_name = "DEVICE", required_unless_present = "selector", conflicts_with = "selector")]
    pub device: Option<String>,

    /// Which devices, for example 'labels.site = "north"'; '' for all
    #[arg(long, value_name = "SELECTOR")]
    pub selector: Option<String>,

    /// Only of this part of the device
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub component: String,

    /// Only of this metric
    #[arg(long, value_name = "METRIC", default_value = "", hide_default_value = true)]
    pub metric: String,

    /// From when on: so long ago (30d), or a date [default: all that is kept]
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,

    /// Up to when: so long ago, or a date [default: now]
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,

    /// How the file is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = TelemetryFormat::Csv)]
    pub format: TelemetryFormat,

    /// The file; one that exists is replaced
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// How readings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TelemetryFormat {
    /// A line a reading, for spreadsheets.
    Csv,
    /// Columns, packed, for engines for data.
    Parquet,
}
