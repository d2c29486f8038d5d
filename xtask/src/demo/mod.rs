//! `cargo xtask demo`: the whole job, once, for real. A fleet enrols, a publisher signs firmware that boots, an operator
//! rolls it out in waves, a broken version stops at its first wave, a part wears out and its customer hears of it.
//!
//! Everything is done by the three programs as anybody would call them, and checked by this one: on the devices' disks,
//! not by what the programs say.

pub mod cli;
pub mod fleet;
mod rollouts;
mod show;
mod slots;
mod steps;
mod wear;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use self::fleet::Fleet;
use self::show::Show;
use crate::litter::{self, Dir};
use crate::workspace;

/// Arguments of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Leave server and devices running, and print what to try next
    #[arg(long)]
    keep: bool,

    /// Put everything into this directory, and leave it there [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Runs the demonstration; fails with the reason if anything was not as it should be.
pub fn run(arguments: &Arguments) -> Result<()> {
    litter::clean_up_on_signals()?;
    let binaries = workspace::build("dev")?;
    let dir = match &arguments.data {
        Some(path) => Dir::given(path)?,
        None => {
            // Beside the build, not in the system's temporary directory, which may be memory: it takes 2 GiB.
            let parent = workspace::scratch();
            fs::create_dir_all(&parent)?;
            Dir::new_in(&parent)?
        }
    };
    let mut show = Show::new();
    let firmware = steps::images(&mut show)?;
    let mut fleet = steps::server(&mut show, binaries, dir)?;
    if let Err(error) = steps::all(&mut fleet, &mut show, &firmware) {
        show.abandon();
        eprintln!("\nthe ends of the logs:\n{}", fleet.log_tails());
        return Err(error.context("the demonstration failed"));
    }
    show.table();
    if arguments.keep {
        keep(fleet, &show)?;
    }
    Ok(())
}

/// Leaves everything running and says what to do with it.
fn keep(fleet: Fleet, show: &Show) -> Result<()> {
    let bin = workspace::profile_dir("dev");
    let ids = fleet.ids().join(" ");
    let url = fleet.url().to_owned();
    let admin = fleet.admin().profile().to_path_buf();
    let dir = fleet.release();
    let client = dir.join("clients/acme/client.toml");
    let state = dir.join("devices/pump-03/state");
    let [bin, admin, client, state, dir] =
        [&bin, &admin, &client, &state, &dir].map(|path| path.to_str().context("a path is not UTF-8"));
    let (bin, admin, client, state, dir) = (bin?, admin?, client?, state?, dir?);
    show.print(&format!(
        "
Server ({url}) and 8 devices go on running. Try:

  export PATH={bin}:$PATH SLIPWAY_PROFILE={admin}
  slipway device list
  slipway device explain pump-03
  slipway rollout list
  slipway alert show $(slipway --output json alert list | sed -n 's/.*\"name\": \"\\(alerts[^\"]*\\)\".*/\\1/p')
  slipway --profile {client} alert watch
  slipway-agent status --state {state}
  curl --cacert {dir}/server/server-ca.pem {url}/healthz

Stop and remove it:

  kill {ids}; rm -r {dir}"
    ));
    Ok(())
}
