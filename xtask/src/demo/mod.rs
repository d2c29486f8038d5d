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
    let alerts = fleet.admin().json(&["alert", "list"])?;
    let alert = cli::list(&alerts, "").first().map(rollouts::id).unwrap_or_default().to_owned();
    let dir = fleet.release();
    let [bin, admin, dir] =
        [&bin, &admin, &dir].map(|path| path.to_str().context("a path is not UTF-8").map(quoted));
    let (bin, admin, dir) = (bin?, admin?, dir?);
    show.print(&format!(
        "
Server ({url}) and 8 devices go on running. Try, in this shell or another one:

  cd {dir}
  export PATH={bin}:$PATH SLIPWAY_PROFILE={admin}
  slipway device list
  slipway device explain {device}     # why it was offered 2.1.0 or was not, and how its updates went
  slipway rollout list     # 2.1.0 is paused: nobody else is offered it
  slipway alert show {alert}     # what {mine}'s service desk was told, in full
  slipway audit list     # who did all that
  slipway --profile clients/{mine}/client.toml alert watch     # as {mine}'s service desk; until Ctrl-C
  slipway --profile clients/{other}/client.toml alert list     # as {other}'s: the alert is none of theirs
  slipway-agent status --state devices/{device}/state
  curl --cacert server/server-ca.pem {url}/healthz

Stop and remove it:

  for id in {ids}; do kill $id; tail --pid=$id -f /dev/null; done; cd / && rm -r {dir}",
        device = wear::DEVICE,
        mine = fleet::CUSTOMERS[0].0,
        other = fleet::CUSTOMERS[1].0,
    ));
    Ok(())
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    match path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte)) {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', "'\\''")),
    }
}
