//! `slipway-agent`: enrols, runs, and says how it is.

mod arguments;

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use arguments::{Class, Command, Misuse, Run};
use slipway_agent::{
    Config, InstallError, RunError, StateDir,
    clock::Clock,
    config::ConfigError,
    consent::Consent,
    diagnose,
    diary::say,
    enroll::{self, EnrollError},
    identity::IdentityError,
    keystore::{DEFAULT_TPM, FILE},
    link,
    local::{self, StatusError},
    readings::Readings,
    replay::Series,
    rng,
    telemetry::{Telemetry, consent_path},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

fn main() -> ExitCode {
    let command = match arguments::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(Misuse { problem, usage }) => {
            tell(&format!("error: {problem}\n\n{usage}\n\nFor more, try `--help`."));
            return ExitCode::from(2);
        }
    };
    match act(command) {
        Ok(code) => code,
        Err(error) => {
            let mut text = format!("error: {}", link::chain(error.as_ref()));
            let (hint, reason) = advice(&error);
            if let Some(hint) = hint {
                text.push_str(&format!("\nhint: {hint}"));
            }
            if let Some(reason) = reason {
                text.push_str(&format!("\nsee docs/errors/{reason}.md"));
            }
            tell(&text);
            ExitCode::FAILURE
        }
    }
}

