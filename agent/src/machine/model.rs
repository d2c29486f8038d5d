//! A seeded world that cuts the power at every effect: whatever happens, the device runs the old version
//! or the new one, and can still update.

use rand::{Rng, RngExt as _, SeedableRng as _, rngs::StdRng};
use slipway_trust::Sha256;

use super::*;

const START: i64 = 1_800_000_000_000;

/// What a slot really holds: the release whose bytes are complete in it, if any.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Content {
    Whole(u64),
    Partial,
}

/// The device without its agent: what survives a power cut.
struct Device {
    durable: Snapshot,
    records: u32,
    content: [Content; 2],
    default: Slot,
    trying: Option<Slot>,
    tries_left: u32,
    running: Slot,
    boots: u64,
    now: i64,
    /// Releases whose health check fails.
    broken: Vec<u64>,
}

fn place(slot: Slot) -> usize {
    match slot {
        Slot::A => 0,
        Slot::B => 1,
    }
}

impl Device {
    fn new(broken: Vec<u64>) -> Self {
        let mut durable = Snapshot::default();
        durable.memory.slot_a = Some(release(1).installed());
        Self {
            durable,
            records: 0,
            content: [Content::Whole(1), Content::Partial],
            default: Slot::A,
            trying: None,
            tries_left: 0,
            running: Slot::A,
            boots: 0,
            now: START,
            broken,
        }
    }

    fn boot(&mut self) {
        self.boots += 1;
        self.running = match self.trying {
            Some(slot) if self.tries_left > 0 => {
                self.tries_left -= 1;
                slot
            }
            _ => self.default,
        };
        assert!(
            matches!(self.content[place(self.running)], Content::Whole(_)),
            "boots into a slot that is not whole: {:?}",
            self.durable.state
        );
    }

    fn world(&self) -> World {
        World {
            boot_id: self.boots.to_string(),
            running: self.running,
            default: self.default,
            trying: self.trying,
            tries_left: self.tries_left,
        }
    }

    fn version(&self) -> u64 {
        match self.content[place(self.running)] {
            Content::Whole(version) => version,
            Content::Partial => 0,
        }
    }

    /// Does half of an effect, or all of it; says what happened. A reboot is an event of its own.
    fn perform(&mut self, effect: &Effect, rng: &mut impl Rng) -> Option<Event> {
        Some(match effect {
            Effect::Survey { .. } => Event::Surveyed {
                capacity: None,
                inhibited: rng.random_ratio(1, 10),
                boot_id: self.boots.to_string(),
            },
            Effect::Prepare { target } => {
                assert!(*target != self.running && *target != self.default);
                (self.trying, self.tries_left) = (None, 0);
                Event::Prepared
            }
            Effect::Fetch(work) => {
                assert!(work.target != self.running && work.target != self.default);
                assert!(self.trying != Some(work.target) || self.tries_left == 0, "an armed slot is written");
                self.content[place(work.target)] = Content::Partial;
                if rng.random_ratio(1, 8) {
                    return Some(Event::Failed(Reason::new("SEGMENT_DIGEST_MISMATCH", "for a test")));
                }
                let mut progress = work.progress.clone();
                progress.done.set(progress.done.count());
                if progress.done.count() < 3 {
                    return Some(Event::Checkpoint(progress));
                }
                self.content[place(work.target)] = Content::Whole(work.release.counter);
                Event::Fetched(progress)
            }
            Effect::Verify(work) => match self.content[place(work.target)] {
                Content::Whole(version) if version == work.release.counter => Event::Verified,
                _ => Event::Failed(Reason::new("SLOT_DIGEST_MISMATCH", "for a test")),
            },
            Effect::Arm(work) => {
                let target = work.target;
                assert!(target != self.running && target != self.default);
                (self.trying, self.tries_left) = (Some(target), 1);
                Event::Armed
            }
            Effect::Reboot => return None,
            Effect::CheckHealth(_) if self.broken.contains(&self.version()) => {
                Event::Unhealthy(Reason::new("HEALTH_CHECK_FAILED", "for a test"))
            }
            Effect::CheckHealth(_) => Event::Healthy { contact: rng.random_ratio(1, 2) },
            Effect::AwaitContact => Event::ContactAwaited,
            Effect::Commit { slot } | Effect::Restore { slot } if rng.random_ratio(1, 10) => {
                let _ = slot;
                Event::Failed(Reason::new("SLOT_IO_FAILED", "for a test"))
            }
            Effect::Commit { slot } => {
                (self.default, self.trying, self.tries_left) = (*slot, None, 0);
                Event::Committed { running: self.running }
            }
            Effect::Restore { slot } => {
                (self.default, self.trying, self.tries_left) = (*slot, None, 0);
                Event::Restored { running: self.running }
            }
            Effect::Stop => return None,
        })
    }
}

