//! A small fleet for the tests of rollouts: devices that poll, report and change what they run.

use std::{sync::Arc, time::Duration};

use slipway_trust::{Sha256, Versions};

use super::{
    Context,
    active_rollouts::ActiveRollouts,
    check_in::{Answer, CheckIn, check_in},
    device_cache::{DeviceCache, DeviceEntry},
    fake_trust::Publisher,
    reports::{Report, report},
    rollouts::{self, Asked},
    testing::{TestContext, enrolled},
    wake::Wake,
};
use crate::{
    model::{
        device::{Component, Inventory},
        plan::{Draft, WaveDraft},
        rollout::Rollout,
        update::{Reason, UpdateState},
    },
    store::{Db, rollouts::rollout_get},
    tasks::rollouts::reconcile,
};

pub(crate) const OPERATOR: &str = "tokens/op (operator)";

/// A context whose publisher released 1.0.0, 2.0.0 and 3.0.0 with counters 1, 2 and 3.
pub(crate) async fn published() -> TestContext {
    let ctx = Context::for_test().await;
    publish(&ctx).await;
    ctx
}

/// The same on SQLite, and on PostgreSQL where `cargo xtask test` has started one: there two
/// transactions really run at once. What comes first in a pair keeps the files of its context.
pub(crate) async fn published_on_each() -> Vec<(TestContext, Context)> {
    let mut all = Vec::new();
    let files = Context::for_test().await;
    let ctx = files.clone();
    all.push((files, ctx));
    if let Ok(url) = std::env::var("SLIPWAY_TEST_POSTGRES") {
        let files = Context::for_test().await;
        let name = files.dir.path().file_name().unwrap().to_string_lossy().to_lowercase();
        let schema = format!("test_rollouts_{}_{}", std::process::id(), name.trim_start_matches('.'));
        let db = Db::open_postgres(&url, Some(&schema)).await.unwrap();
        let ctx = Context { db, ..files.clone() };
        all.push((files, ctx));
    }
    for (_, ctx) in &all {
        publish(ctx).await;
    }
    all
}

async fn publish(ctx: &Context) {
    let mut publisher = Publisher::initialize(ctx).await;
    for (version, counter) in [("1.0.0", 1), ("2.0.0", 2), ("3.0.0", 3)] {
        publisher.publish(ctx, version, counter).await;
    }
}

/// Another replica: the same database, caches of its own.
pub(crate) async fn replica(ctx: &Context) -> Context {
    let other = Context {
        devices: DeviceCache::default(),
        rollouts: ActiveRollouts::default(),
        wake: Wake::new(),
        ..ctx.clone()
    };
    other.devices.reload(&other).await.unwrap();
    other.rollouts.reload(&other).await.unwrap();
    other
}

/// A device of the product `pump` that runs 1.0.0.
pub(crate) struct Pump {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) counter: u64,
    pub(crate) have: Versions,
    /// The update it works on.
    pub(crate) update: Option<String>,
    /// It is past the point where it lets go of an update that is taken back.
    pub(crate) is_past_return: bool,
    sequence: u64,
    /// Fingerprint of what it says of itself.
    digest: u64,
}

impl Pump {
    /// Enrolls it and lets it say what it runs.
    pub(crate) async fn new(ctx: &Context, id: &str) -> Self {
        enrolled(ctx, id, |_| {}).await;
        let mut pump = Pump::enrolled(id);
        pump.poll(ctx).await;
        pump
    }

    /// One that took 2.0.0 from a rollout and said so.
    pub(crate) async fn brought_to_2(ctx: &Context, id: &str) -> Self {
        let mut pump = Pump::new(ctx, id).await;
        create(ctx, plan("2.0.0", &[100.0])).await;
        pump.poll(ctx).await;
        pump.succeed(ctx, "2.0.0", 2).await;
        pump.poll(ctx).await;
        pump
    }

    /// One that is enrolled and has not called yet.
    pub(crate) fn enrolled(id: &str) -> Self {
        Pump {
            id: id.to_owned(),
            version: "1.0.0".to_owned(),
            counter: 1,
            have: Versions::default(),
            update: None,
            is_past_return: false,
            sequence: 0,
            digest: 1,
        }
    }

