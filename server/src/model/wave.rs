//! Waves: a share of a rollout's devices, decided by where each stands on a line.

use slipway_trust::Sha256;

use super::{gate::Gate, time::Timestamp};

/// The line is a million parts long: one device in a million can be a wave.
pub const LINE: u32 = 1_000_000;

/// Where a device stands on the line of the rollout with this seed: stable, spread evenly, and
/// elsewhere in the next rollout, so that nobody is the guinea pig twice in a row.
///
/// `key` is the value of the label to spread by, or the device's id.
pub fn position(seed: &str, key: &str) -> u32 {
    let mut hasher = Sha256::hasher();
    hasher.update(seed.as_bytes());
    hasher.update(&[0]);
    hasher.update(key.as_bytes());
    let digest = hasher.finish();
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    // The high half of a product: a share of the line without the bias of a remainder.
    let share = (u128::from(u64::from_be_bytes(first)) * u128::from(LINE)) >> 64;
    u32::try_from(share).unwrap_or(LINE - 1)
}

/// The wave that holds this place on the line.
pub fn wave_at(waves: &[Wave], position: u32) -> Option<&Wave> {
    waves.iter().find(|wave| position < wave.upper)
}

/// Of more devices than this, every seed gives each wave about its share.
const FEW: usize = 2_000;
/// Seeds that are compared at least.
const DRAWS: usize = 64;
/// Positions that are computed at most, as long as a wave would be empty: some 30 ms.
const WORK: usize = 100_000;

/// The fairest of some seeds: one that gives each wave about its share of the devices that stand at
/// `keys`, and each wave one at least where that can be. Of a handful of devices a plain draw leaves
/// the canary wave empty more often than not, and then nobody tries the release first.
pub fn fair_seed(waves: &[Wave], keys: &[&str], mut draw: impl FnMut() -> String) -> String {
    let mut best = draw();
    if keys.len() > FEW {
        return best;
    }
    let distinct = keys.iter().collect::<std::collections::BTreeSet<_>>().len();
    let unavoidable = waves.len().saturating_sub(distinct);
    let mut least = unfairness(waves, keys, &best);
    for drawn in 1..WORK / keys.len().max(1) {
        if drawn >= DRAWS && least.0 <= unavoidable {
            break;
        }
        let seed = draw();
        let next = unfairness(waves, keys, &seed);
        if next < least {
            (best, least) = (seed, next);
        }
    }
    best
}

/// Empty waves, and then how far all waves are from their shares, in parts of the line.
fn unfairness(waves: &[Wave], keys: &[&str], seed: &str) -> (usize, u64) {
    let mut counts = vec![0_u64; waves.len()];
    for key in keys {
        let wave = wave_at(waves, position(seed, key));
        let at =
            wave.and_then(|wave| usize::try_from(wave.number).ok()).and_then(|number| number.checked_sub(1));
        if let Some(count) = at.and_then(|at| counts.get_mut(at)) {
            *count += 1;
        }
    }
    let all = u64::try_from(keys.len()).unwrap_or(u64::MAX);
    let mut below = 0;
    let mut distance = 0;
    for (wave, count) in waves.iter().zip(&counts) {
        let share = u64::from(wave.upper - below) * all;
        distance += share.abs_diff(count * u64::from(LINE));
        below = wave.upper;
    }
    (counts.iter().filter(|count| **count == 0).count(), distance)
}

/// Where a wave stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaveState {
    /// Not open yet.
    Pending,
    /// Admits devices.
    Open,
    /// Its gate holds, and must go on to.
    Soaking,
    /// Done; late devices are still admitted.
    Passed,
    /// Its failure gate tripped.
    Failed,
}

impl WaveState {
    const ALL: [WaveState; 5] =
        [WaveState::Pending, WaveState::Open, WaveState::Soaking, WaveState::Passed, WaveState::Failed];

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            WaveState::Pending => "pending",
            WaveState::Open => "open",
            WaveState::Soaking => "soaking",
            WaveState::Passed => "passed",
            WaveState::Failed => "failed",
        }
    }

    /// Reads [`WaveState::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        WaveState::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether devices of it are admitted while the rollout runs.
    pub fn admits(self) -> bool {
        matches!(self, WaveState::Open | WaveState::Soaking | WaveState::Passed)
    }
}

