//! What the agent takes from a device that has little: bytes of storage, and memory while it waits for its next
//! check-in.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::demo::fleet::{Fleet, devices};
use crate::litter::{self, Dir};
use crate::workspace::{self, Binaries};

/// Cargo's profile for what a device carries.
const PROFILE: &str = "agent";

/// How long the agent works before it is looked at: several check-ins and batches of readings.
const IDLE: Duration = Duration::from_secs(20);

/// Budgets of the design: bytes of the file, KiB of resident memory.
const MOST_BYTES: u64 = 3_000_000;
const MOST_RESIDENT: u64 = 6 * 1024;

/// Builds the agent as it ships, lets it wait at a server, and prints what it takes.
pub fn run() -> Result<()> {
    litter::clean_up_on_signals()?;
    workspace::run(workspace::cargo().args([
        "build",
        "--profile",
        PROFILE,
        "-p",
        "slipway-agent",
        "--bins",
    ]))?;
    let agent = workspace::profile_dir(PROFILE).join("slipway-agent");
    let bytes = agent.metadata()?.len();

    let binaries = Binaries { agent, ..workspace::build("dev")? };
    let mut fleet = Fleet::start(binaries, Dir::new()?)?;
    let keys = fleet.dir().join("keys");
    let keys = keys.to_str().context("a path is not UTF-8")?;
    fleet.admin().run(&["trust", "init", "--keys", keys, "--no-passphrase"])?;
    fleet.enroll()?;
    let device = devices().next().context("the fleet is empty")?;
    fleet.start_agent(device, &[])?;
    std::thread::sleep(IDLE);
    fleet.check_alive()?;
    let process = fleet.ids().pop().context("no agent runs")?;
    let memory = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let [resident, proportional, private] =
        ["Rss:", "Pss:", "Private_Dirty:"].map(|name| kibibytes(&memory, name));

    println!("{:<34} {:>12} {:>14}", "slipway-agent", "MEASURED", "AT MOST");
    println!("{:<34} {bytes:>10} B {MOST_BYTES:>12} B", "file, stripped");
    println!("{:<34} {:>8} KiB {MOST_RESIDENT:>10} KiB", "resident while it waits (RSS)", resident?);
    println!("{:<34} {:>8} KiB {:>14}", "its share of that (PSS)", proportional?, "-");
    println!("{:<34} {:>8} KiB {:>14}", "private and written to", private?, "-");
    Ok(())
}

fn kibibytes(memory: &str, name: &str) -> Result<u64> {
    memory
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok())
        .with_context(|| format!("the kernel does not say {name}"))
}
