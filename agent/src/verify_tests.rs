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
    assigning(fake, 1, 1)
}

/// Everything the repository holds, and an assignment of this version to the release of that counter.
fn assigning(fake: &Fake, version: u64, counter: u64) -> TrustDelta {
    let Delta { roots, timestamp, snapshot, targets, product, assignment } =
        fake.delta(fake.assignment(version, Some(counter)));
    TrustDelta { roots, timestamp, snapshot, targets, product, assignment }
}

/// Root `version`, with whatever keys the repository has now.
fn root(fake: &Fake, version: u64) -> Vec<u8> {
    let ends = Date::from_millis(NOW).plus_days(400);
    fake::signed(
        &repo::root(version, ends, &fake::root_keys(&fake.keys)),
        &[&fake.keys.root[0], &fake.keys.root[1]],
    )
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
    fake.repository.roots.push(root(&fake, 2));
    fake.sign_online(1);
    store.apply(&delta(&fake)).unwrap();
    assert!(clock.now() < NOW + DAY);
    assert!(store.assigned().unwrap().is_some());
    drop(store);
    let (_, clock) = open(&state);
    assert!(clock.now() < NOW + DAY, "it is forgotten for good");
}

/// Row 10: a device that slept through 1,024 ceremonies follows them all, and no longer chain.
#[test]
fn row_10_a_chain_of_1024_roots_comes_in_portions_and_one_more_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::new(folder.path());
    let fake = Fake::new(Date::from_millis(NOW));
    TrustStore::pin(&state, &fake.repository.roots[0]).unwrap();
    let (mut store, _) = open(&state);
    let last = 1 + u64::from(limits::ROOTS_IN_CHAIN);
    let roots: Vec<Vec<u8>> = (2..=last).map(|version| root(&fake, version)).collect();

    let too_many = TrustDelta { roots: roots[..=limits::ROOTS_PER_POLL].to_vec(), ..TrustDelta::default() };
    assert_eq!(store.apply(&too_many).unwrap_err().code(), "TOO_MANY_ROOTS");
    assert_eq!(store.have().root, 1, "none of them was taken");
    for portion in roots.chunks(limits::ROOTS_PER_POLL) {
        store.apply(&TrustDelta { roots: portion.to_vec(), ..TrustDelta::default() }).unwrap();
    }
    assert_eq!(store.have().root, last);
    let one_more = TrustDelta { roots: vec![root(&fake, last + 1)], ..TrustDelta::default() };
    assert_eq!(store.apply(&one_more).unwrap_err().code(), "ROOT_CHAIN_TOO_LONG");
    assert_eq!(store.have().root, last);
    // What the last of them vouches for is believed, and so it is after the next start.
    store.apply(&delta(&fake)).unwrap();
    drop(store);
    let (store, _) = open(&state);
    assert_eq!(store.have().root, last);
    assert!(store.assigned().unwrap().is_some());
}

