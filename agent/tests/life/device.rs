//! A device that is enrolled with the small fleet, and its agent.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use slipway_agent::{
    StateDir,
    clock::Clock,
    enroll::{Enrollment, enroll},
    local::{Status, status},
    machine::Slot,
    readings::Readings,
};
use slipway_trust::fake::{DEVICE, HARDWARE, PRODUCT};
use tokio::sync::watch;

use crate::fleet::{Fleet, NOW};

/// A device's folders.
pub struct Device {
    folder: tempfile::TempDir,
    /// Lives so far: each draws other boot ids.
    lives: AtomicU64,
}

impl Device {
    pub async fn enrolled(fleet: &Fleet, health_command: &str) -> Self {
        let device = Self { folder: tempfile::tempdir().unwrap(), lives: AtomicU64::new(7) };
        enroll(&device.order(fleet, "a token", health_command)).await.unwrap();
        fs::write(device.slot(Slot::A), b"what the factory put there").unwrap();
        device
    }

    pub fn order(&self, fleet: &Fleet, token: &str, health_command: &str) -> Enrollment {
        let claim = self.folder.path().join("claim.json");
        let root = STANDARD.encode(&fleet.world.lock().unwrap().fake.repository.roots[0]);
        let text = serde_json::json!({
            "server": format!("https://{}", fleet.addr), "server_ca_pem": fleet.ca_pem,
            "root": root, "token": token, "product": PRODUCT,
        });
        fs::write(&claim, text.to_string()).unwrap();
        Enrollment {
            claim,
            state: self.state().path().to_path_buf(),
            slots: self.folder.path().join("slots"),
            hardware: HARDWARE.to_owned(),
            device_id: Some(DEVICE.to_owned()),
            component: "system".to_owned(),
            health_command: health_command.to_owned(),
            server: None,
            slot_size: 0,
            manufacturer: None,
            key_store: None,
            tpm: None,
        }
    }

    pub fn state(&self) -> StateDir {
        StateDir::new(&self.folder.path().join("state"))
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn slot(&self, slot: Slot) -> PathBuf {
        self.folder.path().join(format!("slots/slot-{slot}.img"))
    }

    pub fn content(&self, slot: Slot) -> Vec<u8> {
        fs::read(self.slot(slot)).unwrap_or_default()
    }

    pub fn status(&self) -> Status {
        status(&self.state()).unwrap()
    }

    /// The slot that runs.
    pub fn running(&self) -> Slot {
        self.status().slots.iter().find(|slot| slot.running).unwrap().slot
    }

    /// Runs the agent beside the test until the answer is dropped.
    pub fn run(&self) -> Running {
        self.run_with(None)
    }

    /// The same, with readings that it takes and sends.
    pub fn run_with(&self, readings: Option<Box<dyn Readings>>) -> Running {
        self.run_by(Clock::from_source(Arc::new(|| NOW)), readings)
    }

    /// The same, by a clock that the test sets.
    pub fn run_by(&self, clock: Clock, readings: Option<Box<dyn Readings>>) -> Running {
        let (state, (stop, stopped)) = (self.state(), watch::channel(false));
        let rng = rand::SeedableRng::seed_from_u64(self.lives.fetch_add(1, Ordering::Relaxed));
        let task =
            tokio::spawn(async move { slipway_agent::run(&state, clock, rng, readings, stopped).await });
        Running { stop, task }
    }
}

/// An agent at work.
pub struct Running {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<Result<(), slipway_agent::RunError>>,
}

impl Running {
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.ended().await.unwrap();
    }

    /// How it ended by itself.
    pub async fn ended(self) -> Result<(), slipway_agent::RunError> {
        self.task.await.unwrap()
    }
}
