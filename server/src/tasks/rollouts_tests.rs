//! A fleet, two replicas and a clock, driven by a seed: whatever happens in whatever order, the
//! counters of every wave agree with its updates, limits hold, and everything ends.

use std::{collections::HashMap, time::Duration};

use super::*;
use crate::{
    model::{
        admission::verdict,
        rollout::{Act, Rollout},
        update::{Outcome, UpdateState},
        wave::Counts,
    },
    rng::Rng,
    service::{
        rollout_testing::{OPERATOR, Pump, create, plan, published, published_on_each, replica},
        rollouts,
        testing::enrolled,
    },
    store::{
        rollouts::{rollout_get, rollouts_page},
        update_lists::updates_page,
    },
};

const PUMPS: usize = 12;
const STEPS: usize = 400;
const SEEDS: [u64; 3] = [1, 2, 3];

fn pick(rng: &Rng, below: usize) -> usize {
    usize::try_from(u64::from_le_bytes(rng.bytes()) % u64::try_from(below).unwrap()).unwrap()
}

#[tokio::test]
async fn whatever_happens_counters_agree_and_limits_hold() {
    for seed in SEEDS {
        for (_files, first) in published_on_each().await {
            simulate(first, seed).await;
        }
    }
}

async fn simulate(first: Context, seed: u64) {
    let rng = Rng::seeded(seed);
    let mut pumps = Vec::new();
    for i in 0..PUMPS {
        pumps.push(Pump::new(&first, &format!("p{i}")).await);
    }
    let second = replica(&first).await;
    let replicas: [&Context; 2] = [&first, &second];
    let mut states: HashMap<String, UpdateState> = HashMap::new();
    for step in 0..STEPS {
        let ctx = replicas[pick(&rng, 2)];
        match pick(&rng, 20) {
            0 => start(ctx, &rng).await,
            1 => operate(ctx, &rng).await,
            // A replica hears what the other one wrote, or does not yet.
            2 | 3 => {
                ctx.devices.reload(ctx).await.unwrap();
                ctx.rollouts.reload(ctx).await.unwrap();
            }
            4 | 5 => reconcile(ctx).await.unwrap(),
            6 => first.clock.advance(Duration::from_secs(60 * u64::try_from(pick(&rng, 8)).unwrap())),
            7..=9 => {
                // Two devices at two replicas at the same moment.
                let at = pick(&rng, PUMPS - 1);
                let (left, right) = pumps.split_at_mut(at + 1);
                tokio::join!(left[at].poll(&first), right[0].poll(&second));
            }
            _ => act(ctx, &rng, &mut pumps).await,
        }
        check(ctx, &mut states, &format!("seed {seed}, step {step}")).await;
    }
    finish(&first, &mut pumps).await;
    check(&first, &mut states, &format!("seed {seed}, end")).await;
}

async fn start(ctx: &Context, rng: &Rng) {
    let version = ["2.0.0", "3.0.0"][pick(rng, 2)];
    let mut draft = plan(version, &[25.0, 60.0, 100.0]);
    draft.rolls_back = pick(rng, 2) == 0;
    for wave in &mut draft.waves {
        wave.max_in_flight = u32::try_from(pick(rng, 3)).unwrap();
        wave.max_failures = u32::try_from(pick(rng, 3)).unwrap();
        wave.max_failure_percent = 60;
        wave.min_success_percent = 40;
        wave.soak = Duration::from_secs(30);
    }
    create(ctx, draft).await;
}

/// An operator, on whatever rollout; half of it is refused.
async fn operate(ctx: &Context, rng: &Rng) {
    let mut tx = ctx.db.read().await.unwrap();
    let all = rollouts_page(&mut tx, None, 100).await.unwrap().0;
    drop(tx);
    if let Some(rollout) = all.get(pick(rng, all.len().max(1))) {
        let act = [Act::Pause, Act::Resume, Act::Resume, Act::Abort][pick(rng, 4)];
        let _ = rollouts::act(ctx, OPERATOR, &rollout.id, act, "").await;
    }
}

