//! `slipway`: reads the command line, runs one command, exits with its code.

use std::process::ExitCode;

use clap::Parser as _;
use slipway_cli::{
    args::Args,
    error::{Failure, io_words},
    output::Console,
};

fn main() -> ExitCode {
    let args = Args::parse();
    let console = Console::of_process(args.output);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new(format!(
                "the system gives this program nothing to run on: {}",
                io_words(&error)
            ))
            .hint("is the limit on open files or processes (`ulimit -a`) reached?");
            console.say(&failure.to_string());
            return ExitCode::FAILURE;
        }
    };
    ExitCode::from(runtime.block_on(slipway_cli::run(args, &console)))
}
