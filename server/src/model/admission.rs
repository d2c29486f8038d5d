//! Whether a device is offered a release at its poll. The poll, `ExplainDevice`, `PreviewRollout`
//! and the reconciler all use what is decided here; there is no second implementation.

use std::sync::Arc;

use super::{
    device::DeviceState,
    facts::{Facts, Taken},
    obstacle::Obstacle,
    rollout::{Rollout, RolloutState},
    selector::Selector,
    time::Timestamp,
    update::{Outcome, UpdateState},
    wave::{LINE, Wave, WaveState, position, wave_at},
};

/// What a device says whose updates stopped until somebody looks at it. Whatever else blocks a
/// device, stale metadata above all, is healed by what the next offer brings: that must not wait.
const FROZEN: &str = "UPDATES_FROZEN";

/// A rollout that is not over, and what the publisher says of its release.
#[derive(Clone, Debug)]
pub struct ActiveRollout {
    /// The rollout with its waves.
    pub rollout: Rollout,
    /// Its id, shared by every verdict about it.
    pub id: Arc<str>,
    /// Its selector, read.
    pub selector: Selector,
    /// The release.
    pub release: Target,
    /// The product's other releases, to go back to; only while it rolls back.
    pub others: Arc<[Target]>,
}

/// What the publisher says of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its version.
    pub version: Arc<str>,
    /// Its place in the order of releases.
    pub counter: u64,
    /// The lowest counter from which it may be installed.
    pub min_from: u64,
    /// What it is made for.
    pub hardware: Arc<[String]>,
}

/// What one rollout means for one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The wave it belongs to, from 1; 0 when it is not selected.
    pub wave: u32,
    /// Where it stands on the line, in millionths.
    pub position: u32,
    /// The version it would be offered: the rollout's, or the one to go back to.
    pub version: Arc<str>,
    /// It would bring the device back.
    pub rolls_back: bool,
    /// Why not; empty means that it is offered.
    pub obstacles: Vec<Obstacle>,
}

impl Verdict {
    /// Whether the rollout makes an offer.
    pub fn is_offer(&self) -> bool {
        self.obstacles.is_empty()
    }

    /// Whether the rollout still has something to expect of the device: it is in flight, or only
    /// waits for its turn.
    pub fn is_expected(&self) -> bool {
        self.wave != 0 && self.obstacles.iter().all(Obstacle::passes_by_itself)
    }

    /// What is to be expected of a device while the rollout goes back.
    pub fn way_back(&self) -> WayBack {
        let has = |test: fn(&Obstacle) -> bool| self.obstacles.iter().any(test);
        if has(|o| matches!(o, Obstacle::AlreadyThere { .. } | Obstacle::RolloutHeld { .. })) {
            return WayBack::Done;
        }
        let tried = self.obstacles.iter().find_map(|obstacle| match obstacle {
            Obstacle::AlreadyTried { state } => Some(*state),
            _ => None,
        });
        match tried.map(|state| state.outcome() == Some(Outcome::Success)) {
            Some(true) => WayBack::Done,
            Some(false) => WayBack::Stranded,
            None if has(Obstacle::keeps_from_going_back) => WayBack::Stranded,
            None => WayBack::Ahead,
        }
    }

    /// The earliest moment at which it can change by time alone.
    pub fn changes_at(&self) -> Option<Timestamp> {
        self.obstacles.iter().filter_map(Obstacle::until).max()
    }
}

/// Where a device is on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayBack {
    /// It has yet to come back, or to say where it is.
    Ahead,
    /// It does not run the release.
    Done,
    /// It runs the release and will not leave it.
    Stranded,
}

/// The rollout that makes an offer now, and its verdict: the one with the newest release, so that
/// a device takes a stepping stone only while it cannot take more.
pub fn decide<'a>(
    facts: &Facts,
    rollouts: impl IntoIterator<Item = &'a ActiveRollout>,
    now: Timestamp,
) -> Option<(&'a ActiveRollout, Verdict)> {
    rollouts
        .into_iter()
        .map(|active| (active, verdict(facts, active, now)))
        .filter(|(_, verdict)| verdict.is_offer())
        // Going back comes before anything new; then the newest release, then the newest rollout.
        .max_by_key(|(active, verdict)| (verdict.rolls_back, active.release.counter, active.id.clone()))
}

