//! What every driver has to do, with the power cut before and after each of its stores.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rand::{SeedableRng as _, rngs::StdRng};

use super::{FileSlots, SlotError, Slots, file::Store};
use crate::{durable, machine::Slot};

/// Where the power goes: nowhere, before the n-th store from now, or after it.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Cut {
    Never,
    Before(usize),
    After(usize),
}

/// A driver on a folder that outlives it, as a disk outlives a boot.
trait Disk {
    fn slots(&self, cut: Cut) -> (Box<dyn Slots>, Arc<AtomicUsize>);
}

struct FileDisk(tempfile::TempDir);

impl FileDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        FileSlots::create(folder.path(), StdRng::seed_from_u64(1)).unwrap();
        Self(folder)
    }
}

impl Disk for FileDisk {
    fn slots(&self, cut: Cut) -> (Box<dyn Slots>, Arc<AtomicUsize>) {
        let stores = Arc::new(AtomicUsize::new(0));
        let counter = stores.clone();
        let store: Store = Box::new(move |path: &Path, bytes: &[u8]| {
            let nth = counter.fetch_add(1, Ordering::Relaxed);
            if cut == Cut::Before(nth) {
                return Err(io::Error::other("the power went before the store"));
            }
            durable::replace(path, bytes, durable::PLAIN)?;
            if cut == Cut::After(nth) {
                return Err(io::Error::other("the power went after the store"));
            }
            Ok(())
        });
        (Box::new(FileSlots::with_store(self.0.path(), 0, store, StdRng::seed_from_u64(2))), stores)
    }
}

fn disk() -> impl Disk {
    FileDisk::new()
}

type Act = fn(&mut dyn Slots) -> Result<(), SlotError>;

/// A whole update, one act after the other, up to the boot into the new slot.
const UPDATE: [Act; 3] = [|s| s.mark_unbootable(Slot::B), |s| s.try_next(Slot::B), |s| s.reboot()];

#[test]
fn every_mutation_is_one_store_and_none_when_it_is_already_so() {
    let disk = disk();
    let (mut slots, stores) = disk.slots(Cut::Never);
    for act in [UPDATE[0], UPDATE[1], UPDATE[2], |s| s.commit(Slot::B)] {
        let before = stores.load(Ordering::Relaxed);
        act(slots.as_mut()).unwrap();
        assert_eq!(stores.load(Ordering::Relaxed), before + 1);
    }
    let before = stores.load(Ordering::Relaxed);
    slots.commit(Slot::B).unwrap();
    slots.mark_unbootable(Slot::A).unwrap();
    slots.mark_unbootable(Slot::A).unwrap();
    slots.try_next(Slot::A).unwrap();
    slots.try_next(Slot::A).unwrap();
    assert_eq!(stores.load(Ordering::Relaxed), before + 2);
}

#[test]
fn a_trial_that_is_not_committed_falls_back() {
    let disk = disk();
    let (mut slots, _) = disk.slots(Cut::Never);
    let first = slots.world().unwrap();
    for act in UPDATE {
        act(slots.as_mut()).unwrap();
    }
    let trial = slots.world().unwrap();
    assert_eq!((trial.running, trial.default, trial.trying), (Slot::B, Slot::A, Some(Slot::B)));
    assert_ne!(trial.boot_id, first.boot_id);
    slots.reboot().unwrap();
    let back = slots.world().unwrap();
    assert_eq!((back.running, back.trying, back.tries_left), (Slot::A, Some(Slot::B), 0));
    slots.commit(Slot::A).unwrap();
    assert_eq!(slots.world().unwrap().trying, None);
}

#[test]
fn a_commit_lasts() {
    let disk = disk();
    let (mut slots, _) = disk.slots(Cut::Never);
    for act in UPDATE {
        act(slots.as_mut()).unwrap();
    }
    slots.commit(Slot::B).unwrap();
    slots.reboot().unwrap();
    assert_eq!((slots.active().unwrap(), slots.default().unwrap()), (Slot::B, Slot::B));
}

#[test]
fn slots_in_use_are_neither_written_nor_marked() {
    let disk = disk();
    let (mut slots, stores) = disk.slots(Cut::Never);
    assert!(matches!(slots.mark_unbootable(Slot::A), Err(SlotError::InUse { .. })));
    assert!(matches!(slots.try_next(Slot::A), Err(SlotError::InUse { .. })));
    assert!(matches!(slots.open_spare(Slot::A, 1), Err(SlotError::InUse { .. })));
    slots.mark_unbootable(Slot::B).unwrap();
    assert!(matches!(slots.commit(Slot::B), Err(SlotError::Unbootable { .. })));
    for act in UPDATE {
        act(slots.as_mut()).unwrap();
    }
    let before = stores.load(Ordering::Relaxed);
    assert!(matches!(slots.open_spare(Slot::A, 1), Err(SlotError::InUse { .. })), "the default, on trial");
    assert!(matches!(slots.open_spare(Slot::B, 1), Err(SlotError::InUse { .. })), "it runs");
    assert_eq!(stores.load(Ordering::Relaxed), before);
}

#[test]
fn only_a_spare_slot_that_does_not_boot_is_emptied() {
    let disk = disk();
    let (mut slots, _) = disk.slots(Cut::Never);
    for slot in [Slot::A, Slot::B] {
        assert!(matches!(slots.empty_spare(slot), Err(SlotError::InUse { .. })), "slot {slot} may boot");
    }
    slots.mark_unbootable(Slot::B).unwrap();
    assert!(!slots.empty_spare(Slot::B).unwrap(), "there is nothing in it");
    assert!(slots.open_spare(Slot::B, 4096).unwrap().resized());
    assert!(!slots.open_spare(Slot::B, 4096).unwrap().resized());
    assert!(slots.empty_spare(Slot::B).unwrap());
    assert!(slots.open_spare(Slot::B, 4096).unwrap().resized(), "what is known of it counts no more");
    slots.try_next(Slot::B).unwrap();
    assert!(matches!(slots.empty_spare(Slot::B), Err(SlotError::InUse { .. })), "it is tried next");
}

/// Cuts the power before and after every store of an update and its commit; whatever was reached,
/// the device boots, and asking for everything again ends in the new slot.
#[test]
fn every_prefix_boots_and_can_be_done_again() {
    let all: Vec<Act> = UPDATE.into_iter().chain([(|s| s.commit(Slot::B)) as Act]).collect();
    for nth in 0..all.len() {
        for cut in [Cut::Before(nth), Cut::After(nth)] {
            let disk = disk();
            let (mut slots, _) = disk.slots(cut);
            let reached = all.iter().take_while(|act| act(slots.as_mut()).is_ok()).count();
            assert_eq!(reached, nth, "{cut:?}");
            drop(slots);

            let (mut slots, _) = disk.slots(Cut::Never);
            slots.reboot().unwrap();
            let world = slots.world().unwrap();
            let armed = reached >= 2 || cut == Cut::After(1);
            assert!(world.running == Slot::A || armed, "{cut:?}: nothing but an armed slot is tried");
            let committed = cut == Cut::After(3);
            assert_eq!(world.default, if committed { Slot::B } else { Slot::A }, "{cut:?}");

            if world.running == Slot::A {
                for act in UPDATE {
                    act(slots.as_mut()).unwrap();
                }
            }
            slots.commit(Slot::B).unwrap();
            slots.reboot().unwrap();
            assert_eq!(slots.active().unwrap(), Slot::B, "{cut:?}");
        }
    }
}
