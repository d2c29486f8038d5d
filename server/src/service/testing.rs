//! A context for unit tests: a fresh SQLite database, a clock that stands still, seeded randomness.

use std::{ops::Deref, sync::Arc, time::Duration};

use tempfile::TempDir;

use super::{
    Context, active_rollouts::ActiveRollouts, alerts::AlertFeed, device_cache::DeviceCache, fake_trust,
    ingest::Inbox, presence::Presence, stop::StopHandle, token_cache::TokenCache, trust::Trust, wake::Wake,
};
use crate::{
    clock::Clock, model::time::Timestamp, objects::Objects, observe::Metrics, pki::Pki, rng::Rng, store::Db,
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

impl Deref for TestContext {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.ctx
    }
}

impl Context {
    /// A context of its own for one test.
    pub async fn for_test() -> TestContext {
        let dir = TempDir::new().expect("a temporary directory");
        let db = Db::open_sqlite(&dir.path().join("slipway.db")).await.expect("a database");
        let clock = Clock::manual(START);
        let rng = Rng::seeded(1);
        let objects = Objects::memory();
        let trust = Trust::new(fake_trust::online_keys());
        let (stop_handle, stop) = StopHandle::new();
        let pki = Arc::new(Pki::in_memory(START).expect("two authorities"));
        let ctx = Context {
            db,
            clock,
            rng,
            objects,
            trust,
            pki,
            tokens: TokenCache::default(),
            devices: DeviceCache::default(),
            presence: Presence::default(),
            metrics: Metrics::new(),
            stop,
            inbox: Inbox::default(),
            alerts: AlertFeed::default(),
            rollouts: ActiveRollouts::default(),
            wake: Wake::default(),
            check_in_interval: Duration::from_secs(60),
        };
        TestContext { ctx, dir, stop_handle }
    }
}
