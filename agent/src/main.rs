//! `slipway-agent`: enrols, runs, and says how it is.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use slipway_agent::{
    Config, StateDir,
    clock::Clock,
    config::ConfigError,
    consent::Consent,
    diary::say,
    enroll::{EnrollError, Enrollment, enroll},
    link, local,
    readings::Readings,
    replay::Series,
    rng,
    telemetry::{Telemetry, consent_path},
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
    /// Say which data may leave this device, and show what may; works while the agent runs
    Consent(ConsentArguments),
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
    /// Add this recorded series, its last row as of now: seconds,component,metric,unit,class,value
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// How often to read the machine [default: as configured]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    telemetry_interval: Option<u64>,
    /// Read the machine below this folder
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    sysroot: PathBuf,
}

#[derive(clap::Args)]
struct ConsentArguments {
    /// Folder that `enroll` made
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Classes that may leave the device from now on
    #[arg(long, value_enum, value_delimiter = ',')]
    allow: Vec<Class>,
    /// Classes that may not, not even what was kept of them already
    #[arg(long, value_enum, value_delimiter = ',')]
    refuse: Vec<Class>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Class {
    Diagnostic,
    Usage,
    Location,
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
            say(&format!("enrolled as {} with {}", config.device_id, config.server));
            Ok(())
        }
        Command::Run(arguments) => runtime()?.block_on(run(&arguments)),
        Command::Consent(arguments) => consent(&arguments),
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

/// Shows the owner's answer, after changing it if he asks to. A running agent heeds it at once.
fn consent(arguments: &ConsentArguments) -> anyhow::Result<()> {
    let path = consent_path(&StateDir::new(&arguments.state));
    let mut consent = Consent::read(&path)?;
    let changes = [(&arguments.allow, true), (&arguments.refuse, false)];
    for (classes, allowed) in changes {
        for class in classes {
            match class {
                Class::Diagnostic => consent.diagnostic = allowed,
                Class::Usage => consent.usage = allowed,
                Class::Location => consent.location = allowed,
            }
        }
    }
    if !arguments.allow.is_empty() || !arguments.refuse.is_empty() {
        consent.write(&path)?;
    }
    let word = |allowed: bool| if allowed { "allowed" } else { "refused" };
    println!("essential   allowed (always: without it the device cannot be kept alive)");
    println!("diagnostic  {}", word(consent.diagnostic));
    println!("usage       {}", word(consent.usage));
    println!("location    {}", word(consent.location));
    Ok(())
}

/// The telemetry of this device, with the recorded series in it if there is one. Without a place to keep
/// readings the device is updated all the same.
fn telemetry(arguments: &RunArguments, state: &StateDir, clock: &Clock) -> anyhow::Result<Option<Telemetry>> {
    let series = arguments.replay.as_deref().map(Series::read).transpose()?;
    let seconds = match arguments.telemetry_interval {
        Some(seconds) => seconds,
        None => Config::read(state)?.telemetry_interval_seconds,
    };
    let now = clock.now();
    let opened = Telemetry::open(state, &arguments.sysroot, Duration::from_secs(seconds), now);
    let (mut telemetry, recovered) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            say(&format!("{}: {}", error.code(), link::chain(&error)));
            return Ok(None);
        }
    };
    if recovered.damaged > 0 {
        say(&format!("{} files of readings were damaged and cut", recovered.damaged));
    }
    if let Some(series) = series {
        let kept = telemetry.replay(&series, now)?;
        say(&format!("replays {kept} readings"));
        if kept == 0 {
            say("hint: the owner refuses its classes; see `slipway-agent consent --help`");
        }
    }
    Ok(Some(telemetry))
}

async fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    let state = &StateDir::new(&arguments.state);
    let clock = Clock::system();
    // Before the spool is touched: another agent may be at work on it.
    let lock = state.lock()?;
    let readings =
        telemetry(arguments, state, &clock)?.map(|telemetry| Box::new(telemetry) as Box<dyn Readings>);
    drop(lock);
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
    slipway_agent::run(state, clock, rng, readings, stopped).await?;
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
