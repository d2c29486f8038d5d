//! Project commands: `cargo xtask demo`, `cargo xtask test`, and what else a developer needs.

mod boot_test;
mod clock;
mod images;
mod tools;
mod workspace;

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
    /// Boot the demonstration's firmware images in a virtual machine (needs QEMU; a minute per image)
    BootTest,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
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
