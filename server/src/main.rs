//! slipwayd: the fleet service.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use slipway_server::{
    clock::Clock,
    config::{Config, ConfigError, Options, check_environment},
    observe,
    rng::Rng,
    serve::{Deps, StartError, start},
};
use tokio::signal::unix::{SignalKind, signal};

/// Fleet service of Slipway: devices, releases, rollouts, alerts
#[derive(Parser)]
#[command(name = "slipwayd", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM; makes everything it needs at the first start
    Serve(Options),
    /// Work with the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Check flags, environment and file, and print what results
    Check(Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(hint) = hint(&error) {
                eprintln!("hint: {hint}");
            }
            if let Some(page) = error.downcast_ref::<StartError>().and_then(StartError::page) {
                eprintln!("see docs/errors/{page}.md");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    check_environment(std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()))?;
    match command {
        Command::Serve(options) => {
            let config = Config::resolve(options)?;
            observe::init_logging(&config.log, config.log_format);
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(config))
        }
        Command::Config(ConfigCommand::Check(options)) => {
            print!("{}", toml::to_string(&Config::resolve(options)?)?);
            Ok(())
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // Before the start: a SIGTERM during it is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = start(config, Deps { clock: Clock::System, rng: Rng::system()? }).await?;
    for made in &running.made {
        eprintln!("slipwayd: made {made}");
    }
    eprintln!("slipwayd: ready on {}", running.url);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    eprintln!("slipwayd: stopping");
    running.stop().await;
    Ok(())
}

fn hint(error: &anyhow::Error) -> Option<&'static str> {
    if let Some(start) = error.downcast_ref::<StartError>() {
        return Some(start.hint());
    }
    match error.downcast_ref::<ConfigError>()? {
        ConfigError::Variable(_) => Some("slipwayd serve --help names the variables"),
        ConfigError::File { .. } => Some("slipwayd serve --help names the keys; '-' is '_' in the file"),
        ConfigError::Unreadable { .. } | ConfigError::Value { .. } => {
            Some("slipwayd config check shows what results from flags, environment and file")
        }
    }
}
