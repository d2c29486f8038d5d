//! What a director says: never more than the publishers did, never for another device, never again.

use slipway_trust::fake::{self, DEVICE, Fake, PRODUCT};
use slipway_trust::repo::{self, RoleSpec};
use slipway_trust::{Change, SecretKey, Signer, Targets};

use crate::world::{FAR, NOW, World, attacks};

attacks! {
    /// Row 31.
    names_what_nobody_published: "assignment nobody published",
    /// Row 32.
    of_another_length_than_published: "assignment of another length",
    /// Row 32.
    of_other_bytes_than_published: "assignment of other bytes",
    /// Row 33.
    for_another_device: "assignment of another device",
    /// Row 33.
    for_nobody: "assignment for nobody",
    /// Row 34.
    of_two_releases: "assignment of two releases",
    /// Row 34.
    that_delegates: "assignment that delegates",
    /// Row 35.
    that_is_the_directors_base_file: "base file as an assignment",
    /// Row 35.
    signed_by_another_online_key: "assignment signed by the timestamp key",
    /// Row 35.
    signed_by_a_stranger: "assignment of a stranger",
    /// Row 36.
    outside_its_folder: "assignment outside its folder",
    /// Rows 30 and 36.
    that_climbs_out_of_its_folder: "assignment that climbs",
    /// Row 37.
    expired: "assignment expired",
    /// Row 44.
    of_another_product: "assignment of another product",
    /// Row 53.
    signed_after_the_end_of_the_root: "assignment from after the root's end",
}

/// Row 37.
#[test]
fn an_older_one_is_refused_and_an_equal_one_is_nothing_new() {
    let mut world = World::assigned(Fake::new(NOW), 5, Some(2));
    let older = world.fake.assignment(4, Some(1));
    world.refuses_step("METADATA_ROLLED_BACK", |device| device.update_assignment(DEVICE, &older, NOW));
    let equal = world.fake.assignment(5, Some(1));
    assert_eq!(world.device.update_assignment(DEVICE, &equal, NOW), Ok(Change::Unchanged));
    let release = world.device.assigned(PRODUCT, DEVICE, NOW);
    assert_eq!(release, Ok(Some(world.fake.release(2).clone())));
    world.believes_the_next_publication();
}

/// Row 37.
#[test]
fn one_that_is_held_expires_too() {
    let mut fake = Fake::new(NOW);
    let late = NOW.plus_days(repo::lifetime::ASSIGNMENT_DAYS);
    let world = World::new();
    // All else is fresh on that day.
    fake.now = late;
    fake.sign_online(3);
    let mut device = world.device;
    let delta = fake.delta(Vec::new());
    assert_eq!(
        delta
            .feed(&mut device, late)
            .map_err(|e| e.to_string())
            .map_err(|text| text.starts_with("assignment expired")),
        Err(true)
    );
    let fresh = fake.assignment(2, Some(2));
    assert_eq!(device.update_assignment(DEVICE, &fresh, late), Ok(Change::Accepted));
    assert_eq!(device.assigned(PRODUCT, DEVICE, late), Ok(Some(fake.release(2).clone())));
}

/// Row 38.
#[test]
fn a_hold_from_before_is_replayed() {
    let mut world = World::assigned(Fake::new(NOW), 5, Some(2));
    let hold = world.fake.assignment(4, None);
    world.refuses("METADATA_ROLLED_BACK", |device| device.update_assignment(DEVICE, &hold, NOW));
}

/// Row 38: a hold that is new is obeyed.
#[test]
fn a_new_hold_is_no_replay() {
    let mut world = World::assigned(Fake::new(NOW), 5, Some(2));
    let hold = world.fake.assignment(6, None);
    assert_eq!(world.device.update_assignment(DEVICE, &hold, NOW), Ok(Change::Accepted));
    assert_eq!(world.device.assigned(PRODUCT, DEVICE, NOW), Ok(None));
    world.believes_the_next_publication();
}

/// Row 25.
#[test]
fn rotating_the_director_undoes_a_fast_forward() {
    let World { mut fake, mut device } = World::assigned(Fake::new(NOW), FAR, Some(1));
    fake.keys.director = SecretKey::from_seed([99; 32]);
    let top = Targets::parse("targets", &fake.repository.targets).expect("its own bytes");
    let publishers =
        RoleSpec { keys: fake.keys.publishers.iter().map(Signer::public_key).collect(), threshold: 2 };
    let director = RoleSpec::single(fake.keys.director.public_key());
    let products = [(PRODUCT.to_owned(), publishers)];
    let top = repo::targets(top.version + 1, top.expires, &director, &products).expect("valid names");
    fake.repository.targets = fake::signed(&top, &[&fake.keys.targets]);
    let base = fake::signed(&Targets::empty(2, NOW.plus_days(30)), &[&fake.keys.director]);
    fake.repository.delegated.insert("director".to_owned(), base);
    fake.sign_online(3);
    let assigned = fake.delta(fake.assignment(1, Some(2))).feed(&mut device, NOW);
    assert_eq!(assigned, Ok(Some(fake.release(2).clone())));
}
