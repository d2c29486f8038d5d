//! `slipway-agent install`: one update from a file, from the check of its first byte to its outcome. It is
//! the agent's own work with another source and nobody to talk to; what it leaves unfinished is gone on
//! with by the next `install`, and by `run`.

use std::{path::Path, sync::Arc};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use slipway_trust::{DeviceFacts, check_release};
use tokio::sync::watch;

use crate::{
    bundle::{Bundle, Bundles, Supply, UPDATE},
    clock::Clock,
    config::{Config, StateDir},
    journal::Journal,
    link::chain,
    machine::{Installed, Offer, Reason, Release, Slot, Snapshot},
    manifest,
    recover::{self, Remembered},
    run::RunError,
    shell::{Aim, Exit, Parts, Shell},
    slots::{FileSlots, Slots},
    verify::TrustStore,
};

/// Why the release of a bundle does not run.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The agent cannot work with its state folder.
    #[error(transparent)]
    Device(#[from] RunError),
    /// It was refused, or did not work.
    #[error("{}", .0.detail)]
    Refused(Reason),
    /// Somebody stopped it.
    #[error("stopped before the end; what was done so far is kept")]
    Stopped,
}

impl From<Reason> for InstallError {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

/// Installs the release of the bundle at `path` on the device in `state`; says what runs then, and where.
/// The agent must not run meanwhile. Health command and fall-back are those of any update; nobody is
/// waited for, as there is no server.
///
/// # Errors
/// [`InstallError`]. Before the last byte of the bundle was checked nothing but metadata is changed.
pub async fn install(
    state: &StateDir,
    path: &Path,
    clock: Clock,
    rng: StdRng,
    mut stop: watch::Receiver<bool>,
) -> Result<(Installed, Slot), InstallError> {
    let _lock = state.lock().map_err(RunError::from)?;
    let mut config = Config::read(state).map_err(RunError::from)?;
    if config.bundles == Bundles::Off {
        let detail = format!("{} says that this device takes no bundles", state.config().display());
        return Err(Reason::new("BUNDLES_OFF", detail).into());
    }
    config.contact_wait_seconds = 0;
    let opened = TrustStore::open(state, &config.product, &config.device_id, &clock);
    let (mut trust, remarks) = opened.map_err(RunError::from)?;
    let mut device = Device { state, config, clock, rng, remarks };
    // A device that never ran begins its journal before it hears of releases: a journal that is missing
    // beside them would be one that was lost, and its floor with it.
    let (_, remembered) = device.remember(&trust).await?;
    device.remarks.extend(remembered.remarks);
    let bundle = Arc::new(Bundle::open(path, &mut trust, &device.config)?);
    let broken = bundle.clone();
    let mut work = Installer { device, trust, bundle };
    tokio::select! {
        done = work.install() => done,
        broken = broken.broke() => Err(broken.into()),
        Ok(_) = stop.wait_for(|stop| *stop) => Err(InstallError::Stopped),
    }
}

/// What holds whatever is installed.
struct Device<'a> {
    state: &'a StateDir,
    config: Config,
    clock: Clock,
    rng: StdRng,
    /// What was lost and what became of it, for people.
    remarks: Vec<Reason>,
}

impl Device<'_> {
    async fn remember(&mut self, trust: &TrustStore) -> Result<(FileSlots, Remembered), RunError> {
        let rng = StdRng::from_rng(&mut self.rng);
        let slots = FileSlots::open_folder(&self.config.slots, self.config.slot_size, rng);
        let running = slots.active().and_then(|slot| Ok((slot, slots.open(slot)?))).ok();
        let now = self.clock.now();
        let remembered = recover::remember(self.state, &self.config, trust, running, now).await?;
        Ok((slots, remembered))
    }
}

struct Installer<'a> {
    device: Device<'a>,
    trust: TrustStore,
    bundle: Arc<Bundle>,
}