/// One device polls, reports something, or forgets what it did.
async fn act(ctx: &Context, rng: &Rng, pumps: &mut [Pump]) {
    let pump = &mut pumps[pick(rng, PUMPS)];
    if pump.update.is_none() || pick(rng, 4) == 0 {
        pump.poll(ctx).await;
        return;
    }
    match pick(rng, 8) {
        0 => pump.report(ctx, UpdateState::Downloading).await,
        1 => pump.report(ctx, UpdateState::Staged).await,
        2 => pump.report(ctx, UpdateState::Trial).await,
        3 => pump.report(ctx, UpdateState::Failed).await,
        4 => pump.report(ctx, UpdateState::RolledBack).await,
        5 => pump.update = None,
        _ => {
            let update = pump.update.clone().unwrap_or_default();
            let id = update.rsplit('/').next().unwrap_or_default();
            let mut tx = ctx.db.read().await.unwrap();
            let update = update_get(&mut tx, id).await.unwrap().unwrap();
            drop(tx);
            let counter = update.version.as_bytes()[0] - b'0';
            pump.succeed(ctx, &update.version, counter.into()).await;
        }
    }
}

/// What must hold at every moment, read from the store alone.
async fn check(ctx: &Context, states: &mut HashMap<String, UpdateState>, when: &str) {
    let mut tx = ctx.db.read().await.unwrap();
    let updates = updates_page(&mut tx, None, None, 100_000).await.unwrap();
    let rollouts = rollouts_page(&mut tx, None, 1000).await.unwrap().0;
    drop(tx);
    let mut busy = HashMap::new();
    for update in &updates {
        let before = states.insert(update.id.clone(), update.state).unwrap_or(UpdateState::Offered);
        assert!(update.state >= before, "{when}: {before:?} -> {update:?}");
        assert!(!before.is_terminal() || update.state == before, "{when}: {before:?} -> {update:?}");
        assert_eq!(update.state.is_terminal(), update.finished_at.is_some(), "{when}: {update:?}");
        assert_eq!(update.state.is_terminal(), update.deadline_at.is_none(), "{when}: {update:?}");
        if !update.state.is_terminal() {
            assert_eq!(busy.insert(&update.device_id, &update.id), None, "{when}: {update:?}");
        }
    }
    for rollout in &rollouts {
        for wave in &rollout.waves {
            let counts = Counts {
                forgiven_succeeded: wave.counts.forgiven_succeeded,
                forgiven_failed: wave.counts.forgiven_failed,
                ..counted(&updates, rollout, wave.number)
            };
            assert_eq!(wave.counts, counts, "{when}: {} wave {}", rollout.id, wave.number);
            let limit = if wave.max_in_flight == 0 { u32::MAX } else { wave.max_in_flight };
            assert!(wave.counts.in_flight <= limit, "{when}: {} wave {}", rollout.id, wave.number);
        }
    }
}

fn counted(updates: &[Update], rollout: &Rollout, wave: u32) -> Counts {
    let mut counts = Counts::default();
    let of_wave =
        |update: &&Update| update.rollout_id == rollout.id && update.wave == wave && !update.rolls_back;
    for update in updates.iter().filter(of_wave) {
        counts.admitted += 1;
        match update.state.outcome() {
            None => counts.in_flight += 1,
            Some(Outcome::Success) => counts.succeeded += 1,
            Some(Outcome::Failure) => counts.failed += 1,
            Some(Outcome::Neither) => counts.cancelled += 1,
        }
    }
    counts
}

/// From now on every device does what it is told: nothing may be left hanging.
async fn finish(ctx: &Context, pumps: &mut [Pump]) {
    ctx.devices.reload(ctx).await.unwrap();
    ctx.rollouts.reload(ctx).await.unwrap();
    for _ in 0..60 {
        ctx.clock.advance(Duration::from_secs(120));
        for pump in pumps.iter_mut() {
            pump.poll(ctx).await;
            if pump.update.is_some() {
                act_well(ctx, pump).await;
            }
        }
        reconcile(ctx).await.unwrap();
        for active in ctx.rollouts.snapshot().iter() {
            if active.rollout.state == RolloutState::Paused {
                let _ = rollouts::act(ctx, OPERATOR, &active.id, Act::Resume, "").await;
            }
        }
    }
    if let Some(active) = ctx.rollouts.snapshot().first() {
        let now = ctx.clock.now();
        let why: Vec<_> =
            pumps.iter().map(|pump| (&pump.id, verdict(&pump.entry(ctx), active, now))).collect();
        panic!("{:?} does not end; {why:#?}", active.rollout);
    }
}

