//! Stored files are floors and never an obstacle: expired, torn, half deleted, alone.

use slipway_trust::fake::{self, DEVICE, Fake, PRODUCT};
use slipway_trust::{Error, SecretKey, Stored, Targets, TrustedSet};

use crate::world::{FAR, NOW, root};

fn stored<'a>(fake: &'a Fake, products: &'a [(&'a str, &'a [u8])], assignment: &'a [u8]) -> Stored<'a> {
    Stored {
        timestamp: Some(&fake.repository.timestamp),
        snapshot: Some(&fake.repository.snapshot),
        targets: Some(&fake.repository.targets),
        products,
        assignment: Some(assignment),
    }
}

/// Rows 18 and 55, as far as the verifier goes.
#[test]
fn stored_files_are_floors_however_old() {
    let mut fake = Fake::new(NOW);
    fake.sign_online(5);
    let assignment = fake.assignment(7, Some(2));
    let products = [(PRODUCT, fake.repository.delegated[PRODUCT].as_slice())];
    let root = &fake.repository.roots[0];
    let (set, left_out) =
        TrustedSet::load(root, stored(&fake, &products, &assignment), DEVICE).expect("a root");
    assert_eq!(left_out, []);
    assert_eq!(
        set.assigned(PRODUCT, DEVICE, NOW),
        Ok(Some(fake.release(2).clone())),
        "no network was needed"
    );

    let eight_years = NOW.plus_days(8 * 365);
    assert_eq!(set.assigned(PRODUCT, DEVICE, eight_years).map_err(|e| e.code()), Err("METADATA_EXPIRED"));
    let versions = set.versions(PRODUCT);
    assert_eq!((versions.timestamp, versions.snapshot, versions.assignment), (5, 5, 7));

    // The repository of eight years later: new root, same keys.
    let mut later = Fake::new(eight_years);
    later.repository.roots = vec![root.clone(), crate::world::root(&later, 2, eight_years.plus_days(400))];
    let mut product = later.product();
    product.version += 1;
    let mut top = Targets::parse("targets", &fake.repository.targets).expect("its own bytes");
    (top.version, top.expires) = (2, eight_years.plus_days(365));
    later.repository.targets = fake::signed(&top, &[&later.keys.targets]);
    later.set_product(&product, 6);
    let mut set = set;
    let found = later.delta(later.assignment(8, Some(2))).feed(&mut set, eight_years);
    assert_eq!(found, Ok(Some(later.release(2).clone())));
}

/// Row 52, as far as the verifier goes.
#[test]
fn a_bad_stored_file_is_left_out_and_never_an_obstacle() {
    let fake = Fake::new(NOW);
    let assignment = fake.assignment(7, Some(2));
    let products = [(PRODUCT, &b"garbage"[..])];
    let mut files = stored(&fake, &products, &assignment);
    let torn = &fake.repository.timestamp[..100];
    files.timestamp = Some(torn);
    let (mut set, left_out) = TrustedSet::load(&fake.repository.roots[0], files, DEVICE).expect("a root");
    let codes: Vec<_> = left_out.iter().map(Error::code).collect();
    assert_eq!(codes, ["METADATA_MALFORMED", "METADATA_MALFORMED"]);
    assert!(set.assigned(PRODUCT, DEVICE, NOW).is_err(), "nothing is installed on half a set");
    assert_eq!(fake.delta(Vec::new()).feed(&mut set, NOW), Ok(Some(fake.release(2).clone())));
    assert!(TrustedSet::load(b"garbage", Stored::default(), DEVICE).is_err());
}

/// Row 37.
#[test]
fn an_assignment_stays_a_floor_while_targets_are_missing() {
    let fake = Fake::new(NOW);
    let assignment = fake.assignment(7, Some(2));
    let files = Stored { assignment: Some(&assignment), ..Stored::default() };
    let (mut set, left_out) = TrustedSet::load(&fake.repository.roots[0], files, DEVICE).expect("a root");
    assert_eq!(left_out, []);
    assert!(set.assigned(PRODUCT, DEVICE, NOW).is_err(), "it is not believed yet");
    let replay = fake.delta(fake.assignment(6, Some(1))).feed(&mut set, NOW);
    assert_eq!(replay.map_err(|e| e.code()), Err("METADATA_ROLLED_BACK"));
}

/// Rows 24 and 52.
#[test]
fn the_power_may_go_between_a_new_root_and_the_files_it_drops() {
    let mut fake = Fake::new(NOW);
    fake.sign_online(FAR);
    let (timestamp, snapshot) = (fake.repository.timestamp.clone(), fake.repository.snapshot.clone());
    fake.keys.snapshot = SecretKey::from_seed([99; 32]);
    let next = root(&fake, 2, NOW.plus_days(400));
    // Root 2 was stored, the files were not deleted: the timestamp still verifies, the snapshot not.
    let stored = Stored { timestamp: Some(&timestamp), snapshot: Some(&snapshot), ..Stored::default() };
    let (set, left_out) = TrustedSet::load(&next, stored, DEVICE).expect("a root");
    assert_eq!(left_out.iter().map(Error::code).collect::<Vec<_>>(), ["SIGNATURES_MISSING"]);
    assert_eq!((set.versions(PRODUCT).timestamp, set.versions(PRODUCT).snapshot), (0, 0));
}