impl Installer<'_> {
    async fn install(&mut self) -> Result<(Installed, Slot), InstallError> {
        // What runs, and from where the device may go on, is only known once nothing is on trial.
        self.live(Aim::Settle).await?;
        let (slots, remembered) = self.device.remember(&self.trust).await?;
        let running = slots.active().map_err(|error| Reason::new(error.code(), chain(&error)))?;
        let memory = &remembered.snapshot.memory;
        let facts = DeviceFacts {
            product: &self.device.config.product,
            hardware: &self.device.config.hardware,
            installed: memory.installed(running).map_or(0, |installed| installed.counter),
            floor: memory.floor,
        };
        check_release(&self.bundle.entry, &facts).map_err(|error| Reason::new(error.code(), &error))?;
        self.bundle.check(&self.device.config).await?;
        let release = self.resolve().await?;
        let begun = remembered.snapshot.state.work().filter(|work| work.release == release);
        let (update, offer) = match begun {
            Some(work) => (work.update.clone(), None),
            None => {
                // The server does not know it; at the next contact it hears what runs.
                let number = self.device.rng.next_u64();
                let update = format!("devices/{}{UPDATE}{number:016x}", self.device.config.device_id);
                let offer = Offer { update: update.clone(), release: release.clone(), deadline: None };
                (update, Some(Box::new(offer)))
            }
        };
        drop((slots, remembered));
        self.live(Aim::Finish(offer)).await?;
        self.outcome(&update, &release)
    }

    async fn resolve(&self) -> Result<Release, InstallError> {
        let supply = Supply::Bundle(self.bundle.clone());
        let resolved =
            manifest::resolve(&supply, self.device.state, &self.device.config, &self.bundle.entry).await;
        resolved.map_err(|error| match error {
            manifest::ManifestError::Refused(reason) => reason.into(),
            error => Reason::new("STATE_IO_FAILED", chain(&error)).into(),
        })
    }

    /// Lives as often as the device reboots, until the aim is reached.
    async fn live(&mut self, mut aim: Aim) -> Result<(), InstallError> {
        loop {
            let (slots, remembered) = self.device.remember(&self.trust).await?;
            // Without a boot loader nothing would ever happen.
            slots.world().map_err(|error| Reason::new(error.code(), chain(&error)))?;
            let next = if aim == Aim::Settle { Aim::Settle } else { Aim::Finish(None) };
            let parts = Parts {
                aim,
                supply: Supply::Bundle(self.bundle.clone()),
                contact: None,
                slots: Box::new(slots),
                state: self.device.state.clone(),
                clock: self.device.clock.clone(),
                rng: StdRng::from_rng(&mut self.device.rng),
                config: self.device.config.clone(),
                journal: remembered.journal,
                snapshot: remembered.snapshot,
                floor: remembered.floor,
            };
            let mut shell = Shell::new(parts, None);
            for remark in self.device.remarks.drain(..).chain(remembered.remarks) {
                shell.remark(&remark);
            }
            // Whoever stops it lets go of the whole: that is as good as a power cut.
            let (_stop, mut never) = watch::channel(false);
            if shell.live(&mut never).await != Exit::Rebooted {
                return Ok(());
            }
            aim = next;
        }
    }

    /// What became of the update: its last report, which waits for the server.
    fn outcome(&self, update: &str, release: &Release) -> Result<(Installed, Slot), InstallError> {
        let recovered = Journal::peek(&self.device.state.journal()).map_err(RunError::from)?;
        let snapshot: Snapshot =
            recovered.last.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
        let last = snapshot.memory.outbox.iter().rfind(|report| report.update == update);
        if let Some(reason) = last.and_then(|report| report.reason.clone()) {
            return Err(reason.into());
        }
        let (installed, memory) = (release.installed(), &snapshot.memory);
        let slot = [Slot::A, Slot::B].into_iter().find(|slot| memory.installed(*slot) == Some(&installed));
        match (last, slot) {
            (Some(report), Some(slot)) if report.step.is_last() => Ok((installed, slot)),
            _ => {
                let detail = "the update came to no end; see the device's log";
                Err(Reason::new("UPDATE_INCONSISTENT", detail).into())
            }
        }
    }
}
