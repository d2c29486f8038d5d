//! Keeps rollouts moving: times updates out, opens waves, judges gates, goes back.
//!
//! Reads all there is and takes the step that follows from it. Every replica does the same; each
//! step is guarded by a generation, so that one of them takes it and the others read again.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::driver::Tasks;
use crate::{
    model::{
        admission::{ActiveRollout, WayBack, verdict},
        advance::{Return, Step, advance},
        event::NewEvent,
        rollout::{FailureAction, RolloutState},
        time::Timestamp,
        update::{Event, Reason, Transition, Update, transition},
        wave::WaveState,
    },
    service::{Context, Error, prospects::prospects, rollouts::cancel, update_steps},
    store::{
        Tx,
        changes::{Kind, changes_bump},
        outbox::outbox_put,
        reports::reports_delete_before,
        rollouts::{rollout_advance, rollout_enter},
        update_lists::{updates_due, updates_next_deadline, updates_takers, updates_unfinished},
        updates::update_get,
        waves::wave_enter,
    },
};

/// Soak times and deadlines are minutes and days; a wave that could go on waits this long at most.
const PERIOD: Duration = Duration::from_secs(1);
/// Updates timed out in one go.
const BATCH: i64 = 200;
/// Steps of one rollout in one run: more than a plan of 32 waves can take.
const STEPS: usize = 100;
/// A report that is repeated after this is noted once more, and changes nothing either.
const REPORT_MEMORY: Duration = Duration::from_secs(30 * 24 * 3600);

/// Starts it.
pub fn spawn(tasks: &mut Tasks, ctx: &Context) {
    let signal = ctx.wake.reconciler();
    tasks.spawn("rollouts", PERIOD, Some(signal), |ctx| async move {
        reconcile(&ctx).await?;
        tokio::select! {
            () = ctx.stop.raised() => {}
            () = sleep(breath(ctx.devices.len())) => {}
        }
        Ok(())
    });
}

/// Signals that come within this time are one run: a run walks over the fleet once for each open
/// wave, at about 2 µs a device, and shall not take more than a fifth of a core.
fn breath(devices: usize) -> Duration {
    let walk = Duration::from_micros(u64::try_from(devices).unwrap_or(u64::MAX).saturating_mul(2));
    Duration::from_millis(100).saturating_add(walk.saturating_mul(4))
}

/// One run: whatever is due now is done when it returns. Costs no statement when nothing is.
pub async fn reconcile(ctx: &Context) -> Result<(), Error> {
    let now = ctx.clock.now();
    if ctx.rollouts.is_deadline_due(now) {
        time_out(ctx, now).await?;
    }
    if ctx.rollouts.is_stale() {
        ctx.rollouts.reload(ctx).await?;
    }
    if ctx.db.is_shared() && ctx.rollouts.snapshot().iter().any(|active| is_running(active)) {
        ctx.devices.reload_presence(ctx).await?;
    }
    for active in ctx.rollouts.snapshot().iter() {
        move_on(ctx, active.clone(), now).await?;
    }
    Ok(())
}

fn is_running(active: &ActiveRollout) -> bool {
    active.rollout.state == RolloutState::Running
}

/// Ends updates whose time is over, and learns when the next one's is.
async fn time_out(ctx: &Context, now: Timestamp) -> Result<(), Error> {
    loop {
        let mut tx = ctx.db.read().await?;
        let due = updates_due(&mut tx, now, BATCH).await?;
        drop(tx);
        if due.is_empty() {
            break;
        }
        for update in due {
            end_late(ctx, update, now).await?;
        }
    }
    let mut tx = ctx.db.write().await?;
    reports_delete_before(&mut tx, now.before(REPORT_MEMORY)).await?;
    let next = updates_next_deadline(&mut tx).await?;
    tx.commit().await?;
    // Other replicas admit devices too: look again before the shortest time an update can have.
    let look_again = ctx.db.is_shared().then(|| now.after(Duration::from_secs(30)));
    ctx.rollouts.next_deadline_is(next.into_iter().chain(look_again).min());
    Ok(())
}

async fn end_late(ctx: &Context, update: Update, now: Timestamp) -> Result<(), Error> {
    let reason = Reason {
        code: "DEADLINE_PASSED".to_owned(),
        detail: format!("no end was reported in time; the last state was {}", update.state.as_str()),
    };
    for _ in 0..update_steps::TRIES {
        let mut tx = ctx.db.write().await?;
        let Some(mut update) = update_get(&mut tx, &update.id).await? else { return Ok(()) };
        let Transition::Enter(state) = transition(update.state, Event::DeadlinePassed) else { return Ok(()) };
        if update_steps::enter(&mut tx, ctx, &mut update, state, reason.clone(), "server", now).await? {
            tx.commit().await?;
            tracing::warn!(update = update.name(), rollout = update.rollout_id, "an update timed out");
            return update_steps::ended(ctx, &update).await;
        }
    }
    Ok(())
}

