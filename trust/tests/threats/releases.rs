//! What publishers sign beside a release binds whoever holds all the online keys.

use slipway_trust::fake::{self, Fake, HARDWARE, PRODUCT};
use slipway_trust::repo::ReleaseRules;
use slipway_trust::{DeviceFacts, Manifest, Refusal, ReleaseEntry, TrustedSet, check_release};

use crate::world::{NOW, World};

/// A repository with a third release, whose floor is 2 and which needs 2 to be installed.
fn three_releases() -> Fake {
    let mut fake = Fake::new(NOW);
    let mut product = fake.product();
    product.version += 1;
    let manifest = fake::manifest("3.0.0", 3);
    let bytes = manifest.to_bytes().expect("a valid manifest");
    let rules = ReleaseRules { floor: 2, min_from: 2 };
    fake.releases.push(product.add_release(&manifest, &bytes, rules).expect("a newer release"));
    fake.manifests.insert("pump/3.0.0.json".to_owned(), bytes);
    fake.set_product(&product, 3);
    fake
}

/// What a device says to the release of a counter, which server and publishers agree about.
fn answer(counter: u64, facts: DeviceFacts<'_>) -> Result<(), &'static str> {
    let fake = three_releases();
    let mut set = TrustedSet::from_root(&fake.repository.roots[0]).expect("a root");
    let assigned = fake.delta(fake.assignment(1, Some(counter))).feed(&mut set, NOW);
    let release: ReleaseEntry = assigned.expect("signed by all").expect("a release");
    check_release(&release, &facts).map_err(|refusal: Refusal| refusal.code())
}

const DEVICE: DeviceFacts<'_> = DeviceFacts { product: PRODUCT, hardware: HARDWARE, installed: 3, floor: 2 };

/// Row 39.
#[test]
fn for_other_hardware() {
    assert_eq!(answer(3, DeviceFacts { hardware: "gw-z", ..DEVICE }), Err("HARDWARE_MISMATCH"));
    assert_eq!(answer(3, DEVICE), Ok(()));
}

/// Row 40.
#[test]
fn below_the_floor() {
    assert_eq!(answer(1, DEVICE), Err("BELOW_FLOOR"));
}

/// Row 41: an operator may go back as far as the floor.
#[test]
fn between_the_floor_and_what_runs() {
    assert_eq!(answer(2, DEVICE), Ok(()));
}

/// Row 42: the floor of a release binds once it is committed, not while it is on trial.
#[test]
fn the_floor_of_a_release_on_trial_does_not_bind() {
    assert_eq!(answer(1, DeviceFacts { installed: 1, floor: 0, ..DEVICE }), Ok(()));
}

/// Row 43: the refusal says what is needed.
#[test]
fn without_its_stepping_stone() {
    assert_eq!(answer(3, DeviceFacts { installed: 1, floor: 0, ..DEVICE }), Err("STEPPING_STONE_REQUIRED"));
    assert_eq!(answer(3, DeviceFacts { installed: 2, floor: 0, ..DEVICE }), Ok(()));
}

/// Row 44.
#[test]
fn of_another_product() {
    assert_eq!(answer(3, DeviceFacts { product: "gateway", ..DEVICE }), Err("RELEASE_FOREIGN_PRODUCT"));
}

/// Row 45: a release is one manifest, whose digest its publishers signed.
#[test]
fn mixed_of_the_parts_of_two() {
    let fake = World::new().fake;
    let (one, two) = (&fake.manifests["pump/1.0.0.json"], &fake.manifests["pump/2.0.0.json"]);
    assert!(Manifest::verify(fake.release(2), two).is_ok());
    let code = |bytes: &[u8]| Manifest::verify(fake.release(2), bytes).map(drop).map_err(|e| e.code());
    assert_eq!(code(one), Err("MANIFEST_MISMATCH"));
    let mut mixed = Manifest::parse(two).expect("its own bytes");
    mixed.artifacts = Manifest::parse(one).expect("its own bytes").artifacts;
    assert_eq!(code(&mixed.to_bytes().expect("a valid manifest")), Err("MANIFEST_MISMATCH"));
}

/// Row 47.
#[test]
fn with_a_manifest_cut_short_or_changed() {
    let fake = World::new().fake;
    let honest = &fake.manifests["pump/2.0.0.json"];
    let mut flipped = honest.clone();
    flipped[honest.len() / 2] ^= 1;
    for bad in [&honest[1..], &[honest.as_slice(), b" "].concat(), &flipped] {
        let verified = Manifest::verify(fake.release(2), bad).map(drop);
        assert_eq!(verified.map_err(|e| e.code()), Err("MANIFEST_MISMATCH"));
    }
}
