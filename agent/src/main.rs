//! `slipway-agent`: enrols, runs, and says how it is.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use slipway_agent::{
    StateDir,
    clock::Clock,
    config::ConfigError,
    enroll::{EnrollError, Enrollment, enroll},
    link, local, rng,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Keeps this machine up to date and tells its fleet how it is.
#[derive(Parser)]
#[command(name = "slipway-agent", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make this machine a device of the fleet
    Enroll(EnrollArguments),
    /// Work until stopped
    Run(RunArguments),
    /// Say how this device is; works without the server and while the agent runs
    Status(StatusArguments),
}

#[derive(clap::Args)]
struct EnrollArguments {
    /// Claim file, as `slipway claim create --out FILE` wrote it
    #[arg(long, value_name = "FILE")]
    claim: PathBuf,
    /// Folder for what the device knows; made when missing
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Folder that stands for a disk with two slots; made when missing
    #[arg(long, value_name = "DIR")]
    slots: PathBuf,
    /// Hardware model, for example gw-a
    #[arg(long)]
    hardware: String,
    /// Name in the fleet [default: /etc/machine-id, else the host name]
    #[arg(long, value_name = "ID")]
    device_id: Option<String>,
    /// Component that is updated
    #[arg(long, default_value = "system")]
    component: String,
    /// Run with `sh -c` during a trial; exit code 0 means healthy
    #[arg(long, value_name = "CMD", default_value = "", hide_default_value = true)]
    health_command: String,
    /// Server to use instead of the one in the claim
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Size of a slot in bytes; 0 means that only the disk limits it
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    slot_size: u64,
}

#[derive(clap::Args)]
struct RunArguments {
    /// Folder that `enroll` made
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
}

#[derive(clap::Args)]
struct StatusArguments {
    /// Folder that `enroll` made
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match act(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", link::chain(error.as_ref()));
            let (hint, reason) = advice(&error);
            if let Some(hint) = hint {
                eprintln!("hint: {hint}");
            }
            if let Some(reason) = reason {
                eprintln!("see docs/errors/{reason}.md");
            }
            ExitCode::FAILURE
        }
    }
}

fn act(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Enroll(arguments) => {
            let order = Enrollment {
                claim: arguments.claim,
                state: arguments.state,
                slots: arguments.slots,
                hardware: arguments.hardware,
                device_id: arguments.device_id,
                component: arguments.component,
                health_command: arguments.health_command,
                server: arguments.server,
                slot_size: arguments.slot_size,
            };
            let config = runtime()?.block_on(enroll(&order))?;
            eprintln!("slipway-agent: enrolled as {} with {}", config.device_id, config.server);
            Ok(())
        }
        Command::Run(arguments) => {
            let state = StateDir::new(&arguments.state);
            runtime()?.block_on(run(&state))
        }
        Command::Status(arguments) => {
            let status = local::status(&StateDir::new(&arguments.state))?;
            match arguments.output {
                Output::Table => print!("{}", status.to_text()),
                Output::Json => println!("{}", serde_json::to_string_pretty(&status)?),
            }
            Ok(())
        }
    }
}

async fn run(state: &StateDir) -> anyhow::Result<()> {
    let rng = rng::from_kernel().context("cannot read /dev/urandom")?;
    let (stop, stopped) = watch::channel(false);
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).context("cannot listen for signals")?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            stop.send_replace(true);
        });
    }
    slipway_agent::run(state, Clock::system(), rng, None, stopped).await?;
    Ok(())
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")
}

/// What to do about an error, and the page that explains it.
fn advice(error: &anyhow::Error) -> (Option<String>, Option<String>) {
    if let Some(EnrollError::Refused(status)) = error.downcast_ref() {
        let reason = link::reason(status).code;
        let hint = link::hint(status).or_else(|| {
            (reason == "SERVER_UNREACHABLE")
                .then(|| "check the address and that slipwayd runs; the command can be repeated".to_owned())
        });
        return (hint, Some(reason));
    }
    let config = error
        .downcast_ref::<ConfigError>()
        .or_else(|| error.chain().find_map(|cause| cause.downcast_ref::<ConfigError>()));
    let hint = match config {
        Some(ConfigError::NotEnrolled { .. }) => {
            "run `slipway-agent enroll --claim FILE --state DIR --slots DIR --hardware MODEL` first"
        }
        Some(ConfigError::Locked { .. }) => "stop the other agent, or give this one a folder of its own",
        Some(ConfigError::Invalid { .. }) => "correct the line, or remove the key",
        _ => return (None, None),
    };
    (Some(hint.to_owned()), None)
}