/// What one rollout means for one device, with every obstacle there is.
pub fn verdict(facts: &Facts, active: &ActiveRollout, now: Timestamp) -> Verdict {
    let rollout = &active.rollout;
    let mut verdict = Verdict {
        wave: 0,
        position: 0,
        version: active.release.version.clone(),
        rolls_back: false,
        obstacles: Vec::new(),
    };
    // A device that took the release goes back whatever its labels say by now.
    let goes_back = rollout.state == RolloutState::RollingBack && last_taken(facts, active).is_some();
    if rollout.product != *facts.product || !(goes_back || active.selector.matches(facts)) {
        let is_for_alerts = rollout.product == *facts.product
            && !facts.conditions.is_empty()
            && active.selector.matches(&facts.in_health());
        verdict.obstacles.push(match is_for_alerts {
            true => Obstacle::LeftOutByAlerts { conditions: facts.conditions.clone() },
            false => Obstacle::NotSelected,
        });
        return verdict;
    }
    // Whoever is not in the fleet yet belongs to no wave.
    match facts.state {
        DeviceState::Pending => verdict.obstacles.push(Obstacle::AwaitsApproval),
        DeviceState::Registered => verdict.obstacles.push(Obstacle::NotEnrolled),
        DeviceState::Active | DeviceState::Quarantined | DeviceState::Revoked => {}
    }
    if !verdict.obstacles.is_empty() {
        return verdict;
    }
    verdict.position = position(&rollout.seed, stands_at(facts, &rollout.spread_by));
    let wave = wave_at(&rollout.waves, verdict.position);
    verdict.wave = wave.map_or(0, |wave| wave.number);
    if rollout.state == RolloutState::RollingBack {
        going_back(facts, active, &mut verdict);
        of_device(facts, now, &mut verdict.obstacles);
        // Quarantine keeps new releases from a device that failed them; this is the way to an old one.
        verdict.obstacles.retain(|obstacle| !matches!(obstacle, Obstacle::Quarantined { .. }));
        return verdict;
    }
    of_release(facts, active, &mut verdict.obstacles);
    of_device(facts, now, &mut verdict.obstacles);
    of_rollout(rollout, wave, &mut verdict.obstacles);
    verdict
}

/// What decides where a device stands: the value of the label to spread by, or its id.
pub fn stands_at<'a>(facts: &'a Facts, spread_by: &str) -> &'a str {
    facts.label(spread_by).filter(|_| !spread_by.is_empty()).unwrap_or(&facts.id)
}

/// How much of the line a wave holds, in millionths.
pub fn share(waves: &[Wave], number: u32) -> u32 {
    let mut below = 0;
    for wave in waves {
        if wave.number == number {
            return wave.upper.min(LINE) - below;
        }
        below = wave.upper;
    }
    0
}

fn of_release(facts: &Facts, active: &ActiveRollout, obstacles: &mut Vec<Obstacle>) {
    let release = &active.release;
    if let Some(taken) = last_taken(facts, active) {
        obstacles.push(Obstacle::AlreadyTried { state: taken.state });
    }
    if facts.inventory_digest == 0 {
        obstacles.push(Obstacle::InventoryUnknown);
        return;
    }
    if runs(facts, release) {
        obstacles.push(Obstacle::AlreadyThere { version: facts.version.clone() });
        return;
    }
    if facts.counter > release.counter && !active.rollout.allow_downgrade {
        obstacles.push(Obstacle::RunsLater { version: facts.version.clone() });
        return;
    }
    if !release.hardware.iter().any(|hardware| **hardware == *facts.hardware) {
        obstacles.push(Obstacle::IncompatibleHardware {
            hardware: facts.hardware.clone(),
            wanted: release.hardware.clone(),
        });
    }
    if release.counter < facts.floor {
        obstacles.push(Obstacle::BelowFloor { counter: release.counter, floor: facts.floor });
    }
    if facts.counter < release.min_from {
        obstacles.push(Obstacle::BelowSteppingStone { counter: facts.counter, min_from: release.min_from });
    }
}

