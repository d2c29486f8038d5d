//! slipwayd: the fleet service.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use slipway_server::{
    clock::Clock,
    config::{Config, ConfigError, Options, check_environment},
    data_dir::{DataDir, DataDirError},
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
    /// Work with the CA of this server's own certificate, while the server is stopped
    #[command(subcommand)]
    Ca(CaCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Check flags, environment and file, and print what results
    Check(Options),
}

#[derive(Subcommand)]
enum CaCommand {
    /// Make the next generation; the server uses it from its next start on
    ///
    /// The one before signs a cross certificate for it, so devices that know any generation go on trusting
    /// the server. Replicas: copy keys/ and server-ca.pem to each before it starts again. Then
    /// `slipway trust rotate server-ca` tells the devices.
    Next(CaOptions),
    /// Take an older generation out of use: removes its key
    ///
    /// Its cross certificate stays, so devices that know nothing newer go on trusting the server; new claims
    /// and profiles do not name it any more.
    Retire {
        /// Number of the generation, from 1
        generation: u32,

        /// Where.
        #[command(flatten)]
        options: CaOptions,
    },
}

#[derive(clap::Args)]
struct CaOptions {
    /// Data directory of the server
    #[arg(long, value_name = "DIR", env = "SLIPWAYD_DATA")]
    data: PathBuf,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(hint) = hint(&error) {
                eprintln!("hint: {hint}");
            }
            let of_start = error.downcast_ref::<StartError>().and_then(StartError::page);
            let of_directory = || error.downcast_ref::<DataDirError>().and_then(DataDirError::page);
            if let Some(page) = of_start.or_else(of_directory) {
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
        Command::Ca(command) => work_on_ca(&command),
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

fn work_on_ca(command: &CaCommand) -> anyhow::Result<()> {
    let (CaCommand::Next(options) | CaCommand::Retire { options, .. }) = command;
    let now = Clock::System.now();
    let mut data = DataDir::existing(&options.data)?;
    let done = match command {
        CaCommand::Next(_) => {
            let number = data.next_generation(now)?;
            format!("generation {number} signs this server's certificate from its next start on")
        }
        CaCommand::Retire { generation, .. } => {
            data.retire_generation(*generation, now)?;
            format!("generation {generation} is out of use, and its key is gone")
        }
    };
    for made in data.made() {
        eprintln!("slipwayd: made {made}");
    }
    eprintln!("slipwayd: {done}");
    Ok(())
}

fn hint(error: &anyhow::Error) -> Option<&'static str> {
    if let Some(directory) = error.downcast_ref::<DataDirError>() {
        return Some(directory.hint());
    }
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
