//! Arguments of `alert` and `limit`.

use std::{path::PathBuf, time::Duration};

use clap::Subcommand;

use super::{Extent, ListArgs};
use crate::{duration, names};

/// What a service desk acts on.
#[derive(Debug, Subcommand)]
pub enum AlertCommand {
    /// Alerts that are not resolved, last changed first; filter fields: state, device, component, kind, severity, metric,
    /// failure_mode, suppressed_by
    #[command(
        after_help = "Example:\n  slipway alert list --filter 'state = \"open\" AND severity = \"warning\"'"
    )]
    List(AlertList),
    /// One alert with its evidence, and a picture of its series, limit and forecast
    Show(AlertShow),
    /// Every change at once, one line each; starts with the alerts that are not resolved
    Watch(AlertWatch),
    /// Say that somebody takes care
    Ack {
        /// The alert
        alert: String,

        /// What others should know, for example who comes when: shown with the alert and sent to webhooks, at most 500 bytes
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        note: String,
    },
    /// Say that the cause is gone: an alert of a limit forgets what was learned of its series, and only two readings
    /// beyond the limit, or a new trend of a day or so, open it again
    Resolve {
        /// The alert
        alert: String,

        /// What was done, for who reads the alert later, at most 500 bytes
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        note: String,
    },
    /// What wakes nobody, until when, and why
    #[command(subcommand)]
    Silence(SilenceCommand),
}

/// Arguments of `alert list`.
#[derive(Debug, clap::Args)]
pub struct AlertList {
    /// Also those that are resolved; a filter on `state` decides for itself
    #[arg(long)]
    pub all: bool,

    /// Which, and how many.
    #[command(flatten)]
    pub list: ListArgs,
}

/// Silences: alerts that match open and resolve as ever, and are flagged.
#[derive(Debug, Subcommand)]
pub enum SilenceCommand {
    /// Silence what matches, from now on
    #[command(
        after_help = "Fields: state, device, component, kind, severity, metric, failure_mode of the alert; product, \
                      hardware, version, labels.KEY of its device.\n\nExample:\n  slipway alert silence create \
                      'labels.site = \"north\"' --for 4h --why 'new switch'"
    )]
    Create(SilenceCreate),
    /// Silences in force, oldest first
    List {
        /// Also those that ended within the last 30 days
        #[arg(long)]
        ended: bool,
        /// How many.
        #[command(flatten)]
        extent: Extent,
    },
    /// End a silence; what is still open is told
    Delete {
        /// The silence
        silence: String,
    },
}

/// Arguments of `alert silence create`.
#[derive(Debug, clap::Args)]
pub struct SilenceCreate {
    /// Which alerts: FIELD = "value", joined by AND, OR, NOT
    pub matcher: String,

    /// How long, at most 92d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    pub lasts: Duration,

    /// Why, for whoever wonders
    #[arg(long = "why", value_name = "TEXT")]
    pub reason: String,
}

/// Arguments of `alert show`.
#[derive(Debug, clap::Args)]
pub struct AlertShow {
    /// The alert
    pub alert: String,

    /// Write the picture to this file, as SVG, and do not draw it here
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

/// Arguments of `alert watch`.
#[derive(Debug, clap::Args)]
pub struct AlertWatch {
    /// Go on after the change that carried this token
    #[arg(long, value_name = "TOKEN", conflicts_with = "state")]
    pub resume_token: Option<String>,

    /// Keep the resume token in this file and go on from it at the next start
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,

    /// Also alerts that are silenced, or explained by an outage
    #[arg(long)]
    pub include_suppressed: bool,

    /// End after so many changes [default: never]
    #[arg(long, value_name = "N", value_parser = names::one_or_more::<u64>)]
    pub count: Option<u64>,
}

/// Bounds that metrics are forecast against.
#[derive(Debug, Subcommand)]
pub enum LimitCommand {
    /// Set a limit; one of the same name is replaced
    #[command(
        after_help = "Example:\n  slipway limit set air-filter --metric hw.filter.differential_pressure --value 250 \\\n      --component air-filter --part 'air filter' --lead-time 5d"
    )]
    Set(Box<LimitSet>),
    /// Set all limits and fixes of specification files, and show what that changes
    #[command(
        after_help = "The files are TOML; docs/limits.md describes them, deploy/limits/ has some to begin with:\n  slipway limit apply -f deploy/limits/flash.toml --dry-run"
    )]
    Apply(LimitApply),
    /// Limits, by name
    List(Extent),
    /// One limit with everything it says, and what was learned for it, by model
    Show {
        /// The limit
        limit: String,
    },
    /// Remove a limit; its open alerts are resolved
    Delete {
        /// The limit
        limit: String,
        /// Also one that belongs to a specification file: it comes back when the file is applied again
        #[arg(long)]
        force: bool,
    },
}

/// Arguments of `limit apply`.
#[derive(Debug, clap::Args)]
pub struct LimitApply {
    /// Specification file; may be repeated
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Only show what would change
    #[arg(long)]
    pub dry_run: bool,

    /// Remove what a file set before and no longer has
    #[arg(long)]
    pub prune: bool,
}

/// Arguments of `limit set`.
#[derive(Debug, clap::Args)]
pub struct LimitSet {
    /// Name of your choice: a-z, 0-9 and '-'
    pub name: String,

    /// Metric that should not reach it
    #[arg(long, value_name = "METRIC")]
    pub metric: String,

    /// The bound, in the metric's unit: it is crossed at this value or above it, with --below at it or below
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, required_unless_present = "learn")]
    pub value: Option<f64>,

    /// Nobody knows the bound: learn it from what the devices of each model have in common
    #[arg(long, conflicts_with_all = ["value", "consumable", "lead_time", "horizon"])]
    pub learn: bool,

    /// How far from what is usual a learned bound lies, 1 to 100 [default: 6]
    #[arg(long, value_name = "NUMBER", requires = "learn")]
    pub factor: Option<f64>,

    /// Small values are bad: the bound is crossed at the value or below it
    #[arg(long)]
    pub below: bool,

    /// Which devices, for example 'labels.site = "north"' [default: all]
    #[arg(long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    pub selector: String,

    /// Part of the device [default: any]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub component: String,

    /// The metric is a stock that is used up: alerts say "reorder"
    #[arg(long)]
    pub consumable: bool,

    /// How long getting a spare part takes
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "0s")]
    pub lead_time: Duration,

    /// Forecast this far [default: 90d]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub horizon: Option<Duration>,

    /// UCUM unit of the value; series in another unit are not judged [default: any]
    #[arg(long, value_name = "UNIT", default_value = "", hide_default_value = true)]
    pub unit: String,

    /// What goes wrong when it is crossed, in a word such as storage_wear
    #[arg(long, value_name = "WORD", default_value = "", hide_default_value = true)]
    pub failure_mode: String,

    /// How urgent it is once it is crossed: info, warning or critical [default: critical; warning with --learn]
    #[arg(long, value_name = "SEVERITY", value_parser = ["info", "warning", "critical"])]
    pub severity: Option<String>,

    /// Where the value comes from: a data sheet with its page, a standard, an address
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub source: String,

    /// Also where the limit belongs to a specification file: all of it becomes as said here, until the file is applied
    /// again
    #[arg(long)]
    pub take_over: bool,

    /// What the part is called for people, for example "air filter" [default: the component]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub part: String,
}
