//! The server and its eight devices, each a process of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::cli::{Cli, clean};
use crate::clock::Stopwatch;
use crate::images::PRODUCT;
use crate::litter::{Dir, Process};
use crate::workspace::{self, Binaries};

/// Hardware model of every device.
pub const HARDWARE: &str = "gw-a";

/// Customers, each with its devices.
pub const CUSTOMERS: [(&str, &[&str]); 2] = [
    ("acme", &["pump-01", "pump-02", "pump-03", "pump-04"]),
    ("globex", &["pump-05", "pump-06", "pump-07", "pump-08"]),
];

/// How long the server may take to be ready; it takes less than a second where nothing else runs.
const START: Duration = Duration::from_secs(30);

/// Reads the health check out of the slot that is on trial and runs it. An image without one is not healthy.
const HEALTH: &str = r#"PATH="$PATH:/usr/sbin:/sbin"; check=$(debugfs -R 'cat /usr/lib/slipway/health' "$SLIPWAY_SLOT" 2>/dev/null); [ -n "$check" ] || { echo "no health check in $SLIPWAY_SLOT" >&2; exit 1; }; sh -c "$check""#;

/// Everything that runs.
#[derive(Debug)]
pub struct Fleet {
    binaries: Binaries,
    // Dropped in this order: the devices, the server, their directory.
    agents: Vec<(String, Process)>,
    server: Process,
    dir: Dir,
    url: String,
}

