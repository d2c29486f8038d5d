//! Which devices are asked when the fleet is looked at as a whole, and what they say by now.
//!
//! A cross-section does not need every device: of a hundred thousand the quartiles of two thousand are the same. Devices
//! are chosen by a hash of their id, so it is the same ones each time, and nobody's choice.

use std::collections::{BTreeMap, BTreeSet};

/// Devices of one model that a limit is learned from at most.
pub const LEARNED_FROM: usize = 2_000;
/// Devices of one version of one model that are compared with others at most.
pub const COMPARED: usize = 500;

/// At most `most` of these ids: those whose hashes are smallest.
pub fn sample<'a>(ids: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let mut kept: BTreeSet<(u64, &str)> = BTreeSet::new();
    for id in ids {
        kept.insert((hash(id), id));
        if kept.len() > most {
            kept.pop_last();
        }
    }
    kept.into_iter().map(|(_, id)| id).collect()
}

/// FNV-1a, and a turn of SplitMix64 so that ids that count up are spread.
fn hash(id: &str) -> u64 {
    let fnv = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Values by what they are of, with a bound on how many there are, and how many sorts: whoever names a metric of his own
/// for each reading takes nobody's place.
#[derive(Clone, Debug)]
pub struct Groups<K, V> {
    groups: BTreeMap<K, Vec<V>>,
    most: usize,
    values: usize,
    most_values: usize,
    is_full: bool,
    left_out: usize,
}

impl<K: Ord, V> Groups<K, V> {
    /// None yet; at most so many groups, and so many values in all of them.
    pub fn new(most: usize, most_values: usize) -> Self {
        Groups { groups: BTreeMap::new(), most, values: 0, most_values, is_full: false, left_out: 0 }
    }

    /// Adds a value.
    pub fn add(&mut self, key: K, value: V) {
        if self.values >= self.most_values {
            self.left_out += 1;
            return;
        }
        if let Some(group) = self.groups.get_mut(&key) {
            group.push(value);
            self.values += 1;
            return;
        }
        if self.groups.len() >= self.most && !self.is_full {
            // What one device alone has is compared with nothing. Not worth another walk when that made little room.
            let before = self.groups.len();
            self.groups.retain(|_, group| group.len() > 1);
            self.values -= before - self.groups.len();
            self.is_full = self.groups.len() > self.most / 8 * 7;
        }
        if self.groups.len() >= self.most {
            self.left_out += 1;
        } else {
            self.groups.insert(key, vec![value]);
            self.values += 1;
        }
    }

    /// How many values found no place.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The groups, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &[V])> {
        self.groups.iter().map(|(key, group)| (key, group.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_devices_each_time_and_from_everywhere() {
        let ids: Vec<String> = (0..1_000).map(|n| format!("pump-{n:03}")).collect();
        let chosen = sample(ids.iter().map(String::as_str), 100);
        assert_eq!(chosen.len(), 100);
        assert_eq!(chosen, sample(ids.iter().rev().map(String::as_str), 100));
        let early = chosen.iter().filter(|id| **id < "pump-500").count();
        assert!((30..70).contains(&early), "{early}");
        // One more device replaces at most one.
        let more = sample(ids.iter().map(String::as_str).chain(["pump-new"]), 100);
        assert!(chosen.iter().filter(|id| more.contains(id)).count() >= 99);
        assert_eq!(sample(["a"], 100), ["a"]);
    }

    #[test]
    fn metrics_without_end_take_nobodys_place() {
        let mut groups: Groups<String, u32> = Groups::new(100, 1_000);
        for device in 0..50 {
            groups.add("shared".to_owned(), device);
            for number in 0..20 {
                groups.add(format!("own-{device}-{number}"), 0);
            }
        }
        let shared: Vec<&[u32]> =
            groups.iter().filter(|(key, _)| *key == "shared").map(|(_, group)| group).collect();
        assert!(shared[0].len() == 50, "{}", shared[0].len());
        assert!(groups.iter().count() <= 100);
        for _ in 0..2_000 {
            groups.add("shared".to_owned(), 0);
        }
        assert_eq!(groups.iter().map(|(_, group)| group.len()).sum::<usize>(), 1_000);
        assert!(groups.left_out() >= 1_000);
    }
}
