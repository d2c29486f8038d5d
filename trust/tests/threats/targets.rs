//! Targets files: who may sign what, and paths that lead elsewhere.

use slipway_trust::fake::{self, DEVICE, PRODUCT};
use slipway_trust::repo::Body as _;
use slipway_trust::{Signer, Target, Targets};

use crate::world::{NOW, World, attacks};

attacks! {
    /// Row 17, for what is signed offline.
    a_product_that_expired: "product expired",
    /// Row 22.
    a_product_older_than_listed: "product older than the snapshot lists",
    /// Row 23.
    targets_signed_by_publishers: "targets signed by the publishers",
    /// Row 26.
    targets_of_another_type: "targets of another type",
    /// Row 35.
    a_product_signed_by_the_director: "product signed by the director",
    /// Row 35.
    a_product_signed_by_all_online_keys: "product signed by the online keys",
    /// Row 2, for a product.
    a_product_signed_by_fewer_than_the_threshold: "product signed by one publisher of two",
}

/// Paths that leave their folder, or that two readers take for different files.
const PATHS: [&str; 8] =
    ["", "/etc/passwd", "../../etc/passwd", "pump/../../x", "pump//x", "pump/.", "pump/a\0b", "pump\\..\\x"];

/// Row 30, on the device.
#[test]
fn a_path_that_leads_elsewhere_is_not_searched() {
    for path in PATHS {
        World::new().refuses("TARGET_PATH_INVALID", |device| device.find(path).map(drop));
    }
}

/// Row 30: a space is harmless, and other tools write it. It leads nowhere else, and no release has one.
#[test]
fn a_space_in_a_path_is_no_way_out_and_no_release() {
    let World { mut fake, mut device } = World::new();
    assert_eq!(device.find("pump/read me.txt"), Ok(slipway_trust::Lookup::NotFound));
    let mut product = fake.product();
    product.version += 1;
    let release = product.targets["pump/2.0.0.json"].clone();
    product.targets.insert("pump/2.0.0 .json".to_owned(), release);
    fake.set_product(&product, 3);
    let taken = fake.delta(fake.assignment(2, Some(2))).feed(&mut device, NOW);
    assert_eq!(taken, Ok(Some(fake.release(2).clone())), "the file is taken");
    assert!(product.releases(PRODUCT).is_err(), "the entry is none that can be published or installed");
}

/// Row 30, where a release is published: the file is refused, whoever signed it.
#[test]
fn a_release_whose_path_leads_elsewhere_is_not_published() {
    for path in PATHS {
        let World { mut fake, .. } = World::new();
        let mut product = fake.product();
        product.version += 1;
        let release = product.targets.values().next().cloned().expect("a release");
        product.targets.insert(path.to_owned(), release);
        fake.set_product(&product, 3);
        let checked = fake.repository.check(NOW).map(drop);
        assert_eq!(checked.map_err(|e| e.code()), Err("TARGET_PATH_INVALID"), "{path:?}");
    }
}

/// Rows 23 and 35: a role's right ends at its paths, also when its file is signed as it should be.
#[test]
fn the_director_lists_a_release_in_its_own_file() {
    let World { mut fake, mut device } = World::new();
    let release = fake.product().targets["pump/2.0.0.json"].clone();
    let mut base = Targets::empty(2, NOW.plus_days(30));
    base.targets.insert("pump/3.0.0.json".to_owned(), release);
    let director: &dyn Signer = &fake.keys.director;
    let base = fake::signed(&base, &[director]);
    fake.repository.delegated.insert("director".to_owned(), base.clone());
    fake.sign_online(3);
    fake.delta(Vec::new()).feed(&mut device, NOW).expect("honest");
    device.update_product("director", &base, NOW).expect("it is the director's to sign");
    assert_eq!(device.find("pump/3.0.0.json"), Ok(slipway_trust::Lookup::NotFound));
}

/// Row 47: a release needs a digest that is checked, whatever else is listed beside it. Files of other tools may
/// list targets without one; such a target is neither published nor installed.
#[test]
fn a_release_without_a_sha256_is_none() {
    let World { mut fake, mut device } = World::new();
    let mut product = fake.product();
    product.version += 1;
    let target: &mut Target = product.targets.get_mut("pump/2.0.0.json").expect("a release");
    target.sha256 = None;
    target.other_hashes.insert("sha512".to_owned(), "00".repeat(64));
    let again = Targets::parse(PRODUCT, &fake::signed(&product, &[&fake.keys.stranger]));
    assert_eq!(again.map(|body| body.to_json()), Ok(product.to_json()), "what others sign by is kept");
    fake.set_product(&product, 3);
    let checked = fake.repository.check(NOW).map(drop);
    assert_eq!(checked.map_err(|e| e.code()), Err("METADATA_FIELD_INVALID"));
    // On the device, should a server publish it all the same: the file is taken, that release is not.
    let assigned = fake.delta(fake.assignment(2, Some(2))).feed(&mut device, NOW);
    assert_eq!(assigned.map_err(|e| e.code()), Err("ASSIGNMENT_MISMATCH"));
    let honest = fake.assignment(3, Some(1));
    assert!(device.update_assignment(DEVICE, &honest, NOW).is_ok());
    assert_eq!(device.assigned(PRODUCT, DEVICE, NOW), Ok(Some(fake.release(1).clone())));
}
