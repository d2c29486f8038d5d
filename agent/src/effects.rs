//! Doing what the machine asks for. Each effect ends in one event.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::rngs::StdRng;
use tokio::{sync::mpsc, time::sleep};

use crate::{
    bundle::Supply,
    config::{Config, StateDir},
    fetch::{self, Note},
    health,
    link::chain,
    machine::{Bitmap, Effect, Event, Reason, Slot, Work, World},
    manifest::{self, ManifestError},
    schedule::backoff,
    slots::{SlotError, SlotImage, Slots},
};

/// How often a device that asks not to be disturbed is asked again.
const SURVEY_PAUSE: Duration = Duration::from_secs(5);

/// What has to be left of the disk for the rest of an update: some ten records of at most 16 KiB, the boot
/// environment, and what is written beside a file before it takes its place.
const RESERVE: u64 = 256 << 10;

/// How an effect ended.
#[derive(Debug)]
pub enum Done {
    /// Something happened.
    Event(Event),
    /// The device rebooted.
    Rebooted,
}

/// What effects are done with.
pub struct Hands {
    /// Where the device keeps what it knows.
    pub state: StateDir,
    /// What it is.
    pub config: Config,
    /// Slots and boot loader.
    pub slots: Arc<Mutex<Box<dyn Slots + Send>>>,
    /// Where manifests and segments come from.
    pub supply: Supply,
    /// What is said on the way.
    pub notes: mpsc::UnboundedSender<Note>,
    /// For pauses.
    pub rng: StdRng,
}