async fn act_well(ctx: &Context, pump: &mut Pump) {
    let update = pump.update.clone().unwrap_or_default();
    let mut tx = ctx.db.read().await.unwrap();
    let update = update_get(&mut tx, update.rsplit('/').next().unwrap_or_default()).await.unwrap().unwrap();
    drop(tx);
    let counter = update.version.as_bytes()[0] - b'0';
    pump.succeed(ctx, &update.version, counter.into()).await;
}

/// All devices at once, half of them at the other replica: a wave of three takes three.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_holds_when_all_poll_at_once() {
    for (_files, first) in published_on_each().await {
        poll_at_once(first).await;
    }
}

async fn poll_at_once(first: Context) {
    let mut pumps = Vec::new();
    for i in 0..10 {
        pumps.push(Pump::new(&first, &format!("p{i}")).await);
    }
    let second = replica(&first).await;
    let mut draft = plan("2.0.0", &[100.0]);
    draft.waves[0].max_in_flight = 3;
    let rollout = create(&first, draft).await;
    second.rollouts.reload(&second).await.unwrap();
    let mut polls = Vec::new();
    for (i, mut pump) in pumps.into_iter().enumerate() {
        let ctx = if i % 2 == 0 { first.clone() } else { second.clone() };
        polls.push(tokio::spawn(async move { pump.poll(&ctx).await.offer.is_some() }));
    }
    let mut offers = 0;
    for poll in polls {
        offers += usize::from(poll.await.unwrap());
    }
    assert_eq!(offers, 3);
    let mut tx = first.db.read().await.unwrap();
    let rollout = rollout_get(&mut tx, &rollout.id).await.unwrap().unwrap();
    assert_eq!(rollout.waves[0].counts.in_flight, 3);
}

#[tokio::test]
async fn an_absent_device_does_not_hold_the_fleet_and_an_empty_wave_passes() {
    let ctx = published().await;
    let mut here = Pump::new(&ctx, "here").await;
    let _gone = Pump::new(&ctx, "gone").await;
    ctx.clock.advance(Duration::from_secs(3600));
    let rollout = create(&ctx, plan("2.0.0", &[0.0001, 100.0])).await;
    reconcile(&ctx).await.unwrap();
    // Nobody was seen lately: that proves nothing.
    let state = |ctx: &Context| ctx.rollouts.snapshot().first().map(|active| active.rollout.waves[1].state);
    assert_eq!(state(&ctx), Some(WaveState::Open));
    here.poll(&ctx).await;
    here.succeed(&ctx, "2.0.0", 2).await;
    reconcile(&ctx).await.unwrap();
    let mut tx = ctx.db.read().await.unwrap();
    let rollout = rollout_get(&mut tx, &rollout.id).await.unwrap().unwrap();
    assert_eq!(rollout.state, RolloutState::Succeeded);
}

#[tokio::test]
async fn devices_that_enrolled_and_have_not_called_yet_are_no_empty_wave() {
    let ctx = published().await;
    enrolled(&ctx, "new", |_| {}).await;
    let rollout = create(&ctx, plan("2.0.0", &[100.0])).await;
    let state = async || {
        reconcile(&ctx).await.unwrap();
        let mut tx = ctx.db.read().await.unwrap();
        rollout_get(&mut tx, &rollout.id).await.unwrap().unwrap().state
    };
    assert_eq!(state().await, RolloutState::Running, "nobody has taken it yet");
    let mut new = Pump::enrolled("new");
    new.poll(&ctx).await;
    new.poll(&ctx).await;
    new.succeed(&ctx, "2.0.0", 2).await;
    assert_eq!(state().await, RolloutState::Succeeded);
}