fn release(counter: u64) -> Release {
    Release {
        product: "pump".to_owned(),
        version: format!("{counter}.0.0"),
        counter,
        floor: 0,
        manifest: Sha256::of(&[1, counter as u8]),
        manifest_length: 100,
        digest: Sha256::of(&[2, counter as u8]),
        size: 3 << 20,
    }
}

/// One life of the agent: until there is nothing to do, the device reboots, or the power goes.
fn live(device: &mut Device, first: Option<Event>, cuts: bool, rng: &mut impl Rng) -> bool {
    let mut events = vec![Event::Started(device.world())];
    events.extend(first);
    let mut events: std::collections::VecDeque<_> = events.into();
    let mut snapshot = device.durable.clone();
    let mut work: Option<Effect> = None;
    loop {
        let event = match (events.pop_front(), work.take()) {
            (Some(event), doing) => {
                work = doing;
                event
            }
            (None, Some(effect)) => {
                if cuts && rng.random_ratio(1, 12) {
                    return false;
                }
                let event = device.perform(&effect, rng);
                if cuts && rng.random_ratio(1, 12) {
                    return false;
                }
                if effect == Effect::Reboot {
                    device.boot();
                    return false;
                }
                let Some(event) = event else { continue };
                if matches!(event, Event::Checkpoint(_)) {
                    work = Some(effect);
                }
                event
            }
            (None, None) => match snapshot.deadline {
                // Nothing is going on but a deadline: time passes.
                Some(deadline) => {
                    device.now = device.now.max(deadline);
                    Event::Deadline
                }
                None => return true,
            },
        };
        device.now += 1;
        let Ok((next, effects)) = step(&snapshot, event, device.now) else { continue };
        if next != snapshot {
            if cuts && rng.random_ratio(1, 12) {
                return false;
            }
            device.durable = next.clone();
            device.records += 1;
        }
        snapshot = next;
        for effect in effects {
            work = (effect != Effect::Stop).then_some(effect);
        }
        if let (Some(Effect::Fetch(work)), State::Fetching(now)) = (&mut work, &snapshot.state) {
            work.progress = now.progress.clone();
        }
    }
}

/// Lives until the device is at rest.
fn settle(device: &mut Device, offer: &Offer, cuts: bool, rng: &mut impl Rng) {
    for life in 0..500 {
        let first = Event::Offered(Box::new(offer.clone()), device.world());
        if live(device, Some(first), cuts, rng) {
            return;
        }
        // A killed process, or a power cut.
        if rng.random_ratio(1, 2) {
            device.boot();
        }
        assert!(life < 499, "never comes to rest: {:?}", device.durable);
    }
}

#[test]
fn wherever_the_power_goes_the_device_runs_old_or_new_and_can_still_update() {
    let (mut news, mut olds) = (0, 0);
    for seed in 0..3_000_u64 {
        let mut rng = StdRng::seed_from_u64(seed);
        let broken = if seed % 3 == 0 { vec![2] } else { vec![] };
        let mut device = Device::new(broken.clone());
        let offer = Offer { update: "u1".to_owned(), release: release(2), deadline: None };
        settle(&mut device, &offer, true, &mut rng);

        let frozen = matches!(device.durable.state, State::Inconsistent { .. });
        assert!(!frozen, "seed {seed}: an honest world never freezes a device");
        assert_eq!(device.durable.state, State::Idle, "seed {seed}");
        let version = device.version();
        assert!(version == 1 || version == 2, "seed {seed}: runs {version}");
        assert!(version == 1 || broken.is_empty(), "seed {seed}: a broken version was committed");
        assert_eq!(device.running, device.default, "seed {seed}: at rest the default runs");
        let memory = &device.durable.memory;
        assert_eq!(memory.installed(device.running).unwrap().counter, version, "seed {seed}");
        let last = memory.outbox.iter().filter(|report| report.step.is_last()).count();
        assert_eq!(last, 1, "seed {seed}: one last report, {:?}", memory.outbox);
        let succeeded = memory.outbox.last().unwrap().step == Step::Succeeded;
        assert_eq!(succeeded, version == 2, "seed {seed}: the report tells the truth");
        if version == 2 {
            news += 1
        } else {
            olds += 1
        }

        // And it can still update, once the world is kind.
        device.durable.memory.outbox.clear();
        for attempt in 0..20 {
            let offer = Offer { update: format!("v{attempt}"), release: release(3), deadline: None };
            device.durable.memory.failures.clear();
            settle(&mut device, &offer, false, &mut rng);
            if device.version() == 3 {
                break;
            }
        }
        assert_eq!(device.version(), 3, "seed {seed}: {:?}", device.durable);
    }
    assert!(news > 300 && olds > 300, "both ends are reached: {news} new, {olds} old");
}

#[test]
fn an_undisturbed_update_needs_few_records() {
    let mut rng = StdRng::seed_from_u64(5);
    let mut device = Device::new(vec![]);
    let offer = Offer { update: "u1".to_owned(), release: release(2), deadline: None };
    settle(&mut device, &offer, false, &mut rng);
    assert!(device.records <= 40, "{} records", device.records);
}
