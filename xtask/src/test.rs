//! `cargo xtask test`: every test there is, with the PostgreSQL that the contract suite asks for.

use std::ffi::OsString;
use std::process::Stdio;

use anyhow::{Result, bail};
use rustix::process::Signal;

use crate::litter::{self, Process};
use crate::postgres::Cluster;
use crate::workspace;

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
    tests.args(["test", "--workspace"]).args(arguments).stdin(Stdio::null());
    if let Some(cluster) = &cluster {
        tests.env(VARIABLE, cluster.url());
    }
    let status = Process::start(&mut tests, Signal::INT)?.wait()?;
    if !status.success() {
        bail!("not all tests passed ({status})");
    }
    Ok(())
}
