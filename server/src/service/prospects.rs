//! What a rollout may expect of the fleet as it is known in memory. One walk over all devices,
//! with the same decision that their polls get.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Context, Result, active_rollouts::activate, rollouts::planned};
use crate::{
    model::{
        admission::{ActiveRollout, stands_at, verdict},
        advance::Prospects,
        fix::MAX_FIXES,
        id,
        limit::MAX_LIMITS,
        obstacle::{LEFT_OUT_BY_ALERTS, Obstacle},
        plan::Draft,
        refusal::{Reason, Refusal},
        release::Release,
        rollout::{Rollout, RolloutState},
        selector::Selector,
        time::Timestamp,
        wave::{WaveState, fair_seed},
        wear::MAX_MODELS,
    },
    store::{fixes::fixes_page, limits::limits_page, releases::release_get, wear::wear_models_page},
};

/// A device that did not call for this long does not hold a wave: fifteen polls of the usual minute.
const LATELY: Duration = Duration::from_secs(15 * 60);

/// What a plan would mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Devices that the selector matches.
    pub matched: u64,
    /// Those that run the release.
    pub already_there: u64,
    /// Those that run a later one, which the plan does not allow to leave.
    pub later: u64,
    /// Those the release is not for, or that need a stepping stone.
    pub incompatible: u64,
    /// Devices of each wave that would be offered the release.
    pub wave_devices: Vec<u64>,
    /// What matched devices run now; empty for unknown.
    pub from_versions: BTreeMap<String, u64>,
    /// Bytes to transfer at most, decoded.
    pub bytes: u64,
    /// Devices that it is meant for and that belong to no wave, by the code of what keeps them out.
    pub left_out: BTreeMap<&'static str, u32>,
}

impl Preview {
    /// Devices that would be offered the release, in all waves.
    fn offered(&self) -> u64 {
        self.wave_devices.iter().sum()
    }

    /// Whether nobody would be offered the release, although not all of them run it.
    fn is_in_vain(&self) -> bool {
        self.offered() == 0 && (self.matched == 0 || self.already_there < self.matched)
    }
}

/// Refuses a selector that asks for a failure mode of which nobody has heard: no limit, no wear model, no fix, no living alert.
pub(super) async fn check_failure_modes(ctx: &Context, selector: &Selector) -> Result<()> {
    if !selector.asks_failure_modes() {
        return Ok(());
    }
    let most = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let mut known = BTreeSet::new();
    let mut tx = ctx.db.read().await?;
    known.extend(
        limits_page(&mut tx, "", most(MAX_LIMITS)).await?.into_iter().map(|limit| limit.failure_mode),
    );
    known.extend(fixes_page(&mut tx, "", most(MAX_FIXES)).await?.into_iter().map(|fix| fix.failure_mode));
    let models = wear_models_page(&mut tx, "", most(MAX_MODELS)).await?;
    known.extend(models.into_iter().map(|model| model.terms.failure_mode));
    drop(tx);
    for entry in ctx.devices.all() {
        let modes = entry.conditions.iter().map(|condition| &condition.failure_mode);
        // Most devices have none, and most of the others one that a limit says.
        for mode in modes.filter(|mode| !known.contains(&***mode)).collect::<Vec<_>>() {
            known.insert(mode.to_string());
        }
    }
    known.remove("");
    let checked = selector.check_failure_modes(known.iter().map(String::as_str));
    Ok(checked.map_err(|refusal| refusal.field("rollout.selector"))?)
}

/// What a plan would mean for the fleet as it is.
pub async fn preview(ctx: &Context, draft: Draft) -> Result<Preview> {
    let now = ctx.clock.now();
    let rollout = planned(ctx, "", draft, now).await?;
    let mut tx = ctx.db.read().await?;
    let release = release_get(&mut tx, &rollout.product, &rollout.version).await?;
    drop(tx);
    Ok(survey(ctx, &rollout, release.as_ref(), now))
}

/// Refuses a rollout that would end at once without having done anything: a selector with a typing
/// error, or a release that the devices are ahead of, would pass for a success.
pub(super) async fn check_not_in_vain(ctx: &Context, rollout: &Rollout, now: Timestamp) -> Result<()> {
    if rollout.standing || !survey(ctx, rollout, None, now).is_in_vain() {
        return Ok(());
    }
    // Another replica may know of devices that this one has not heard of yet.
    ctx.devices.reload(ctx).await?;
    let preview = survey(ctx, rollout, None, now);
    if !preview.is_in_vain() {
        return Ok(());
    }
    let counts = [
        (preview.already_there, "run it already"),
        (preview.later, "run a later release"),
        (preview.incompatible, "cannot take it (hardware, floor or stepping stone)"),
        (
            preview.matched - preview.already_there - preview.later - preview.incompatible,
            "are revoked, quarantined or frozen",
        ),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, what)| format!("{count} {what}")).collect();
    let by_alerts = preview.left_out.get(LEFT_OUT_BY_ALERTS).copied().unwrap_or_default();
    let (field, why, hint) = if preview.matched == 0 && by_alerts > 0 {
        let why = match by_alerts {
            1 => "1 device would match, but is left out by its alerts".to_owned(),
            many => format!("{many} devices would match, but are left out by their alerts"),
        };
        let hint =
            "`slipway alert list` shows them; a standing rollout (--standing) waits until they are resolved";
        ("rollout.selector", why, hint)
    } else if preview.matched == 0 {
        let why = "the selector matches none of the product's devices".to_owned();
        let hint = "`slipway device list` shows products and labels; a standing rollout waits for devices \
                    that match later";
        ("rollout.selector", why, hint)
    } else {
        let why = format!("of {} that match, {}", preview.matched, counts.join(", "));
        let hint = match preview.later {
            0 => "`slipway device explain DEVICE` says what keeps a device from the release",
            _ => "to bring devices back to an older release, allow the downgrade (--allow-downgrade)",
        };
        ("rollout.release", why, hint)
    };
    let message = format!("no device would be offered {}: {why}", rollout.release());
    Err(Refusal::new(Reason::NobodyToUpdate, message, hint).field(field).into())
}

