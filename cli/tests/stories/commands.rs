//! Runs the command line in this process.

use std::path::Path;

use clap::Parser as _;
use slipway_cli::{args::Args, clock::Clock, output::Console, run};

use self::testing::Shared;

#[path = "../../src/testing.rs"]
mod testing;

/// The moment at which all commands of a test run: 2026-11-22 14:03:05Z.
pub const NOW: i64 = 1_795_356_185_000;

/// What a command left behind.
pub struct Outcome {
    /// Exit code.
    pub code: u8,
    /// Data.
    pub out: String,
    /// Talk.
    pub talk: String,
}

/// One command, with the profile given.
pub async fn slipway(profile: &Path, arguments: &[&str]) -> Outcome {
    let line =
        ["slipway", "--profile", profile.to_str().unwrap()].into_iter().chain(arguments.iter().copied());
    let args = Args::try_parse_from(line).unwrap_or_else(|error| panic!("{error}"));
    let (out, talk) = (Shared::default(), Shared::default());
    let console = Console::to_writers(out.clone(), talk.clone(), args.output, Clock::Fixed(NOW));
    let code = run(args, &console).await;
    Outcome { code, out: out.text(), talk: talk.text() }
}
