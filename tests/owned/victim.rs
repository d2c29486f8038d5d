//! A real agent in this process, enrolled through the door of whoever owns the server.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{SeedableRng as _, rngs::StdRng};
use slipway_agent::{StateDir, clock::Clock, local, machine::Reason, telemetry::Telemetry};
use slipway_proto::v1::UpdateState;
use slipway_tests::{clock::wait_for, desk, world::World};
use tokio::{sync::watch, task::JoinHandle};

use crate::owner::{Lie, Owner};

/// Longer than anything here takes on a busy machine, a call of half a minute among it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// One device.
pub struct Victim {
    pub id: String,
    pub state: StateDir,
    pub owner: Owner,
    slots: PathBuf,
    world_clock: slipway_server::clock::Clock,
    /// How far its clock is off, in milliseconds.
    off: Arc<AtomicI64>,
    lives: AtomicU64,
    running: Option<(watch::Sender<bool>, Life)>,
}

/// An agent at work, and how it ends.
type Life = JoinHandle<Result<(), slipway_agent::RunError>>;

impl Victim {
    /// Enrols with a claim; its agent does not run yet.
    pub async fn enrolled(world: &World, claim: &str, id: &str) -> Self {
        let folder = PathBuf::from(world.path(id));
        let (state, slots) = (StateDir::new(&folder.join("state")), folder.join("slots"));
        let owner = Owner::start(world, &state).await;
        let door = format!("https://127.0.0.1:{}", owner.port);
        tokio::task::block_in_place(|| desk::enroll(claim, id, state.path(), &slots, &["--server", &door]));
        fs::write(slots.join("slot-a.img"), b"what the factory put there").expect("an image");
        Self {
            id: id.to_owned(),
            state,
            owner,
            slots,
            world_clock: world.clock.clone(),
            off: Arc::default(),
            lives: AtomicU64::new(1),
            running: None,
        }
    }

    /// Its clock shows this from now on, in milliseconds, while the server's stands still.
    pub fn shows(&self, millis: i64) {
        self.off.store(millis - self.world_clock.now().millis(), Ordering::SeqCst);
    }

    pub fn switch_on(&mut self) {
        let (truth, off) = (self.world_clock.clone(), self.off.clone());
        let clock = Clock::from_source(Arc::new(move || truth.now().millis() + off.load(Ordering::SeqCst)));
        let (stop, stopped) = watch::channel(false);
        let rng = StdRng::seed_from_u64(self.lives.fetch_add(1, Ordering::Relaxed));
        let (state, now) = (self.state.clone(), self.world_clock.now().millis());
        let sysroot = std::path::Path::new("/");
        let (readings, _) =
            Telemetry::open(&state, sysroot, Duration::from_secs(1), now).expect("its telemetry");
        let task = tokio::spawn(async move {
            slipway_agent::run(&state, clock, rng, Some(Box::new(readings)), stopped).await
        });
        self.running = Some((stop, task));
    }

    pub async fn switch_off(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.send_replace(true);
            task.await.expect("no panic").expect("an orderly end");
        }
    }

    pub fn tell(&self, lie: Option<Lie>) {
        self.owner.tell(lie);
    }

    /// What went wrong last, by its own word.
    pub fn last_error(&self) -> Option<Reason> {
        Some(self.status().news.last_error?.reason)
    }

    /// Why it installs nothing, by its own word.
    pub fn blocked(&self) -> Option<Reason> {
        self.status().news.blocked
    }

    pub fn status(&self) -> local::Status {
        local::status(&self.state).expect("a status")
    }

    /// The version that runs; empty for what the factory put there.
    pub fn runs(&self) -> String {
        let running = self.status().slots.into_iter().find(|slot| slot.running);
        running.and_then(|slot| slot.holds).map(|holds| holds.version).unwrap_or_default()
    }

    /// What is in the slot that runs.
    pub fn image(&self) -> Vec<u8> {
        let running = self.status().slots.into_iter().find(|slot| slot.running).expect("a slot that runs");
        fs::read(self.slots.join(format!("slot-{}.img", running.slot))).expect("its image")
    }

    /// The last state of a false update, and why.
    pub fn end_of_lie(&self) -> Option<(UpdateState, Option<Reason>)> {
        self.owner.heard(|heard| {
            let last = heard
                .reports
                .iter()
                .rfind(|report| report.state() as i32 >= UpdateState::Succeeded as i32)?;
            let reason = last.reason.as_ref().map(|reason| Reason::new(&reason.code, &reason.detail));
            Some((last.state(), reason))
        })
    }

    /// Waits until it is as asked; what is the matter instead, if that does not come about.
    pub async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) -> Result<(), String> {
        let wait = wait_for(what, 2 * PATIENCE, async || is(self).then_some(()));
        let ended = tokio::time::timeout(PATIENCE, wait).await;
        ended.map_err(|_| {
            let (status, end) = (self.status().to_text(), self.end_of_lie());
            let (have, lied) = self.owner.heard(|heard| (heard.have, heard.lied));
            format!("{}: not {what:?}\n{status}{end:?}, {lied} lies, {have:?}", self.id)
        })
    }

    /// Waits until it runs a version, and has nothing more to do.
    pub async fn until_it_runs(&self, version: &str) -> Result<(), String> {
        let is = |one: &Self| one.runs() == version && one.status().state == "idle";
        self.until(&format!("running {version}"), is).await
    }

    /// What no server may ever change: the key, the pinned authority and the address of the server, whatever
    /// the owner of the device allowed, and that there is a root and a journal.
    pub fn lasting(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.state.path();
        let files =
            [self.state.key(), self.state.server_ca(), self.state.config(), state.join("consent.toml")];
        let mut found: Vec<_> = files
            .into_iter()
            .filter_map(|path| Some((path.display().to_string(), fs::read(&path).ok()?)))
            .collect();
        for name in ["metadata/1.root.json", "journal"] {
            let is_there = state.join(name).exists();
            found.push((name.to_owned(), vec![u8::from(is_there)]));
        }
        found
    }
}
