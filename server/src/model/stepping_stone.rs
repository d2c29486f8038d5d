//! Which devices a release is on the way of: taken away, they would not get as far as before.

use slipway_trust::ReleaseEntry;

/// Whether a device of this hardware that runs `counter` (0: what it left the factory with) would get
/// less far among the product's `releases`, given by counter, if `withdrawn` were not one of them. That
/// it cannot get to `withdrawn` itself any more does not count.
pub fn is_needed(releases: &[ReleaseEntry], withdrawn: &ReleaseEntry, hardware: &str, counter: u64) -> bool {
    let fits = |release: &&ReleaseEntry| release.hardware.iter().any(|model| model == hardware);
    let with = reached(releases.iter().filter(fits), counter);
    let without = reached(releases.iter().filter(fits).filter(|release| *release != withdrawn), counter);
    let elsewhere = with.into_iter().filter(|reached| *reached != withdrawn.counter).max();
    elsewhere > without.into_iter().max()
}

/// Counters that can be reached one after the other, each from the highest before it.
fn reached<'a>(releases: impl Iterator<Item = &'a ReleaseEntry>, from: u64) -> Vec<u64> {
    let mut at = from;
    let mut reached = Vec::new();
    for release in releases.filter(|release| release.counter > from) {
        if release.min_from <= at {
            at = release.counter;
            reached.push(at);
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use slipway_trust::Sha256;

    use super::*;

    fn entry(counter: u64, min_from: u64, hardware: &[&str]) -> ReleaseEntry {
        ReleaseEntry {
            product: "pump".to_owned(),
            version: format!("{counter}.0.0").parse().unwrap(),
            length: 1,
            sha256: Sha256::of(b""),
            hardware: hardware.iter().map(|model| (*model).to_owned()).collect(),
            counter,
            floor: 0,
            min_from,
        }
    }

    #[test]
    fn only_the_one_way_through_is_needed() {
        let both = ["gw-a", "gw-b"];
        let releases = [
            entry(1, 0, &both),
            entry(2, 0, &["gw-a"]),
            entry(3, 2, &both),
            entry(4, 3, &both),
            entry(5, 3, &both),
        ];
        let needed = |withdrawn: usize, hardware: &str, counter: u64| {
            is_needed(&releases, &releases[withdrawn - 1], hardware, counter)
        };
        assert!(needed(2, "gw-a", 1), "nothing else leads to 3");
        assert!(!needed(2, "gw-a", 2), "it is past it");
        assert!(!needed(2, "gw-b", 1), "it cannot pass there anyway");
        assert!(!needed(1, "gw-a", 0), "2 can be had from the start");
        assert!(needed(3, "gw-a", 1) && needed(3, "gw-a", 2) && !needed(3, "gw-a", 4));
        assert!(!needed(4, "gw-a", 3), "5 can be had from 3");
        assert!(!needed(5, "gw-a", 0), "the newest leads nowhere");
        assert!(!needed(5, "toaster", 0));
    }
}
