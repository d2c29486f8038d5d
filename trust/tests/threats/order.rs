//! Pieces in the wrong order, or only some of them.

use slipway_trust::fake::{DEVICE, Delta, Fake, PRODUCT};
use slipway_trust::{Lookup, Manifest, TrustedSet};

use crate::world::{NOW, World};

/// Row 57.
#[test]
fn pieces_out_of_order_wait_for_what_vouches_for_them() {
    let fake = Fake::new(NOW);
    let set = TrustedSet::from_root(&fake.repository.roots[0]).expect("a root");
    let mut world = World { fake, device: set };
    let repository = world.fake.repository.clone();
    let product = &repository.delegated[PRODUCT];
    let assignment = world.fake.assignment(1, None);
    let missing = "METADATA_MISSING";
    world.refuses_step(missing, |device| device.update_snapshot(&repository.snapshot, NOW));
    world.refuses_step(missing, |device| device.update_targets(&repository.targets, NOW));
    world.refuses_step(missing, |device| device.update_product(PRODUCT, product, NOW));
    world.refuses_step(missing, |device| device.update_assignment(DEVICE, &assignment, NOW));
    world.device.update_timestamp(&repository.timestamp, NOW).expect("honest");
    world.device.update_snapshot(&repository.snapshot, NOW).expect("honest");
    world.refuses_step(missing, |device| device.update_product(PRODUCT, product, NOW));
    world.device.update_targets(&repository.targets, NOW).expect("honest");
    world.refuses_step("ROLE_NOT_IN_SNAPSHOT", |device| device.update_product("gateway", product, NOW));
    let needed = Lookup::Needs { delegator: "targets", role: PRODUCT };
    assert_eq!(world.device.find("pump/2.0.0.json"), Ok(needed));
    world.device.update_product(PRODUCT, product, NOW).expect("honest");
    assert!(matches!(world.device.find("pump/2.0.0.json"), Ok(Lookup::Found { role: PRODUCT, .. })));
    world.believes_the_next_publication();
}

/// Row 57.
#[test]
fn half_a_delta_leaves_a_device_that_asks_for_the_rest() {
    let World { mut fake, mut device } = World::new();
    let mut product = fake.product();
    product.version += 1;
    fake.set_product(&product, 3);
    let half = Delta { product: Vec::new(), ..fake.delta(fake.assignment(2, Some(2))) };
    let refused = half.feed(&mut device, NOW);
    assert_eq!(refused.map_err(|e| e.code()), Err("METADATA_VERSION_MISMATCH"));
    let versions = device.versions(PRODUCT);
    assert_eq!(
        (versions.snapshot, versions.product, versions.assignment),
        (3, 2, 2),
        "what verified is kept"
    );
    let rest = Delta { product: fake.repository.delegated[PRODUCT].clone(), ..Delta::default() };
    assert_eq!(rest.feed(&mut device, NOW), Ok(Some(fake.release(2).clone())));
}

/// The honest way, for comparison: from nothing but a root to what both sign.
#[test]
fn a_new_device_ends_on_what_both_sign() {
    let fake = Fake::new(NOW);
    let set = fake.repository.check(NOW).expect("honest");
    assert_eq!(set.assigned(PRODUCT, DEVICE, NOW), Ok(None), "nothing is assigned yet");
    let world = World::assigned(fake, 2, Some(2));
    let release = world.fake.release(2);
    assert_eq!(world.device.assigned(PRODUCT, DEVICE, NOW), Ok(Some(release.clone())));
    assert_eq!(world.device.time_floor(), Some(NOW));
    assert!(Manifest::verify(release, &world.fake.manifests["pump/2.0.0.json"]).is_ok());
}