impl Hands {
    /// What the boot loader says.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn world(&self) -> Result<World, Reason> {
        self.slots().world().map_err(|error| slot_reason(&error))
    }

    /// Where the content of a slot is.
    pub fn slot_path(&self, slot: Slot) -> PathBuf {
        self.slots().path(slot)
    }

    /// Does one thing.
    pub async fn perform(self, effect: Effect) -> Done {
        let outcome = match effect {
            Effect::Survey { later } => self.survey(later).await,
            Effect::Prepare { target } => {
                self.loader(|slots| slots.mark_unbootable(target)).map(|()| Event::Prepared)
            }
            Effect::Fetch(work) => self.fetch(*work).await,
            Effect::Verify(work) => self.verify(&work).await,
            Effect::Arm(work) => self.arm(&work).await,
            Effect::Reboot => match self.loader(|slots| slots.reboot()) {
                Ok(()) => return Done::Rebooted,
                Err(reason) => Err(reason),
            },
            Effect::CheckHealth(work) => Ok(self.check_health(*work).await),
            Effect::AwaitContact => {
                sleep(self.config.contact_wait()).await;
                Ok(Event::ContactAwaited)
            }
            Effect::Commit { slot } => self.switch(slot).map(|running| Event::Committed { running }),
            Effect::Restore { slot } => self.switch(slot).map(|running| Event::Restored { running }),
            Effect::Stop => std::future::pending().await,
        };
        Done::Event(outcome.unwrap_or_else(Event::Failed))
    }

    fn slots(&self) -> MutexGuard<'_, Box<dyn Slots + Send>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loader<T>(
        &self,
        act: impl FnOnce(&mut (dyn Slots + Send)) -> Result<T, SlotError>,
    ) -> Result<T, Reason> {
        act(self.slots().as_mut()).map_err(|error| slot_reason(&error))
    }

    fn switch(&self, slot: Slot) -> Result<Slot, Reason> {
        self.loader(|slots| {
            slots.commit(slot)?;
            slots.active()
        })
    }

    async fn survey(&self, later: bool) -> Result<Event, Reason> {
        if later {
            sleep(SURVEY_PAUSE).await;
        }
        let (caps, world) = self.loader(|slots| Ok((slots.caps()?, slots.world()?)))?;
        Ok(Event::Surveyed {
            capacity: caps.capacity,
            inhibited: self.state.inhibitor().exists(),
            boot_id: world.boot_id,
        })
    }

    async fn fetch(mut self, work: Work) -> Result<Event, Reason> {
        let release = &work.release;
        let mut pauses = 0;
        let manifest = loop {
            match manifest::load(&self.supply, &self.state, release).await {
                Ok(manifest) => break manifest,
                Err(ManifestError::Refused(reason)) => return Err(reason),
                Err(error) => {
                    pauses += 1;
                    let reason = Reason::new("MANIFEST_UNAVAILABLE", chain(&error));
                    // The receiver is gone only when nobody waits for this any more.
                    let _ = self.notes.send(Note::Trouble(reason));
                    sleep(backoff(pauses, &mut self.rng)).await;
                }
            }
        };
        let artifact = manifest
            .artifact_for(&self.config.component, &self.config.hardware)
            .filter(|artifact| artifact.digest == release.digest)
            .ok_or_else(|| {
                Reason::new("ARTIFACT_MISSING", "the manifest does not list the artifact any more")
            })?;
        let segments = slipway_payload::segments(artifact)
            .map_err(|error| Reason::new("MANIFEST_INCONSISTENT", &error))?;
        let image = self.image(|slots| slots.open_spare(work.target, release.size))?;
        let notes = self.notes.clone();
        let note = move |note| {
            let _ = notes.send(note);
        };
        let mut progress = work.progress.clone();
        if image.resized() {
            // Emptied meanwhile, or not the one that the bitmap speaks of.
            progress.done = Bitmap::default();
        }
        let fetched = fetch::fetch(&self.supply, &image, &segments, progress, &mut self.rng, note).await;
        fetched.map(Event::Fetched).map_err(|error| {
            let reason = error.reason();
            // The journal may be on the same disk, and has to record this.
            if error.is_full() && self.give_space_back(work.target) { no_space(&work) } else { reason }
        })
    }

    /// Empties the spare slot, which does not boot as long as it is being written; true if that gave any
    /// space back.
    pub fn give_space_back(&self, target: Slot) -> bool {
        self.loader(|slots| slots.empty_spare(target)).unwrap_or(false)
    }

    async fn verify(&self, work: &Work) -> Result<Event, Reason> {
        let image = self.image(|slots| slots.open(work.target))?;
        fetch::read_back(&image, work.release.size, work.release.digest).await?;
        if self.lacks_reserve(work.target) && self.give_space_back(work.target) {
            return Err(no_space(work));
        }
        Ok(Event::Verified)
    }

    /// Days may lie between the verification and the window for a reboot, and a power cut: what is
    /// started is what was read last.
    async fn arm(&self, work: &Work) -> Result<Event, Reason> {
        let image = self.image(|slots| slots.open(work.target))?;
        fetch::read_back(&image, work.release.size, work.release.digest).await?;
        self.loader(|slots| slots.try_next(work.target)).map(|()| Event::Armed)
    }

    /// Whether the spare slot left too little of the disk that it shares with what the agent has to write.
    fn lacks_reserve(&self, target: Slot) -> bool {
        let free =
            rustix::fs::statvfs(self.state.path()).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        self.shares_disk(target) && free.is_ok_and(|free| free < RESERVE)
    }

    /// Whether a slot lies on the disk of the state folder.
    pub fn shares_disk(&self, slot: Slot) -> bool {
        let disk = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
        disk(self.state.path()) == disk(&self.slot_path(slot))
    }

    fn image(
        &self,
        open: impl FnOnce(&(dyn Slots + Send)) -> Result<SlotImage, SlotError>,
    ) -> Result<SlotImage, Reason> {
        open(self.slots().as_ref()).map_err(|error| slot_reason(&error))
    }

    async fn check_health(&self, work: Work) -> Event {
        let slot = self.slot_path(work.target);
        let trial = health::Trial {
            command: self.config.health_command.clone(),
            deadline: self.config.health_deadline(),
            slot: std::path::absolute(&slot).unwrap_or(slot),
            version: work.release.version,
            component: self.config.component.clone(),
        };
        match health::check(&self.state, &trial).await {
            // Whether the server was reached meanwhile is known to the shell.
            Ok(()) => Event::Healthy { contact: false },
            Err(reason) => Event::Unhealthy(reason),
        }
    }
}

/// The disk is full, and was made less so.
pub fn no_space(work: &Work) -> Reason {
    Reason::new(
        "SLOT_STORAGE_FULL",
        format!(
            "there is no space for version {} ({} bytes) in slot {}; what was written of it was given back",
            work.release.version, work.release.size, work.target
        ),
    )
}

fn slot_reason(error: &SlotError) -> Reason {
    Reason::new(error.code(), chain(error))
}
