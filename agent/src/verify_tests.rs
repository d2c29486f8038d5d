use std::sync::{Arc, atomic::AtomicI64};

use slipway_trust::{
    SecretKey,
    fake::{self, DEVICE, Delta, Fake, PRODUCT},
    repo,
};

use super::*;

/// 2027-01-15, after the agent's build time.
const NOW: i64 = 1_800_000_000_000;
const DAY: i64 = 86_400_000;

fn delta(fake: &Fake) -> TrustDelta {
    let Delta { roots, timestamp, snapshot, targets, product, assignment } =
        fake.delta(fake.assignment(1, Some(1)));
    TrustDelta { roots, timestamp, snapshot, targets, product, assignment }
}

fn open(state: &StateDir) -> (TrustStore, Clock) {
    let shown = Arc::new(AtomicI64::new(NOW));
    let clock = Clock::from_source(Arc::new(move || shown.load(std::sync::atomic::Ordering::Relaxed)));
    let (store, lost) = TrustStore::open(state, PRODUCT, DEVICE, &clock).unwrap();
    assert!(lost.is_empty(), "{lost:?}");
    (store, clock)
}

/// Whoever has the online keys can set the clocks of devices, up to the end of the root. Taking the keys
/// from him has to give the clocks back, or all that is signed honestly has expired for months.
#[test]
fn a_rotation_gives_a_clock_back_that_thieves_had_set() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::new(folder.path());
    let today = Date::from_millis(NOW);
    let mut fake = Fake::new(today);
    TrustStore::pin(&state, &fake.repository.roots[0]).unwrap();
    let (mut store, clock) = open(&state);
    store.apply(&delta(&fake)).unwrap();

    fake.now = Date::from_millis(NOW + 300 * DAY);
    fake.sign_online(3);
    let theft = TrustDelta { assignment: Vec::new(), ..delta(&fake) };
    store.apply(&theft).unwrap();
    assert!(clock.now() >= NOW + 300 * DAY);

    fake.now = today;
    fake.sign_online(4);
    let late = store.apply(&delta(&fake)).unwrap_err();
    assert_eq!(late.code(), "METADATA_EXPIRED");

    fake.keys.timestamp = SecretKey::from_seed([77; 32]);
    fake.keys.snapshot = SecretKey::from_seed([78; 32]);
    let root = repo::root(2, today.plus_days(400), &fake::root_keys(&fake.keys));
    let root = fake::signed(&root, &[&fake.keys.root[0], &fake.keys.root[1]]);
    fake.repository.roots.push(root);
    fake.sign_online(1);
    store.apply(&delta(&fake)).unwrap();
    assert!(clock.now() < NOW + DAY);
    assert!(store.assigned().unwrap().is_some());
    drop(store);
    let (_, clock) = open(&state);
    assert!(clock.now() < NOW + DAY, "it is forgotten for good");
}