/// Takes every step that follows from where a rollout stands.
async fn move_on(ctx: &Context, mut active: Arc<ActiveRollout>, now: Timestamp) -> Result<(), Error> {
    for _ in 0..STEPS {
        let way_back = match active.rollout.state {
            RolloutState::RollingBack => way_back(ctx, &active, now).await?,
            _ => Return::default(),
        };
        let expected = |wave| prospects(ctx, &active, wave, now);
        let Some(step) = advance(&active.rollout, now, expected, way_back) else { return Ok(()) };
        let taken = take(ctx, &active, &step, now).await?;
        ctx.rollouts.reload(ctx).await?;
        if taken {
            tracing::info!(rollout = %active.id, release = active.rollout.release(), "{step}");
            ctx.wake.watchers();
        }
        let id = active.id.clone();
        match ctx.rollouts.snapshot().iter().find(|known| known.id == id) {
            Some(known) => active = known.clone(),
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Takes one step; false when somebody else moved the rollout first.
async fn take(ctx: &Context, active: &ActiveRollout, step: &Step, now: Timestamp) -> Result<bool, Error> {
    let rollout = &active.rollout;
    let mut tx = ctx.db.write().await?;
    let mut cancelled = 0;
    let told;
    match step {
        Step::Finish { state, reason } => {
            if !rollout_enter(&mut tx, &rollout.id, rollout.generation, *state, reason, now).await? {
                return Ok(false);
            }
            told = NewEvent::of_rollout(rollout, *state, reason, now);
        }
        Step::Fail { wave, why } => {
            let state = match rollout.on_failure {
                FailureAction::Pause => RolloutState::Paused,
                FailureAction::RollBack => RolloutState::RollingBack,
            };
            let reason = format!("wave {wave} failed: {why}");
            if !rollout_enter(&mut tx, &rollout.id, rollout.generation, state, &reason, now).await? {
                return Ok(false);
            }
            told = NewEvent::of_rollout(rollout, state, &reason, now);
            if state == RolloutState::RollingBack {
                let reason = Reason { code: "WAVE_FAILED".to_owned(), detail: reason };
                cancelled = cancel(&mut tx, &rollout.id, "server", &reason, now).await?;
            }
            wave_enter(&mut tx, &rollout.id, *wave, WaveState::Failed, now).await?;
        }
        Step::Open(wave) | Step::Reopen(wave) => return enter(tx, active, *wave, WaveState::Open, now).await,
        Step::Soak(wave) => return enter(tx, active, *wave, WaveState::Soaking, now).await,
        Step::Pass(wave) => return enter(tx, active, *wave, WaveState::Passed, now).await,
    }
    changes_bump(&mut tx, Kind::Rollouts).await?;
    outbox_put(&mut tx, told).await?;
    tx.commit().await?;
    if cancelled > 0 {
        ctx.devices.reload(ctx).await?;
    }
    Ok(true)
}

async fn enter(
    mut tx: Tx,
    active: &ActiveRollout,
    wave: u32,
    state: WaveState,
    now: Timestamp,
) -> Result<bool, Error> {
    if !rollout_advance(&mut tx, &active.id, active.rollout.generation).await? {
        return Ok(false);
    }
    wave_enter(&mut tx, &active.id, wave, state, now).await?;
    changes_bump(&mut tx, Kind::Rollouts).await?;
    tx.commit().await?;
    Ok(true)
}

/// How far a rollout is with going back.
async fn way_back(ctx: &Context, active: &ActiveRollout, now: Timestamp) -> Result<Return, Error> {
    let mut tx = ctx.db.read().await?;
    let takers = updates_takers(&mut tx, &active.id).await?;
    let under_way = updates_unfinished(&mut tx, &active.id).await?;
    drop(tx);
    let mut found = Return::default();
    let mut going_back = 0;
    for id in takers {
        let Some(entry) = ctx.devices.get(&id) else { continue };
        if let Some(update) = &entry.active {
            if update.rollout_id == active.id {
                going_back += 1;
            } else {
                // It first ends what it does.
                found.left += 1;
            }
            continue;
        }
        match verdict(&entry, active, now).way_back() {
            WayBack::Ahead => found.left += 1,
            WayBack::Stranded => found.stranded += 1,
            WayBack::Done => {}
        }
    }
    // The store may be ahead of memory, or memory ahead of what was read above.
    found.left += u64::try_from(under_way).unwrap_or(0).max(going_back);
    Ok(found)
}

#[cfg(test)]
#[path = "rollouts_tests.rs"]
mod tests;
