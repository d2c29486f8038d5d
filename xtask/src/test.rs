//! `cargo xtask test`: every test there is, with the PostgreSQL and the TPM that the contract suites ask for.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use rustix::process::Signal;

use crate::litter::{self, Process};
use crate::postgres::Cluster;
use crate::{tools, workspace};

/// Tells the tests where a PostgreSQL is that they may fill with schemas.
const VARIABLE: &str = "SLIPWAY_TEST_POSTGRES";

/// Builds the programs that the tests start, starts the database, and runs `cargo test`, with `arguments` passed on.
pub fn run(arguments: &[OsString]) -> Result<()> {
    litter::clean_up_on_signals()?;
    let given = std::env::var(VARIABLE).ok();
    let cluster = match given {
        Some(_) => None,
        None => Some(Cluster::start()?),
    };
    workspace::run(workspace::cargo().args(["build", "--workspace", "--bins"]))?;
    let mut tests = workspace::cargo();
    tests.args(["test", "--workspace"]).args(arguments);
    if let Some(cluster) = &cluster {
        tests.env(VARIABLE, cluster.url());
    }
    pass(&mut tests)?;
    // Whoever names tests wants those and no others.
    if arguments.is_empty() { with_a_tpm() } else { Ok(()) }
}

/// What is compiled for devices with a TPM only: a feature of its own, so that the tests before it have the agent as
/// it ships.
fn with_a_tpm() -> Result<()> {
    if let Err(error) = tools::SWTPM.require() {
        eprintln!("\nSKIPPED: no key was kept in a TPM, because {error:#}\n");
        return Ok(());
    }
    let features = "slipway-agent/tpm,slipway-tests/tpm";
    for what in [&["--test", "keystore"][..], &["--lib", "--", "keystore::tpm"]] {
        // The whole workspace, or else every library would be built once more for the few crates named.
        pass(workspace::cargo().args(["test", "--workspace", "--features", features]).args(what))?;
    }
    Ok(())
}

fn pass(tests: &mut Command) -> Result<()> {
    let status = Process::start(tests.stdin(Stdio::null()), Signal::INT)?.wait()?;
    if !status.success() {
        bail!("not all tests passed ({status})");
    }
    Ok(())
}