/// Row 52: each step of taking new metadata is durable before the next. Wherever the power goes, the next
/// start believes no less than before and goes on, whether the online keys stayed or changed meanwhile.
#[test]
fn row_52_wherever_the_power_goes_the_next_start_believes_no_less_and_goes_on() {
    for rotates in [false, true] {
        for steps in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let state = StateDir::new(folder.path());
            let mut fake = Fake::new(Date::from_millis(NOW));
            fake.sign_online(5);
            TrustStore::pin(&state, &fake.repository.roots[0]).unwrap();
            let (mut store, clock) = open(&state);
            store.apply(&assigning(&fake, 7, 1)).unwrap();
            let (held, proved) = (store.have(), clock.now());

            if rotates {
                fake.keys.timestamp = SecretKey::from_seed([77; 32]);
                fake.keys.snapshot = SecretKey::from_seed([78; 32]);
            }
            fake.repository.roots.extend([root(&fake, 2), root(&fake, 3)]);
            let mut product = fake.product();
            product.version += 1;
            fake.set_product(&product, if rotates { 1 } else { 6 });
            let news = assigning(&fake, 8, 2);
            durable::power::lasts_for(steps);
            let taken = store.apply(&news);
            durable::power::returns();
            let is_all = taken.is_ok();
            assert!(is_all || taken.unwrap_err().code() == "STATE_IO_FAILED");

            drop(store);
            let shown = Clock::from_source(Arc::new(|| 0));
            let (mut store, lost) = TrustStore::open(&state, PRODUCT, DEVICE, &shown).unwrap();
            let why: Vec<&str> = lost.iter().map(|reason| reason.code.as_str()).collect();
            // Between a root and the files that it drops; those are left out as if they were gone.
            assert!(why.iter().all(|code| rotates && *code == "SIGNATURES_MISSING"), "{steps}: {lost:?}");
            let now = store.have();
            assert!(now.root >= held.root && now.targets >= held.targets && now.product >= held.product);
            assert!(now.assignment >= held.assignment, "{steps}: {now:?}");
            assert!(rotates || (now.timestamp >= held.timestamp && now.snapshot >= held.snapshot), "{now:?}");
            assert!(
                !rotates || now.root == 1 || now.timestamp <= 1,
                "{steps}: a floor of the old keys: {now:?}"
            );
            assert!(shown.now() >= proved.min(NOW), "{steps}: the clock went back to {}", shown.now());
            if let Ok(release) = store.assigned() {
                let expected = if now.assignment == 8 { 2 } else { 1 };
                assert_eq!(release.unwrap().counter, expected, "{steps}");
            }

            let rest = news.roots.iter().skip(now.root as usize - 1).cloned().collect();
            store.apply(&TrustDelta { roots: rest, ..news.clone() }).unwrap();
            assert_eq!(store.assigned().unwrap().unwrap().counter, 2, "{steps}");
            if is_all {
                assert!(steps >= 8, "two roots and five documents are more than {steps} steps");
                break;
            }
        }
    }
}

/// Row 57: whatever part of an honest answer comes, what can be verified is kept, and the rest of it
/// completes it. Nothing is assigned by half of it.
#[test]
fn row_57_any_part_of_an_answer_is_taken_as_far_as_it_verifies() {
    let fake = Fake::new(Date::from_millis(NOW));
    let whole = delta(&fake);
    for parts in 0..1_u8 << 5 {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        TrustStore::pin(&state, &fake.repository.roots[0]).unwrap();
        let (mut store, _) = open(&state);
        let part = |bit: u8, bytes: &Vec<u8>| if parts & 1 << bit == 0 { Vec::new() } else { bytes.clone() };
        let some = TrustDelta {
            roots: Vec::new(),
            timestamp: part(0, &whole.timestamp),
            snapshot: part(1, &whole.snapshot),
            targets: part(2, &whole.targets),
            product: part(3, &whole.product),
            assignment: part(4, &whole.assignment),
        };
        // Each of the first three vouches for the next, and targets for the publishers and for the director.
        let kept = if parts & 0b111 == 0b111 { parts } else { parts & ((1 << parts.trailing_ones()) - 1) };
        let answer = store.apply(&some);
        assert_eq!(answer.is_err(), kept != parts, "{parts:05b}: {answer:?}");
        let held = |store: &TrustStore| {
            let have = store.have();
            [have.timestamp, have.snapshot, have.targets, have.product, have.assignment]
                .map(|version| version > 0)
        };
        let expected = std::array::from_fn(|at| kept & 1 << at != 0);
        assert_eq!(held(&store), expected, "{parts:05b}");
        assert_eq!(matches!(store.assigned(), Ok(Some(_))), kept == 0b11111, "{parts:05b}");
        drop(store);
        let (mut store, _) = open(&state);
        assert_eq!(held(&store), expected, "{parts:05b}: after a start");
        store.apply(&whole).unwrap();
        assert!(store.assigned().unwrap().is_some(), "{parts:05b}");
    }
}
