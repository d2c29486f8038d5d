//! Arguments of `rollout`.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use super::ListArgs;
use crate::{duration, wave::WaveSpec};

/// Plans that bring a release to devices.
#[derive(Debug, Subcommand)]
pub enum RolloutCommand {
    /// Start a rollout
    Create {
        /// The plan.
        #[command(flatten)]
        plan: Plan,
        /// Check everything, start nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// How many devices would be in each wave, and what they run now; who is in which is drawn at the start
    #[command(
        after_help = "Example:\n  slipway rollout preview pump/2.0.0 \\\n      --selector 'labels.site = \"north\"' --wave 10:max-failures=1,soak=30s --wave 100"
    )]
    Preview {
        /// The plan.
        #[command(flatten)]
        plan: Plan,
    },
    /// Rollouts, newest first; filter fields: product, release, state
    #[command(
        after_help = "Example:\n  slipway rollout list --filter 'state = \"running\" AND product = \"pump\"'"
    )]
    List(ListArgs),
    /// One rollout and its waves
    Show {
        /// The rollout
        rollout: String,
    },
    /// Follow a rollout to its end; exit code 0 only if it succeeded
    Watch {
        /// The rollout
        rollout: String,
        /// Also end, with exit code 1, when the rollout is paused
        #[arg(long)]
        exit_on_pause: bool,
    },
    /// Stop offering; updates under way go on
    Pause {
        /// The rollout
        rollout: String,
    },
    /// Go on; a failed wave starts a fresh count
    Resume {
        /// The rollout
        rollout: String,
    },
    /// End it; offers that are not installed yet are taken back
    Abort {
        /// The rollout
        rollout: String,
    },
}

/// A plan: which release, which devices, in which steps.
#[derive(Debug, clap::Args)]
pub struct Plan {
    /// PRODUCT/VERSION, or a VERSION of the product `default`
    pub release: String,

    /// Which devices, for example 'labels.site = "north"' [default: all of the product]
    #[arg(long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    pub selector: String,

    /// PERCENT[:KEY=VALUE,...], a wave: how far it goes, and its gate; may be given several times
    ///
    /// PERCENT is the share of the devices that is reached at the end of the wave; that of the
    /// last wave has to be 100. The gate says when the next wave opens, and when this one failed:
    ///
    ///   min-success-percent=95  so many of the finished updates have succeeded …
    ///   min-sample=N            … once N are finished [default: all devices seen lately]
    ///   soak=0s                 … and for so long, before the next wave opens
    ///   max-failure-percent=5   failed: more of the finished updates than this have failed …
    ///   max-failures=0          … once min-sample are finished, or more failed than this
    ///   max-in-flight=N         at most N devices at a time [default: no limit]
    ///
    /// Without any --wave: 5 (soak 30m), 25 (max-failures 1, soak 1h) and 100 (max-failures 3).
    ///
    /// Example: --wave 10:max-failures=1,soak=30s --wave 100
    #[arg(long = "wave", value_name = "WAVE", verbatim_doc_comment)]
    pub waves: Vec<WaveSpec>,

    /// What happens when a wave fails
    #[arg(long, value_enum, default_value_t = OnFailure::Pause)]
    pub on_failure: OnFailure,

    /// Also for devices that match later
    #[arg(long)]
    pub standing: bool,

    /// Also bring devices back that run a later release, as far as their floor allows
    #[arg(long)]
    pub allow_downgrade: bool,

    /// Devices that share this label's value are in the same wave, for example customer
    #[arg(long, value_name = "KEY", default_value = "", hide_default_value = true)]
    pub spread_by: String,

    /// How long a device may take, from the offer on, before it counts as a failure
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "1d")]
    pub timeout: Duration,
}

/// What happens when a wave fails.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum OnFailure {
    /// Stop offering and wait for a person
    Pause,
    /// Bring devices that took the release back to what they ran before
    RollBack,
}