impl Fleet {
    /// Starts the server on a free port and an empty data directory below `dir`.
    pub fn start(binaries: Binaries, dir: Dir) -> Result<Self> {
        fs::create_dir_all(dir.path().join("logs"))?;
        let log_path = dir.path().join("logs/slipwayd.log");
        // A file and not a pipe to us: with --keep the server outlives us.
        let log = File::create(&log_path)?;
        let mut command = clean(&binaries.server);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--check-in-interval", "1", "--data"])
            .arg(dir.path().join("server"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut server = Process::start(&mut command, Signal::TERM)?;
        let watch = Stopwatch::start();
        let url = loop {
            let said = fs::read_to_string(&log_path)?;
            let ready = said.lines().find_map(|line| Some(line.split_once("ready on ")?.1.trim().to_owned()));
            if let Some(url) = ready {
                break url;
            }
            if server.ended().is_some() || watch.elapsed() > START {
                bail!("slipwayd did not get ready; it said:\n{}", said.trim());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        Ok(Self { binaries, agents: Vec::new(), server, dir, url })
    }

    /// Where the server listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The directory of everything.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The command line of the administrator, by the profile that the server wrote.
    pub fn admin(&self) -> Cli {
        Cli::new(&self.binaries.cli, self.dir().join("server/client.toml"))
    }

    /// The command line of a customer's service desk: a token of role client for its own devices.
    pub fn client(&self, customer: &str) -> Result<Cli> {
        let dir = self.dir().join("clients").join(customer);
        fs::create_dir_all(&dir)?;
        let token = dir.join("token");
        let scope = format!("labels.customer = \"{customer}\"");
        self.admin().run(&[
            "token",
            "create",
            &format!("{customer}-service-desk"),
            "--role",
            "client",
            "--scope",
            &scope,
            "--out",
            path(&token)?,
        ])?;
        fs::copy(self.dir().join("server/server-ca.pem"), dir.join("server-ca.pem"))?;
        let profile = dir.join("client.toml");
        fs::write(
            &profile,
            format!("server = \"{}\"\nca = \"server-ca.pem\"\ntoken_file = \"token\"\n", self.url),
        )?;
        Ok(Cli::new(&self.binaries.cli, profile))
    }

    /// A claim per customer, whose devices it labels; then every device enrols with a key of its own.
    pub fn enroll(&self) -> Result<usize> {
        let mut enrolled = 0;
        for (number, (customer, devices)) in CUSTOMERS.iter().enumerate() {
            let claim = self.dir().join(format!("claim-{customer}.json"));
            self.admin().run(&[
                "claim",
                "create",
                "--product",
                PRODUCT,
                "--hardware",
                HARDWARE,
                "--label",
                &format!("customer={customer}"),
                "--label",
                &format!("site=site-{}", number + 1),
                "--uses",
                &devices.len().to_string(),
                "--out",
                path(&claim)?,
            ])?;
            for device in *devices {
                workspace::output(
                    clean(&self.binaries.agent)
                        .arg("enroll")
                        .arg("--claim")
                        .arg(&claim)
                        .arg("--state")
                        .arg(self.state(device))
                        .arg("--slots")
                        .arg(self.slots(device))
                        .args(["--hardware", HARDWARE, "--device-id", device, "--health-command", HEALTH])
                        .stdin(Stdio::null()),
                )?;
                enrolled += 1;
            }
        }
        Ok(enrolled)
    }

    /// Starts the agents of all devices.
    pub fn start_agents(&mut self) -> Result<()> {
        for device in devices() {
            self.start_agent(device, &[])?;
        }
        Ok(())
    }

    /// The owner of a device lets its diagnostic data leave it.
    pub fn allow_diagnostics(&self, device: &str) -> Result<()> {
        workspace::output(
            clean(&self.binaries.agent)
                .arg("consent")
                .arg("--state")
                .arg(self.state(device))
                .args(["--allow", "diagnostic"])
                .stdin(Stdio::null()),
        )?;
        Ok(())
    }

    /// Starts a device's agent, in place of one that runs.
    pub fn start_agent(&mut self, device: &str, more: &[&str]) -> Result<()> {
        self.agents.retain(|(name, _)| name != device);
        let log = File::options().create(true).append(true).open(self.log(device))?;
        let mut command = clean(&self.binaries.agent);
        command
            .arg("run")
            .arg("--state")
            .arg(self.state(device))
            .args(more)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let process = Process::start(&mut command, Signal::TERM)?;
        self.agents.push((device.to_owned(), process));
        Ok(())
    }

    /// Fails if anything that should run does not.
    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.server.ended() {
            bail!("slipwayd ended by itself: {status}");
        }
        for (device, process) in &mut self.agents {
            if let Some(status) = process.ended() {
                bail!("the agent of {device} ended by itself: {status}");
            }
        }
        Ok(())
    }

    /// Where a device's slots are.
    pub fn slots(&self, device: &str) -> PathBuf {
        self.dir().join("devices").join(device).join("disk")
    }

    /// Where a device's agent keeps what it knows.
    pub fn state(&self, device: &str) -> PathBuf {
        self.dir().join("devices").join(device).join("state")
    }

    fn log(&self, device: &str) -> PathBuf {
        self.dir().join("logs").join(format!("{device}.log"))
    }

    /// The ends of all logs, for whoever has to find out what went wrong.
    pub fn log_tails(&self) -> String {
        let mut text = String::new();
        let names = std::iter::once("slipwayd").chain(devices());
        for name in names {
            let log = fs::read_to_string(self.log(name)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            for line in &lines[lines.len().saturating_sub(8)..] {
                text.push_str(&format!("{name}: {line}\n"));
            }
        }
        text
    }

    /// Leaves everything running after us.
    pub fn release(self) -> PathBuf {
        let Self { agents, server, mut dir, .. } = self;
        dir.keep();
        let path = dir.path().to_path_buf();
        server.release();
        for (_, agent) in agents {
            agent.release();
        }
        path
    }

    /// Process ids of everything, the server first.
    pub fn ids(&self) -> Vec<String> {
        std::iter::once(&self.server)
            .chain(self.agents.iter().map(|(_, process)| process))
            .map(|process| process.id().to_string())
            .collect()
    }
}

/// Ids of all devices.
pub fn devices() -> impl Iterator<Item = &'static str> {
    CUSTOMERS.iter().flat_map(|(_, devices)| devices.iter().copied())
}

/// A path as an argument.
pub fn path(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
