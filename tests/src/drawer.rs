//! A device in a drawer: a real server and a real agent in this process, and what the agent's clock shows
//! beside the truth.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use rand::{SeedableRng as _, rngs::StdRng};
use slipway_agent::{
    Config, StateDir,
    clock::Clock,
    enroll::{Enrollment, enroll_by},
    keystore::Keys,
    local,
    readings::Readings,
    telemetry::Telemetry,
};
use slipway_server::service::devices;
use tokio::{sync::watch, task::JoinHandle};

use crate::{clock::wait_for, desk::HARDWARE, world::World};

/// How long anything may take that has to happen, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// A day.
pub const DAY: Duration = Duration::from_secs(24 * 3600);
/// A year.
pub const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// One device, its server, and what the device's clock shows beside the truth.
#[derive(Debug)]
pub struct Drawer {
    /// The fleet that it belongs to.
    pub world: World,
    /// What the device knows.
    pub state: StateDir,
    /// How far its clock is off, in milliseconds.
    off: Arc<AtomicI64>,
    lives: u64,
}

/// An agent at work.
#[derive(Debug)]
pub struct Awake {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), slipway_agent::RunError>>,
}

impl Awake {
    /// Stops it.
    ///
    /// # Panics
    ///
    /// When it ended otherwise.
    pub async fn switch_off(self) {
        self.stop.send_replace(true);
        self.task.await.expect("no panic").expect("an orderly end");
    }
}

impl Drawer {
    /// An enrolled device whose certificate may be renewed for so many days after its end.
    pub async fn new(renew_after_expiry: u64) -> Self {
        Self::enrolled_by(renew_after_expiry, &Clock::system()).await
    }

    /// The same, enrolled by another clock than the machine's.
    pub async fn enrolled_by(renew_after_expiry: u64, clock: &Clock) -> Self {
        Self::enrolled(renew_after_expiry, clock, |_| ()).await
    }

    /// The same, with more said to the agent when it is enrolled.
    ///
    /// # Panics
    ///
    /// When it cannot be enrolled.
    pub async fn enrolled(
        renew_after_expiry: u64,
        clock: &Clock,
        configure: impl FnOnce(&mut Enrollment),
    ) -> Self {
        let world = World::start_with(|config| {
            config.check_in_interval = 1;
            config.renew_after_expiry = renew_after_expiry;
        })
        .await;
        world.init_trust();
        let (claim, state) = (world.path("claim.json"), PathBuf::from(world.path("state")));
        world.slipway(&["claim", "create", "--product", "pump", "--hardware", HARDWARE, "--out", &claim]);
        let mut order = Enrollment {
            claim: claim.into(),
            state: state.clone(),
            slots: world.path("slots").into(),
            hardware: HARDWARE.to_owned(),
            device_id: Some("pump-1".to_owned()),
            component: "system".to_owned(),
            health_command: String::new(),
            server: None,
            slot_size: 0,
            manufacturer: None,
            key_store: None,
            tpm: None,
        };
        configure(&mut order);
        enroll_by(&order, clock).await.expect("a device");
        fs::write(world.path("slots/slot-a.img"), b"factory").expect("an image");
        Drawer { world, state: StateDir::new(&state), off: Arc::default(), lives: 0 }
    }

    /// Starts the agent.
    pub fn switch_on(&mut self) -> Awake {
        self.awake(|_| None)
    }

    /// Starts the agent, with readings of a machine each second that has nothing to be read but itself.
    pub fn switch_on_measuring(&mut self) -> Awake {
        let (state, machine) = (self.state.clone(), PathBuf::from(self.world.path("machine")));
        self.awake(|clock| {
            let every = Duration::from_secs(1);
            let (telemetry, _) = Telemetry::open(&state, &machine, every, clock.now()).expect("a spool");
            Some(Box::new(telemetry.with_clock(clock)))
        })
    }

    fn awake(&mut self, readings: impl FnOnce(&Clock) -> Option<Box<dyn Readings>>) -> Awake {
        self.lives += 1;
        let (stop, stopped) = watch::channel(false);
        let truth = self.world.clock.clone();
        let (passed, off) = (truth.clone(), self.off.clone());
        let clock = Clock::with_ticks(
            Arc::new(move || truth.now().millis() + off.load(Ordering::SeqCst)),
            Arc::new(move || passed.now().millis()),
        );
        let (state, rng) = (self.state.clone(), StdRng::seed_from_u64(self.lives));
        let readings = readings(&clock);
        let task =
            tokio::spawn(async move { slipway_agent::run(&state, clock, rng, readings, stopped).await });
        Awake { stop, task }
    }

    /// Sets the device's clock.
    pub fn shows(&self, millis: i64) {
        self.off.store(millis - self.world.clock.now().millis(), Ordering::SeqCst);
    }

    /// Its record; not asked for by call, because no token lives as long as a device.
    pub async fn device(&self) -> devices::Seen {
        devices::get(&self.world.running.context, "pump-1").await.expect("the device")
    }

    /// Waits until the device has called at the present moment.
    pub async fn is_back(&self) {
        let now = self.world.clock.now();
        wait_for("the device to call", PATIENCE, || async {
            (self.device().await.contact?.seen_at >= now).then_some(())
        })
        .await;
    }

    /// Waits until it has a certificate from now on.
    pub async fn is_renewed(&self) {
        let end = self.world.clock.now().after(364 * DAY);
        wait_for("a new certificate", PATIENCE, || async {
            (self.device().await.device.certificate_not_after > end).then_some(())
        })
        .await;
    }

    /// Waits until it says that it is blocked for this reason.
    pub async fn is_blocked(&self, code: &str) {
        wait_for(code, PATIENCE, || async {
            let blocked = local::status(&self.state).ok()?.news.blocked?;
            (blocked.code == code).then_some(())
        })
        .await;
    }

    /// Waits until it says that the last thing that went wrong was this.
    pub async fn has_said(&self, code: &str) {
        wait_for(code, PATIENCE, || async {
            let error = local::status(&self.state).ok()?.news.last_error?;
            (error.reason.code == code).then_some(())
        })
        .await;
    }

    /// Its keys, as the agent keeps them.
    ///
    /// # Panics
    ///
    /// When its configuration is not one.
    pub fn keys(&self) -> Keys {
        let config = Config::read(&self.state).expect("agent.toml");
        Keys::open(&self.state, &config).expect("a key store")
    }

    /// Has its agent change the key with each renewal.
    ///
    /// # Panics
    ///
    /// When its configuration is not one.
    pub fn changes_keys(&self) {
        let mut config = Config::read(&self.state).expect("agent.toml");
        config.new_key_at_renewal = true;
        config.write(&self.state).expect("agent.toml");
    }

    /// Its key, when that is a file, and its certificate.
    ///
    /// # Panics
    ///
    /// When one of them is missing.
    pub fn files(&self) -> (String, String) {
        let read = |path: PathBuf| fs::read_to_string(path).expect("a file");
        (read(self.state.key()), read(self.state.certificate()))
    }

    /// What the server wrote down.
    pub fn acts(&self) -> String {
        self.world.slipway(&["audit", "list"])
    }
}