/// Talk, on stderr. Whoever reads it may have gone: then it is lost.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Data, on stdout. `status | head -1` ends the reading early, which is no failure.
fn show(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Does it; the exit code is its answer.
fn act(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Enroll(order) => {
            let config = runtime()?.block_on(enroll::enroll(&order))?;
            say(&format!("enrolled as {} with {}", config.device_id, config.server));
        }
        Command::Key { state, key_store, tpm } => {
            let (store, tpm) = (key_store.as_deref().unwrap_or(FILE), tpm.as_deref().unwrap_or(DEFAULT_TPM));
            show(&(enroll::public_key(&StateDir::new(&state), store, tpm)? + "\n"));
        }
        Command::Run(arguments) => runtime()?.block_on(run(&arguments))?,
        Command::Install { state, bundle } => {
            runtime()?.block_on(install(&StateDir::new(&state), &bundle))?
        }
        Command::Consent { state, changes } => consent(&StateDir::new(&state), &changes)?,
        Command::Status { state, json } => {
            let status = local::status(&StateDir::new(&state))?;
            show(&if json { serde_json::to_string_pretty(&status)? + "\n" } else { status.to_text() });
        }
        Command::Diagnose { state, json, sysroot } => {
            let (state, clock) = (StateDir::new(&state), Clock::system());
            let report = runtime()?.block_on(diagnose::diagnose(&state, &sysroot, &clock));
            show(&if json { serde_json::to_string_pretty(&report)? + "\n" } else { report.to_text() });
            if !report.healthy {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Show(text) => show(&text),
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows the owner's answer, after changing it if he asks to. A running agent heeds it at once.
fn consent(state: &StateDir, changes: &[(Class, bool)]) -> anyhow::Result<()> {
    let path = consent_path(state);
    let mut consent = Consent::read(&path)?;
    for (class, allowed) in changes {
        match class {
            Class::Diagnostic => consent.diagnostic = *allowed,
            Class::Usage => consent.usage = *allowed,
            Class::Location => consent.location = *allowed,
        }
    }
    if !changes.is_empty() {
        consent.write(&path)?;
    }
    let word = |allowed: bool| if allowed { "allowed" } else { "refused" };
    show(&format!(
        "essential   allowed (always: without it the device cannot be kept alive)\n\
         diagnostic  {}\nusage       {}\nlocation    {}\n",
        word(consent.diagnostic),
        word(consent.usage),
        word(consent.location)
    ));
    Ok(())
}

/// The telemetry of this device, with the recorded series in it if there is one. Without a place to keep
/// readings the device is updated all the same.
fn telemetry(arguments: &Run, state: &StateDir, clock: &Clock) -> anyhow::Result<Option<Telemetry>> {
    let series = arguments.replay.as_deref().map(Series::read).transpose()?;
    let config = Config::read(state)?;
    let seconds = arguments.telemetry_interval.unwrap_or(config.telemetry_interval_seconds);
    let now = clock.now();
    let opened = Telemetry::open(state, &arguments.sysroot, Duration::from_secs(seconds), now);
    let (mut telemetry, recovered) = match opened {
        Ok((telemetry, recovered)) => (telemetry.with_clock(clock).with_sockets(&config.metrics), recovered),
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

async fn run(arguments: &Run) -> anyhow::Result<()> {
    let state = &StateDir::new(&arguments.state);
    let clock = Clock::system();
    // Before the spool is touched: another agent may be at work on it.
    let lock = state.lock()?;
    let readings =
        telemetry(arguments, state, &clock)?.map(|telemetry| Box::new(telemetry) as Box<dyn Readings>);
    drop(lock);
    let rng = rng::from_kernel().context("cannot read /dev/urandom")?;
    let stopped = stop_signals()?;
    slipway_agent::run(state, clock, rng, readings, stopped).await?;
    Ok(())
}

async fn install(state: &StateDir, bundle: &Path) -> anyhow::Result<()> {
    let rng = rng::from_kernel().context("cannot read /dev/urandom")?;
    let stopped = stop_signals()?;
    let (installed, slot) = slipway_agent::install(state, bundle, Clock::system(), rng, stopped).await?;
    show(&format!("version {} (release {}) runs in slot {slot}\n", installed.version, installed.counter));
    Ok(())
}

/// Becomes true at SIGTERM or SIGINT.
fn stop_signals() -> anyhow::Result<watch::Receiver<bool>> {
    let (stop, stopped) = watch::channel(false);
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).context("cannot listen for signals")?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            stop.send_replace(true);
        });
    }
    Ok(stopped)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")
}

/// What to do about an error, and the page that explains it.
fn advice(error: &anyhow::Error) -> (Option<String>, Option<String>) {
    if let Some(EnrollError::Refused(status)) = error.downcast_ref() {
        let reason = link::reason(status).code;
        let hint = link::hint(status).or_else(|| {
            let known = match reason.as_str() {
                "SERVER_UNREACHABLE" => {
                    "check the address and that slipwayd runs; the command can be repeated"
                }
                "SERVER_CERTIFICATE" => "a claim made by this server today holds the CA that it has now",
                _ => return None,
            };
            Some(known.to_owned())
        });
        return (hint, Some(reason));
    }
    if let Some(EnrollError::Claim { .. }) = error.downcast_ref() {
        let hint = "name the file that `slipway claim create` or `slipway claim file` wrote";
        return (Some(hint.to_owned()), None);
    }
    let install = error.downcast_ref();
    if let Some(InstallError::Refused(reason)) = install {
        let hint = match reason.code.as_str() {
            "METADATA_EXPIRED" | "METADATA_ROLLED_BACK" | "TIMESTAMP_NAMES_OLDER_SNAPSHOT" => {
                "make a new bundle, which takes today's metadata along: `slipway release bundle`"
            }
            "BUNDLE_INVALID" => "copy it to the stick again, or make a new one: `slipway release bundle`",
            "BUNDLE_UNREADABLE" => {
                "look at the path; if the stick was pulled out, plug it in again and repeat the command, which \
                 goes on where it was"
            }
            "BUNDLE_NOT_ASSIGNED" => {
                "name this device when the bundle is made: `slipway release bundle … --device ID`"
            }
            "BUNDLES_OFF" => "the owner of the device can change the line `bundles` there",
            _ => return (None, Some(reason.code.clone())),
        };
        return (Some(hint.to_owned()), Some(reason.code.clone()));
    }
    let run = match error.downcast_ref() {
        _ if matches!(install, Some(InstallError::Stopped)) => {
            return (Some("repeat the command: it goes on where it was".to_owned()), None);
        }
        Some(EnrollError::Device(error)) => Some(error),
        _ => match install {
            Some(InstallError::Device(RunError::Config(ConfigError::Locked { .. }))) => {
                let hint = "stop the agent (`systemctl stop slipway-agent`), install, and start it again";
                return (Some(hint.to_owned()), None);
            }
            Some(InstallError::Device(error)) => Some(error),
            _ => error.downcast_ref::<RunError>(),
        },
    };
    let config = match (run, error.downcast_ref()) {
        (Some(RunError::Config(error)), _) | (_, Some(StatusError::Config(error))) => Some(error),
        _ => error.downcast_ref::<ConfigError>(),
    };
    #[cfg(feature = "tpm")]
    if let Some(RunError::Identity(IdentityError::Tpm(error))) = run {
        return (Some(error.hint().to_owned()), Some(error.code().to_owned()));
    }
    let hint = match (config, run) {
        (Some(ConfigError::NotEnrolled { .. }), _) => {
            "run `slipway-agent enroll --claim FILE --state DIR --slots DIR --hardware MODEL` first"
        }
        (Some(ConfigError::Locked { .. }), _) => "stop the other agent, or give this one a folder of its own",
        (Some(ConfigError::Invalid { .. }), _) => "correct the line, or remove the key; see docs/agent.md",
        (_, Some(RunError::Identity(IdentityError::Missing { .. } | IdentityError::Damaged { .. }))) => {
            "restore the file from a copy, or enrol this machine under a new id in a new state folder"
        }
        (_, Some(RunError::Trust(error))) => {
            let hint = "enrol this device again with a new claim: without a root nothing can be verified";
            return (Some(hint.to_owned()), Some(error.code().to_owned()));
        }
        _ => return (None, None),
    };
    (Some(hint.to_owned()), None)
}