fn of_device(facts: &Facts, now: Timestamp, obstacles: &mut Vec<Obstacle>) {
    match (facts.state, facts.quarantined_until) {
        (DeviceState::Revoked, _) => obstacles.push(Obstacle::Revoked),
        (DeviceState::Quarantined, Some(until)) if until > now => {
            obstacles.push(Obstacle::Quarantined { until });
        }
        _ => {}
    }
    if let Some(blocked) = facts.blocked.as_ref().filter(|blocked| blocked.code == FROZEN) {
        obstacles.push(Obstacle::Blocked(blocked.clone()));
    }
    if let Some(active) = &facts.active {
        let update_id = active.update_id.clone();
        obstacles.push(Obstacle::Busy { update_id, deadline: active.deadline_at });
    }
}

fn of_rollout(rollout: &Rollout, wave: Option<&Wave>, obstacles: &mut Vec<Obstacle>) {
    if rollout.state != RolloutState::Running {
        obstacles.push(Obstacle::RolloutHeld { state: rollout.state });
    }
    let Some(wave) = wave else { return };
    match wave.state {
        WaveState::Pending => {
            let before = rollout.waves.iter().take_while(|other| other.number < wave.number).last();
            let opens = before
                .filter(|before| before.state == WaveState::Soaking)
                .and_then(|before| Some(before.soaking_since?.after(before.gate.soak)));
            obstacles.push(Obstacle::WaveNotOpen { wave: wave.number, opens });
        }
        WaveState::Failed => obstacles.push(Obstacle::WaveFailed { wave: wave.number }),
        WaveState::Open | WaveState::Soaking | WaveState::Passed => {
            if wave.is_full() {
                obstacles.push(Obstacle::WaveFull { wave: wave.number, limit: wave.max_in_flight });
            }
        }
    }
}

/// The rollout goes back: a device that runs the release because of it is offered what it ran before.
/// What counts is what the device runs, not how its update ended here: one that was taken back, or
/// timed out, may have been past its last look at the server.
fn going_back(facts: &Facts, active: &ActiveRollout, verdict: &mut Verdict) {
    let of_rollout =
        |back: bool| move |taken: &&Taken| taken.rollout_id == active.id && taken.rolled_back == back;
    let obstacles = &mut verdict.obstacles;
    let Some(took) = facts.taken.iter().rfind(of_rollout(false)).filter(|took| may_run(took.state)) else {
        obstacles.push(Obstacle::RolloutHeld { state: active.rollout.state });
        return;
    };
    let back = facts.taken.iter().rfind(of_rollout(true));
    let last = back.unwrap_or(took);
    if runs(facts, &active.release) {
        match (back, way_back(facts, active, took)) {
            (Some(back), _) if back.settled => obstacles.push(Obstacle::AlreadyTried { state: back.state }),
            (Some(_), _) => obstacles.push(Obstacle::EndUnknown { state: last.state }),
            (None, Some(target)) => {
                verdict.version = target.version.clone();
                verdict.rolls_back = true;
            }
            (None, None) => obstacles.push(Obstacle::NothingToGoBackTo),
        }
    } else if last.settled {
        // It came back, or never left, or somebody else changed what it runs: nothing is left to undo.
        obstacles.push(Obstacle::AlreadyThere { version: facts.version.clone() });
    } else {
        obstacles.push(Obstacle::EndUnknown { state: last.state });
    }
}

/// Whether a device whose update ended so here can run the release. It cannot where it said itself
/// that the update failed.
fn may_run(state: UpdateState) -> bool {
    matches!(state, UpdateState::Succeeded | UpdateState::Cancelled | UpdateState::TimedOut)
}

fn runs(facts: &Facts, release: &Target) -> bool {
    facts.counter == release.counter || *facts.version == *release.version
}

fn way_back<'a>(facts: &Facts, active: &'a ActiveRollout, took: &Taken) -> Option<&'a Target> {
    active.others.iter().find(|target| {
        *target.version == *took.from_version
            && target.counter >= facts.floor
            && target.hardware.iter().any(|hardware| **hardware == *facts.hardware)
    })
}

fn last_taken<'a>(facts: &'a Facts, active: &ActiveRollout) -> Option<&'a Taken> {
    facts.taken.iter().rfind(|taken| taken.rollout_id == active.id)
}

#[cfg(test)]
mod tests;
