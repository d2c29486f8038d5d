//! Project commands: `cargo xtask demo`, `cargo xtask test`, and what else a developer needs.

mod bench;
mod boot_test;
mod clock;
mod demo;
mod deny;
mod images;
mod litter;
mod postgres;
mod test;
mod tools;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Project commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Show the whole job, from firmware to alert, on a server and eight devices
    Demo(demo::Arguments),
    /// Run every test, with the databases and stores they need
    Test {
        /// Passed on to `cargo test`: a name, or its options
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Measure what the design sets budgets for, on release builds
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Boot the demonstration's firmware images in a virtual machine (needs QEMU; a minute per image)
    BootTest,
    /// Check bans, licences and sources of all dependencies (needs cargo-deny)
    Deny,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Test { arguments } => test::run(&arguments),
        Task::Bench(what) => bench::run(&what),
        Task::Deny => deny::run(),
        Task::BootTest => boot_test::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
