//! A TUF client as conformance suites drive one: `init`, `refresh` and `download` over plain HTTP and a
//! folder. It adds files and a socket to [`TrustedSet`] and decides nothing itself, so that what the
//! suites say of it they say of the device and the server, which call the same methods.

mod arguments;
mod client;
mod clock;
mod http;
mod store;
mod targets;

use std::process::ExitCode;
use std::{fs, io};

use arguments::{Arguments, Command};
use client::Client;
use slipway_trust::TrustedSet;
use store::Store;

/// Why a command failed, in layers.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match Arguments::read(std::env::args().skip(1)).map_err(Failure::from).and_then(|a| run(&a)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let store = Store::new(&arguments.metadata_dir);
    match &arguments.command {
        None => Err("a command is missing: init, refresh or download".into()),
        Some(Command::Init(root)) => {
            let root = fs::read(root)?;
            TrustedSet::from_root(&root)?;
            Ok(store.write("root", &root)?)
        }
        Some(Command::Refresh) => Client::open(store, &arguments.metadata_url, clock::now())?.refresh(),
        Some(Command::Download) => {
            let mut client = Client::open(store, &arguments.metadata_url, clock::now())?;
            client.refresh()?;
            for name in &arguments.target_names {
                targets::download(&mut client, name, &arguments.target_base_url, &arguments.target_dir)?;
            }
            Ok(())
        }
    }
}

/// A file that has to be there and is not.
fn absent(name: &str) -> Failure {
    io::Error::new(io::ErrorKind::NotFound, format!("{name} is not there")).into()
}
