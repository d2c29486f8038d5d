//! A whole fleet as processes: one server, its publisher's keys, and enrolled agents on file-backed slots.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

pub use crate::desk::{HARDWARE, PRODUCT};
use crate::{
    desk::{Desk, enroll},
    operator::Caller,
    processes::{self, Process},
};

/// A fleet that ends, with all its files, when dropped.
#[derive(Debug)]
pub struct Fleet {
    /// The server, while it runs.
    pub server: Process,
    /// The port it keeps across restarts.
    pub port: u16,
    /// Every device, whether its agent runs or not.
    pub devices: Vec<Device>,
    desk: Desk,
    server_options: Vec<String>,
    _folder: TempDir,
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
        let desk = Desk { folder: folder.path().to_owned(), data: folder.path().join("server"), port };
        let server = processes::serve(&desk.data, port, server_options);
        desk.init_trust();
        // There is no claim for nobody.
        let claim = if count > 0 { desk.claim_file(count) } else { String::new() };
        let devices: Vec<Device> =
            (1..=count).map(|number| Device::new(folder.path(), number, factory)).collect();
        for device in &devices {
            enroll(&claim, &device.id, &device.state, &device.slots, enrol_options);
        }
        let server_options = server_options.iter().map(|&option| option.to_owned()).collect();
        Fleet { server, port, devices, desk, server_options, _folder: folder }
    }

    /// The server's data folder.
    pub fn data(&self) -> PathBuf {
        self.desk.data.clone()
    }

    /// A path below the fleet's folder, as an argument.
    pub fn path(&self, name: &str) -> String {
        self.desk.path(name)
    }

    /// Runs the command line as the administrator.
    pub fn slipway(&self, arguments: &[&str]) -> String {
        self.desk.slipway(arguments)
    }

    /// gRPC as the administrator.
    pub fn admin(&self) -> Caller {
        self.desk.admin()
    }

    /// Publishes `image` as `version`.
    pub fn publish(&self, image: &[u8], version: &str) {
        self.desk.publish(image, version);
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
        self.server = processes::serve(&self.desk.data, self.port, &options);
    }
}

impl Device {
    /// Its folders, with `factory` in slot a; it is not enrolled yet.
    fn new(fleet: &Path, number: usize, factory: &[u8]) -> Self {
        let id = format!("pump-{number}");
        let folder = fleet.join(&id);
        let slots = folder.join("slots");
        fs::create_dir_all(&slots).expect("a slots folder");
        fs::write(slots.join("slot-a.img"), factory).expect("the factory's image");
        Device { state: folder.join("state"), log: folder.join("agent.log"), id, slots, agent: None }
    }

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