/// What the rollout would mean if all of its waves were open and without limits.
fn survey(ctx: &Context, rollout: &Rollout, release: Option<&Release>, now: Timestamp) -> Preview {
    let mut preview = Preview { wave_devices: vec![0; rollout.waves.len()], ..Preview::default() };
    let Some(active) = activate(ctx, all_open(rollout)) else { return preview };
    for entry in ctx.devices.all() {
        let verdict = verdict(&entry, &active, now);
        let Some(wave) = verdict.wave.checked_sub(1) else {
            if let Some(obstacle) = verdict.obstacles.first().filter(|one| **one != Obstacle::NotSelected) {
                *preview.left_out.entry(obstacle.code()).or_default() += 1;
            }
            continue;
        };
        preview.matched += 1;
        *preview.from_versions.entry(entry.version.to_string()).or_default() += 1;
        let has = |test: fn(&Obstacle) -> bool| verdict.obstacles.iter().any(test);
        if has(|obstacle| matches!(obstacle, Obstacle::AlreadyThere { .. })) {
            preview.already_there += 1;
        } else if has(|obstacle| matches!(obstacle, Obstacle::RunsLater { .. })) {
            preview.later += 1;
        } else if has(is_incompatible) {
            preview.incompatible += 1;
        } else if verdict.is_expected() {
            if let Some(count) = usize::try_from(wave).ok().and_then(|at| preview.wave_devices.get_mut(at)) {
                *count += 1;
            }
            preview.bytes += release.map_or(0, |release| bytes_for(release, &entry.hardware));
        }
    }
    preview
}

fn all_open(rollout: &Rollout) -> Rollout {
    let mut rollout = rollout.clone();
    for wave in &mut rollout.waves {
        wave.state = WaveState::Open;
        wave.max_in_flight = 0;
    }
    rollout
}

/// A seed for a new rollout that spreads those who would be offered the release over its waves.
pub(super) fn draw_seed(ctx: &Context, rollout: &Rollout, now: Timestamp) -> String {
    let draw = || id::hex(&ctx.rng.bytes::<8>());
    let Some(active) = activate(ctx, all_open(rollout)) else { return draw() };
    let devices = ctx.devices.all();
    let expected = devices.iter().filter(|entry| verdict(entry, &active, now).is_expected());
    let keys: Vec<&str> = expected.map(|entry| stands_at(entry, &rollout.spread_by)).collect();
    fair_seed(&rollout.waves, &keys, draw)
}

/// Who takes part in a rollout, and who of those it is meant for does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Devices of each wave: those that took part, and those that still can as the inventory is now.
    pub waves: Vec<u32>,
    /// How many of the others the selector matches, by the code of what keeps them out.
    pub left_out: BTreeMap<&'static str, u32>,
}

/// Counts who takes part in a rollout. From its end on, and while it goes back, nobody joins it: whoever
/// matches then has no part in it and is not counted.
pub fn census(ctx: &Context, rollout: &Rollout) -> Census {
    let waves = rollout.waves.iter().map(|wave| wave.counts.admitted).collect();
    let mut census = Census { waves, left_out: BTreeMap::new() };
    if rollout.state.is_terminal() || rollout.state == RolloutState::RollingBack {
        return census;
    }
    let Some(active) = activate(ctx, rollout.clone()) else { return census };
    let now = ctx.clock.now();
    for entry in ctx.devices.all() {
        let works_on_it = entry.active.as_ref().is_some_and(|update| update.rollout_id == active.id);
        if works_on_it || entry.taken.iter().any(|taken| taken.rollout_id == active.id) {
            // It was counted when it was admitted.
            continue;
        }
        let verdict = verdict(&entry, &active, now);
        if verdict.is_expected() {
            let at = verdict.wave.checked_sub(1).and_then(|at| usize::try_from(at).ok());
            if let Some(count) = at.and_then(|at| census.waves.get_mut(at)) {
                *count += 1;
            }
        } else if let Some(obstacle) = verdict.obstacles.iter().find(|obstacle| !obstacle.passes_by_itself())
            && *obstacle != Obstacle::NotSelected
        {
            *census.left_out.entry(obstacle.code()).or_default() += 1;
        }
    }
    census
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

#[cfg(test)]
#[path = "prospects_tests.rs"]
mod tests;