/// One wave, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wave {
    /// From 1.
    pub number: u32,
    /// Devices that stand below this on the line, and not in an earlier wave, are of this one.
    pub upper: u32,
    /// At most so many in flight; 0 for no limit.
    pub max_in_flight: u32,
    /// What has to hold before the next one opens.
    pub gate: Gate,
    /// Where it stands.
    pub state: WaveState,
    /// When it opened.
    pub opened_at: Option<Timestamp>,
    /// Since when its gate holds.
    pub soaking_since: Option<Timestamp>,
    /// How its updates went.
    pub counts: Counts,
}

/// How the updates of a wave went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Admitted and not finished.
    pub in_flight: u32,
    /// Ever admitted.
    pub admitted: u32,
    /// Succeeded.
    pub succeeded: u32,
    /// Failed, rolled back, rejected or timed out.
    pub failed: u32,
    /// Cancelled or superseded.
    pub cancelled: u32,
    /// Of `succeeded`, those before the last resume: not counted by the gate.
    pub forgiven_succeeded: u32,
    /// Of `failed`, those before the last resume.
    pub forgiven_failed: u32,
}

impl Wave {
    /// Whether one more device would be too many.
    pub fn is_full(&self) -> bool {
        self.max_in_flight != 0 && self.counts.in_flight >= self.max_in_flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_spread_evenly() {
        let mut tenths = [0_u32; 10];
        for i in 0..10_000 {
            let position = position("seed", &format!("device-{i}"));
            assert!(position < LINE);
            tenths[usize::try_from(position / (LINE / 10)).unwrap()] += 1;
        }
        // 1,000 each, within five standard deviations (30) of a fair draw.
        assert!(tenths.iter().all(|count| (850..1150).contains(count)), "{tenths:?}");
    }

    #[test]
    fn another_rollout_is_another_order() {
        let first =
            |seed| (0..1000).filter(|i| position(seed, &i.to_string()) < LINE / 10).collect::<Vec<_>>();
        let (a, b) = (first("a"), first("b"));
        assert_eq!(a, first("a"));
        let both = a.iter().filter(|i| b.contains(i)).count();
        assert!(both < 30, "{both} of about 100 come first twice");
    }

    #[test]
    fn a_fair_seed_leaves_no_wave_of_a_small_fleet_empty() {
        use crate::{
            model::{rollout::RolloutState, rollout_fixtures::rollout},
            rng::Rng,
        };
        let mut waves = rollout(RolloutState::Running, &[WaveState::Pending; 3]).waves;
        for (wave, percent) in waves.iter_mut().zip([5, 25, 100]) {
            wave.upper = LINE / 100 * percent;
        }
        let rng = Rng::seeded(1);
        let mut firsts = std::collections::BTreeSet::<String>::new();
        for count in [3, 5, 6, 20, 100] {
            let ids: Vec<String> = (0..count).map(|i| format!("pump-{i}")).collect();
            let keys: Vec<&str> = ids.iter().map(String::as_str).collect();
            for _ in 0..10 {
                let seed = fair_seed(&waves, &keys, || crate::model::id::hex(&rng.bytes::<8>()));
                let (empty, _) = unfairness(&waves, &keys, &seed);
                assert_eq!(empty, 0, "{count} devices");
                if count == 6 {
                    let first = ids.iter().find(|key| position(&seed, key) < waves[0].upper);
                    firsts.extend(first.cloned());
                }
            }
        }
        // Two customers cannot fill three waves.
        let seed =
            fair_seed(&waves, &["acme", "globex", "acme"], || crate::model::id::hex(&rng.bytes::<8>()));
        assert_eq!(unfairness(&waves, &["acme", "globex", "acme"], &seed).0, 1);
        assert!(firsts.len() > 3, "always the same guinea pigs: {firsts:?}");
    }

    #[test]
    fn a_position_never_changes() {
        assert_eq!(position("0123", "pump-1"), position("0123", "pump-1"));
        assert_ne!(position("01", "23"), position("0", "123"));
    }
}
