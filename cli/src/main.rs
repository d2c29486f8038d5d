//! `slipway`: reads the command line, runs one command, exits with its code.

use std::process::ExitCode;

use clap::Parser as _;
use slipway_cli::{args::Args, output::Console};

fn main() -> ExitCode {
    let args = Args::parse();
    let console = Console::of_process(args.output);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            console.say(&format!("error: cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    ExitCode::from(runtime.block_on(slipway_cli::run(args, &console)))
}
