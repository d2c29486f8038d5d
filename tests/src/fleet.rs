//! A whole fleet as processes: one server, its publisher's keys, and enrolled agents on file-backed slots.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    operator::Caller,
    processes::{self, Process, run},
};

/// The hardware model of every device here.
pub const HARDWARE: &str = "gw-a";
/// Their product.
pub const PRODUCT: &str = "pump";

/// A fleet that ends, with all its files, when dropped.
#[derive(Debug)]
pub struct Fleet {
    /// The server, while it runs.
    pub server: Process,
    /// The port it keeps across restarts.
    pub port: u16,
    /// Every device, whether its agent runs or not.
    pub devices: Vec<Device>,
    folder: TempDir,
    server_options: Vec<String>,
}

/// One device.
#[derive(Debug)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// The agent's state folder.
    pub state: PathBuf,
    /// The folder that stands for its disk.
    pub slots: PathBuf,
    /// What its agent said, over all its lives.
    pub log: PathBuf,
    /// The agent, when it runs.
    pub agent: Option<Process>,
}

impl Fleet {
    /// Starts a server, makes the publisher's keys, and enrols `count` devices whose slot a holds `factory`.
    /// No agent runs yet.
    pub fn start(count: usize, factory: &[u8], server_options: &[&str], enrol_options: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let port = processes::free_port();
        let server = processes::serve(&folder.path().join("server"), port, server_options);
        let mut fleet = Fleet {
            server,
            port,
            devices: Vec::new(),
            folder,
            server_options: server_options.iter().map(|&o| o.to_owned()).collect(),
        };
        fleet.slipway(&["trust", "init", "--keys", &fleet.path("keys"), "--no-passphrase"]);
        let claim = fleet.path("claim.json");
        let uses = count.to_string();
        fleet.slipway(&[
            "claim",
            "create",
            "--product",
            PRODUCT,
            "--hardware",
            HARDWARE,
            "--uses",
            &uses,
            "--out",
            &claim,
        ]);
        for number in 1..=count {
            let device = fleet.prepare(number, factory);
            let (state, slots) = (device.state.to_string_lossy(), device.slots.to_string_lossy());
            let mut arguments = vec![
                "enroll",
                "--claim",
                &claim,
                "--state",
                &state,
                "--slots",
                &slots,
                "--hardware",
                HARDWARE,
                "--device-id",
                &device.id,
            ];
            arguments.extend_from_slice(enrol_options);
            run("slipway-agent", &arguments);
            fleet.devices.push(device);
        }
        fleet
    }

    fn prepare(&self, number: usize, factory: &[u8]) -> Device {
        let id = format!("pump-{number}");
        let folder = self.folder.path().join(&id);
        let slots = folder.join("slots");
        fs::create_dir_all(&slots).expect("a slots folder");
        fs::write(slots.join("slot-a.img"), factory).expect("the factory's image");
        Device { state: folder.join("state"), log: folder.join("agent.log"), id, slots, agent: None }
    }

    /// The server's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("server")
    }

    /// A path below the fleet's folder, as an argument.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// Runs the command line as the administrator.
    pub fn slipway(&self, arguments: &[&str]) -> String {
        let profile = self.path("server/client.toml");
        let mut all = vec!["--profile", profile.as_str()];
        all.extend_from_slice(arguments);
        run("slipway", &all)
    }

    /// gRPC as the administrator.
    pub fn admin(&self) -> Caller {
        Caller::admin(self.port, &self.data())
    }

    /// Publishes `image` as `version`.
    pub fn publish(&self, image: &[u8], version: &str) {
        let file = self.path(&format!("{version}.img"));
        fs::write(&file, image).expect("an image");
        self.slipway(&[
            "release",
            "publish",
            &file,
            "--version",
            version,
            "--component",
            "system",
            "--hardware",
            HARDWARE,
            "--product",
            PRODUCT,
            "--keys",
            &self.path("keys"),
        ]);
    }

    /// Starts the agent of a device, or starts it again.
    pub fn run_agent(&mut self, index: usize) {
        let device = &mut self.devices[index];
        device.agent = Some(processes::agent(&device.state, &device.log, &[]));
    }

    /// SIGKILL for the server, and a new one on the same data and port.
    pub fn restart_server(&mut self) {
        self.server.kill();
        let options: Vec<&str> = self.server_options.iter().map(String::as_str).collect();
        self.server = processes::serve(&self.data(), self.port, &options);
    }
}

impl Device {
    /// What a slot holds; empty when it holds nothing.
    pub fn slot(&self, slot: &str) -> Vec<u8> {
        fs::read(self.slots.join(format!("slot-{slot}.img"))).unwrap_or_default()
    }

    /// A value of `boot.env`.
    pub fn boot(&self, key: &str) -> String {
        let text = fs::read_to_string(self.slots.join("boot.env")).unwrap_or_default();
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_default().to_owned()
    }

    /// What the slot holds that the device runs from.
    pub fn running(&self) -> Vec<u8> {
        self.slot(&self.boot("running"))
    }

    /// The last lines its agent said.
    pub fn last_words(&self) -> String {
        tail(&self.log)
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
