//! What a rollout may expect of the fleet as it is known in memory. One walk over all devices,
//! with the same decision that their polls get.

use std::{collections::BTreeMap, time::Duration};

use super::{Context, Result, active_rollouts::activate, rollouts::planned};
use crate::{
    model::{
        admission::{ActiveRollout, verdict},
        advance::Prospects,
        obstacle::Obstacle,
        plan::Draft,
        release::Release,
        rollout::Rollout,
        time::Timestamp,
        wave::WaveState,
    },
    store::releases::release_get,
};

/// A device that did not call for this long does not hold a wave: fifteen polls of the usual minute.
const LATELY: Duration = Duration::from_secs(15 * 60);

/// What a plan would mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Devices that the selector matches.
    pub matched: u64,
    /// Those that run the release or a later one.
    pub already_there: u64,
    /// Those the release is not for, or that need a stepping stone.
    pub incompatible: u64,
    /// Devices of each wave that would be offered the release.
    pub wave_devices: Vec<u64>,
    /// What matched devices run now; empty for unknown.
    pub from_versions: BTreeMap<String, u64>,
    /// Bytes to transfer at most, decoded.
    pub bytes: u64,
}

/// What a plan would mean for the fleet as it is.
pub async fn preview(ctx: &Context, draft: Draft) -> Result<Preview> {
    let now = ctx.clock.now();
    let mut rollout = planned(ctx, "", draft, now).await?;
    for wave in &mut rollout.waves {
        wave.state = WaveState::Open;
        wave.max_in_flight = 0;
    }
    let mut tx = ctx.db.read().await?;
    let release = release_get(&mut tx, &rollout.product, &rollout.version).await?;
    drop(tx);
    let mut preview = Preview { wave_devices: vec![0; rollout.waves.len()], ..Preview::default() };
    let Some(active) = activate(ctx, rollout) else { return Ok(preview) };
    for entry in ctx.devices.all() {
        let verdict = verdict(&entry, &active, now);
        let Some(wave) = verdict.wave.checked_sub(1) else { continue };
        preview.matched += 1;
        *preview.from_versions.entry(entry.version.to_string()).or_default() += 1;
        let has = |test: fn(&Obstacle) -> bool| verdict.obstacles.iter().any(test);
        if has(|obstacle| matches!(obstacle, Obstacle::AlreadyThere { .. })) {
            preview.already_there += 1;
        } else if has(is_incompatible) {
            preview.incompatible += 1;
        } else if verdict.is_expected() {
            if let Some(count) = usize::try_from(wave).ok().and_then(|at| preview.wave_devices.get_mut(at)) {
                *count += 1;
            }
            preview.bytes += release.as_ref().map_or(0, |release| bytes_for(release, &entry.hardware));
        }
    }
    Ok(preview)
}

/// Devices of each wave, as the inventory is now.
pub fn wave_devices(ctx: &Context, rollout: &Rollout) -> Vec<u32> {
    let mut counts = vec![0; rollout.waves.len()];
    let Some(active) = activate(ctx, rollout.clone()) else { return counts };
    let now = ctx.clock.now();
    for entry in ctx.devices.all() {
        let wave = verdict(&entry, &active, now).wave;
        let at = wave.checked_sub(1).and_then(|at| usize::try_from(at).ok());
        if let Some(count) = at.and_then(|at| counts.get_mut(at)) {
            *count += 1;
        }
    }
    counts
}

/// Devices of a wave that can still finish.
pub fn prospects(ctx: &Context, active: &ActiveRollout, wave: u32, now: Timestamp) -> Prospects {
    let since = now.before(LATELY.max(ctx.check_in_interval * 3));
    let mut prospects = Prospects::default();
    for entry in ctx.devices.all() {
        let works_on = entry.active.as_ref();
        let on_the_way = works_on.is_some_and(|update| update.rollout_id == active.id && !update.rolls_back);
        if on_the_way {
            prospects.in_flight += 1;
        }
        let verdict = verdict(&entry, active, now);
        // A device on trial runs the release already and has not finished: its outcome is still to come.
        if verdict.wave != wave || !(on_the_way || verdict.is_expected()) {
            continue;
        }
        if entry.seen_since(since) {
            prospects.waiting += 1;
        } else {
            prospects.absent += 1;
        }
    }
    prospects
}

fn is_incompatible(obstacle: &Obstacle) -> bool {
    matches!(
        obstacle,
        Obstacle::IncompatibleHardware { .. }
            | Obstacle::BelowFloor { .. }
            | Obstacle::BelowSteppingStone { .. }
    )
}

fn bytes_for(release: &Release, hardware: &str) -> u64 {
    let fits = |models: &[String]| models.iter().any(|model| model == hardware);
    release.artifacts.iter().filter(|artifact| fits(&artifact.hardware)).map(|artifact| artifact.size).sum()
}
