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

/// Values by what they are of, one of each device, with a bound on how many there are, and how many sorts: whoever names
/// metrics of his own without end takes nobody's place. When there are too many sorts, one that fewest devices have gives
/// way, of these the one that had no news for longest; but a quarter of the room is for those of one device, so that what
/// is new can become what many have. One that enough devices have to tell something stays.
#[derive(Clone, Debug)]
pub struct Groups<K, V> {
    groups: BTreeMap<K, Group<V>>,
    /// Those that may give way, by [`Group::place`].
    small: BTreeMap<(usize, u64), K>,
    /// How many of these have one value.
    single: usize,
    most: usize,
    values: usize,
    most_values: usize,
    enough: usize,
    added: u64,
    left_out: usize,
}

#[derive(Clone, Debug)]
struct Group<V> {
    values: Vec<V>,
    /// Which of all values came last.
    last: u64,
}

impl<V> Group<V> {
    /// The smallest gives way first.
    fn place(&self) -> (usize, u64) {
        (self.values.len(), self.last)
    }
}

impl<K: Ord + Clone, V> Groups<K, V> {
    /// None yet; at most so many groups, and so many values in all of them. A group of `enough` values stays.
    pub fn new(most: usize, most_values: usize, enough: usize) -> Self {
        let (groups, small) = (BTreeMap::new(), BTreeMap::new());
        Groups { groups, small, single: 0, most, values: 0, most_values, enough, added: 0, left_out: 0 }
    }

    /// Adds a value.
    pub fn add(&mut self, key: K, value: V) {
        if self.values >= self.most_values {
            self.left_out += 1;
            return;
        }
        self.added += 1;
        let last = self.added;
        let group = match self.groups.get_mut(&key) {
            Some(group) => {
                if self.small.remove(&group.place()).is_some() && group.values.len() == 1 {
                    self.single -= 1;
                }
                group.values.push(value);
                group.last = last;
                group
            }
            None => {
                if self.groups.len() >= self.most && !self.make_room() {
                    self.left_out += 1;
                    return;
                }
                self.groups.entry(key.clone()).or_insert(Group { values: vec![value], last })
            }
        };
        self.values += 1;
        if group.values.len() < self.enough {
            self.single += usize::from(group.values.len() == 1);
            self.small.insert(group.place(), key);
        }
    }

    /// False when every group is to stay.
    fn make_room(&mut self) -> bool {
        let has_room = self.single <= self.most / 4;
        let more = self.small.range((2, 0)..).next().filter(|_| has_room);
        let Some(place) = more.or_else(|| self.small.first_key_value()).map(|(place, _)| *place) else {
            return false;
        };
        let Some(group) = self.small.remove(&place).and_then(|key| self.groups.remove(&key)) else {
            return false;
        };
        self.single -= usize::from(group.values.len() == 1);
        self.values -= group.values.len();
        self.left_out += group.values.len();
        true
    }

    /// How many values found no place, or gave way.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The groups, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &[V])> {
        self.groups.iter().map(|(key, group)| (key, group.values.as_slice()))
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
        let mut groups: Groups<String, u32> = Groups::new(100, 1_000, 10);
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

    #[test]
    fn four_that_name_parts_without_end_do_not_stop_the_others() {
        let mut groups: Groups<String, u32> = Groups::new(2_000, 100_000, 10);
        // Two by two, so that no group is one device's; before the honest ones, and among them.
        for liar in 0..4 {
            for part in 0..1_000 {
                groups.add(format!("{}-{part}", liar % 2), liar);
            }
        }
        for device in 0..60 {
            groups.add("motor".to_owned(), device);
            for part in 0..40 {
                groups.add(format!("more-{device}-{part}"), device);
            }
        }
        let motor = groups.iter().find(|(key, _)| *key == "motor").map(|(_, group)| group.len());
        assert_eq!((motor, groups.iter().count()), (Some(60), 2_000));
        let values = groups.iter().map(|(_, group)| group.len()).sum::<usize>();
        assert_eq!(values + groups.left_out(), 4_000 + 60 * 41);
    }

    #[test]
    fn what_enough_devices_have_stays() {
        let mut groups: Groups<u32, u32> = Groups::new(10, 1_000, 3);
        for key in 0..10 {
            (0..if key < 9 { 3 } else { 2 }).for_each(|device| groups.add(key, device));
        }
        (100..200).for_each(|key| groups.add(key, 0));
        let kept: Vec<u32> = groups.iter().map(|(key, _)| *key).collect();
        assert_eq!(kept, [0, 1, 2, 3, 4, 5, 6, 7, 8, 199]);
        (0..3).for_each(|device| groups.add(300, device));
        groups.add(400, 0);
        assert!(groups.iter().any(|(key, group)| *key == 300 && group.len() == 3));
        assert!(groups.iter().all(|(key, _)| *key != 400), "all are to stay");
    }
}
