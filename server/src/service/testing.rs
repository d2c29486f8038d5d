//! A context for unit tests: a fresh SQLite database, a clock that stands still, seeded randomness.

use std::{ops::Deref, sync::Arc, time::Duration};

use slipway_trust::{Sha256, Versions};
use tempfile::TempDir;

use super::{
    Context,
    active_rollouts::ActiveRollouts,
    alerts::AlertFeed,
    archive::Archive,
    conditions::Conditions,
    courier::Courier,
    device_cache::{DeviceCache, DeviceEntry},
    enroll::Guesses,
    fake_trust,
    forecasts::Forecasts,
    ingest::Inbox,
    manifests::Manifests,
    offline::Offline,
    places::Places,
    presence::Presence,
    renew::Renewals,
    stop::StopHandle,
    suppression::Suppression,
    token_cache::TokenCache,
    trust::Trust,
    wake::Wake,
};
use crate::{
    clock::Clock,
    limits,
    model::{
        address::AddressPolicy,
        device::{Device, DeviceState, Inventory, Standing},
        label::Labels,
        outage::Settings,
        time::{DAY, Timestamp},
    },
    objects::Objects,
    observe::Metrics,
    pki::Pki,
    rng::Rng,
    store::{Db, devices::device_insert},
    webhook::{Outbound, Resolver},
};

/// 2026-01-01T00:00:00Z, where every test starts.
pub const START: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// A context and the directory that its files live in; both end together.
#[derive(Debug)]
pub struct TestContext {
    ctx: Context,
    /// Removed when the test ends.
    pub dir: TempDir,
    /// What a stopping server raises.
    pub stop_handle: StopHandle,
}

/// An enrolled device `pump` of hardware `gw-a` at site `north`, as `change` leaves it.
pub(crate) async fn enrolled(ctx: &Context, id: &str, change: impl FnOnce(&mut Device)) -> Arc<DeviceEntry> {
    let now = ctx.clock.now();
    let mut device = Device {
        id: id.to_owned(),
        product: "pump".to_owned(),
        hardware: "gw-a".to_owned(),
        state: DeviceState::Active,
        spki_sha256: Sha256::of(id.as_bytes()),
        standing: Standing::default(),
        certificate_serial: "01".to_owned(),
        certificate_not_after: now.after(DAY),
        enrolled_by: "claims/claim".to_owned(),
        labels: Labels::from([("site".to_owned(), "north".to_owned())]),
        inventory: Inventory::default(),
        have: Versions::default(),
        failures: 0,
        quarantined_until: None,
        created_at: now,
        updated_at: now,
        generation: 1,
    };
    change(&mut device);
    let mut tx = ctx.db.write().await.expect("a transaction");
    device_insert(&mut tx, &device).await.expect("a new device");
    tx.commit().await.expect("a commit");
    ctx.devices.refresh(ctx, id).await.expect("the device in memory");
    ctx.devices.get(id).expect("the device")
}

impl Deref for TestContext {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.ctx
    }
}

impl Context {
    /// A context of its own for one test.
    pub async fn for_test() -> TestContext {
        Context::for_test_with(|_| {}).await
    }

    /// The same, as `change` leaves it.
    pub async fn for_test_with(change: impl FnOnce(&mut Context)) -> TestContext {
        let dir = TempDir::new().expect("a temporary directory");
        let db = Db::open_sqlite(&dir.path().join("slipway.db")).await.expect("a database");
        let clock = Clock::manual(START);
        let rng = Rng::seeded(1);
        let objects = Objects::memory();
        let metrics = Metrics::new();
        let outbound = Outbound::new(
            AddressPolicy::default(),
            "https://fleet.example:7443".to_owned(),
            None,
            Resolver::System,
        )
        .expect("nothing to read");
        let courier = Courier::new(outbound, &Rng::seeded(2));
        let trust = Trust::new(fake_trust::online_keys(), &metrics);
        let (stop_handle, stop) = StopHandle::new();
        let pki = Arc::new(Pki::in_memory(START).expect("two authorities"));
        let mut ctx = Context {
            db,
            clock,
            rng,
            objects,
            trust,
            pki,
            tokens: TokenCache::default(),
            devices: DeviceCache::default(),
            presence: Presence::default(),
            metrics,
            stop,
            inbox: Inbox::default(),
            archive: Archive::default(),
            forecasts: Forecasts::default(),
            erasure: Arc::default(),
            manifests: Manifests::default(),
            alerts: AlertFeed::default(),
            offline: Offline::new(Settings::default(), START),
            conditions: Conditions::default(),
            suppression: Suppression::default(),
            courier,
            rollouts: ActiveRollouts::default(),
            wake: Wake::default(),
            renewals: Renewals::new(limits::RENEWALS, limits::RENEWALS_WITHIN),
            exports: Places::new("exports", limits::EXPORTS_OF_TOKEN, limits::EXPORTS),
            watches: Places::new("watches", limits::WATCHES_OF_TOKEN, limits::WATCHES),
            lessons: Places::new("uploads of lives", limits::LESSONS, limits::LESSONS),
            guesses: Guesses::new(limits::GUESSES, limits::GUESSES_WITHIN),
            renew_after_expiry: 10 * limits::DEVICE_CERTIFICATE,
            metrics_token: false,
            check_in_interval: Duration::from_secs(60),
        };
        change(&mut ctx);
        TestContext { ctx, dir, stop_handle }
    }
}