    pub(crate) fn entry(&self, ctx: &Context) -> Arc<DeviceEntry> {
        ctx.devices.get(&self.id).unwrap()
    }

    /// One poll; takes up what it is offered, lays down what is cancelled.
    pub(crate) async fn poll(&mut self, ctx: &Context) -> Answer {
        let inventory = (self.entry(ctx).inventory_digest != self.digest).then(|| self.inventory());
        let update_id = self.update.as_ref().and_then(|name| name.rsplit('/').next()).map(str::to_owned);
        let call = CheckIn { have: self.have, inventory_digest: self.digest, inventory, update_id };
        let answer = check_in(ctx, self.entry(ctx), call).await.unwrap();
        if answer.cancel_update && !self.is_past_return {
            self.update = None;
        }
        if let Some(offer) = answer.offer.as_ref().filter(|_| self.update.is_none()) {
            self.update = Some(offer.update.clone());
        }
        if answer.trust.as_ref().is_some_and(|delta| delta.assignment.is_some()) {
            self.have.assignment = self.entry(ctx).assignment.map_or(0, |signed| signed.version);
        }
        self.have = Versions { assignment: self.have.assignment, ..ctx.trust.versions("pump") };
        answer
    }

    /// Reports a step of the update it works on; lays it down when that is the end.
    pub(crate) async fn report(&mut self, ctx: &Context, state: UpdateState) {
        self.sequence += 1;
        let update = self.update.clone().unwrap();
        report(ctx, &self.entry(ctx), &self.report_of(&update, state)).await.unwrap();
        if state.is_terminal() {
            self.update = None;
        }
    }

    /// The number of its last report.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What it remembers is a copy from when `sequence` was its last report.
    pub(crate) fn restore(&mut self, sequence: u64) {
        self.sequence = sequence;
    }

    /// Has the release on trial: it runs it already, and says so.
    pub(crate) async fn try_out(&mut self, ctx: &Context, version: &str, counter: u64) {
        self.report(ctx, UpdateState::Trial).await;
        (self.version, self.counter) = (version.to_owned(), counter);
        self.digest += 1;
        self.poll(ctx).await;
    }

    /// Reports success; it runs this version from now on.
    pub(crate) async fn succeed(&mut self, ctx: &Context, version: &str, counter: u64) {
        self.report(ctx, UpdateState::Succeeded).await;
        (self.version, self.counter) = (version.to_owned(), counter);
        self.digest += 1;
    }

    pub(crate) fn report_of(&self, update: &str, state: UpdateState) -> Report {
        Report {
            update: update.to_owned(),
            sequence: self.sequence,
            state,
            reason: Reason::default(),
            bytes_fetched: 0,
            bytes_written: 0,
            attempt: 1,
        }
    }

    fn inventory(&self) -> Inventory {
        Inventory {
            digest: self.digest,
            components: vec![Component {
                component: "system".to_owned(),
                version: self.version.clone(),
                counter: self.counter,
                digest: String::new(),
                slot: "a".to_owned(),
            }],
            ..Inventory::default()
        }
    }
}

/// A plan with waves that end at these percents.
pub(crate) fn plan(version: &str, percents: &[f64]) -> Draft {
    Draft {
        release: format!("releases/pump/{version}"),
        waves: percents.iter().map(|percent| WaveDraft { percent: *percent, ..Default::default() }).collect(),
        update_timeout: Some(Duration::from_secs(600)),
        ..Draft::default()
    }
}

pub(crate) async fn create(ctx: &Context, draft: Draft) -> Rollout {
    let asked = Asked { request_id: String::new(), digest: Sha256::of(b"") };
    rollouts::create(ctx, OPERATOR, draft, false, &asked).await.unwrap()
}

/// The rollout after the reconciler had its turn.
pub(crate) async fn settled(ctx: &Context, id: &str) -> Rollout {
    reconcile(ctx).await.unwrap();
    let mut tx = ctx.db.read().await.unwrap();
    rollout_get(&mut tx, id).await.unwrap().unwrap()
}
