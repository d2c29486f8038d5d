//! The chain of roots: who may replace whom, how far a device walks, and what it believes at the end.

use serde_json::json;
use slipway_trust::fake::{self, Fake, PRODUCT};
use slipway_trust::repo::{self, Body as _};
use slipway_trust::{Change, Date, Error, Root, RootStep, SecretKey, Signer as _, TrustedSet, canon};

use crate::world::{FAR, NOW, World, attacks, held, root};

attacks! {
    /// Row 1.
    signed_only_by_new_keys: "root signed only by new keys",
    /// Row 2.
    signed_only_by_old_keys: "root signed only by old keys",
    /// Row 2.
    signed_by_fewer_than_the_threshold: "root signed by one key of two",
    /// Row 2.
    signed_by_a_stranger_in_the_place_of_an_owner: "root signed by one key and a stranger",
    /// Row 3.
    a_version_is_skipped: "root skipped",
    /// Row 3.
    a_version_is_repeated: "root unchanged",
    /// Row 4.
    one_key_signs_under_two_ids: "one key under two ids",
    /// Row 5.
    one_signature_stands_there_twice: "one signature twice",
    /// Row 6.
    a_threshold_of_nothing: "threshold of zero",
    /// Row 6.
    a_threshold_below_nothing: "threshold below zero",
}

/// Row 6. Taken, since its owners signed it, and nothing is believed below it until their next root; no
/// server publishes it.
#[test]
fn a_threshold_that_nobody_can_reach() {
    let World { mut fake, mut device } = World::new();
    let mut body = repo::root(2, NOW.plus_days(400), &fake::root_keys(&fake.keys));
    body.timestamp.threshold = 2;
    let spoilt = fake::signed(&body, &[&fake.keys.root[0], &fake.keys.root[1]]);
    assert_eq!(device.update_root(&spoilt).map(|step| step.version), Ok(2));
    fake.sign_online(3);
    let unreachable = device.update_timestamp(&fake.repository.timestamp, NOW);
    assert_eq!(unreachable.map_err(|e| e.code()), Err("SIGNATURES_MISSING"));
    device.update_root(&root(&fake, 3, NOW.plus_days(400))).expect("the owners mend it");
    assert_eq!(fake.delta(Vec::new()).feed(&mut device, NOW), Ok(Some(fake.release(1).clone())));
}

/// Row 6.
#[test]
fn a_delegation_whose_threshold_nobody_can_reach_is_not_published() {
    let mut fake = Fake::new(NOW);
    let mut top = slipway_trust::Targets::parse("targets", &fake.repository.targets).expect("its own bytes");
    let director = top.delegations.roles.iter_mut().find(|role| role.name == "director");
    director.expect("a director").keys.threshold = 2;
    fake.repository.targets = fake::signed(&top, &[&fake.keys.targets]);
    fake.repository.delegated.remove("director");
    fake.sign_online(3);
    let checked = fake.repository.check(NOW).map(drop);
    assert_eq!(checked.map_err(|e| e.code()), Err("THRESHOLD_INVALID"));
}

/// Row 7.
#[test]
fn garbage_beside_enough_valid_signatures_is_no_obstacle() {
    let mut world = World::new();
    let honest = root(&world.fake, 2, NOW.plus_days(1));
    let mut envelope: serde_json::Value = serde_json::from_slice(&honest).expect("its own bytes");
    let list = envelope["signatures"].as_array_mut().expect("a list");
    list.push(json!({"keyid": world.fake.keys.root[1].public_key().key_id(), "sig": ""}));
    list.push(json!({"keyid": "nobody", "sig": "zz"}));
    let bytes = canon::to_bytes(&envelope).expect("integers only");
    assert_eq!(world.device.update_root(&bytes).map(|step| step.version), Ok(2));
}

/// Row 8.
#[test]
fn a_key_id_is_a_name_and_not_a_digest() {
    let mut world = World::new();
    let mut body = repo::root(2, NOW.plus_days(400), &fake::root_keys(&world.fake.keys)).to_json();
    let id = world.fake.keys.timestamp.public_key().key_id();
    body["keys"]["alice"] = body["keys"][&id].take();
    body["keys"].as_object_mut().expect("an object").remove(&id);
    body["roles"]["timestamp"]["keyids"] = json!(["alice"]);
    let next = fake::signed_value(body, &[&world.fake.keys.root[0], &world.fake.keys.root[1]]);
    world.device.update_root(&next).expect("follows");
    world.fake.sign_online(3);
    let timestamp = String::from_utf8(world.fake.repository.timestamp.clone()).expect("JSON is UTF-8");
    let renamed = timestamp.replace(&id, "alice");
    assert_eq!(world.device.update_timestamp(renamed.as_bytes(), NOW), Ok(Change::Accepted));
}

/// Row 10.
#[test]
fn a_chain_of_1024_roots_is_walked_and_no_longer_one() {
    let mut world = World::new();
    for version in 2..=1025 {
        world.device.update_root(&root(&world.fake, version, NOW.plus_days(1))).expect("follows");
    }
    let one_more = root(&world.fake, 1026, NOW.plus_days(1));
    world.refuses("ROOT_CHAIN_TOO_LONG", |device| device.update_root(&one_more));
}

/// Rows 11 and 13.
#[test]
fn expired_roots_on_the_way_are_taken_and_the_last_is_judged() {
    let fake = Fake::new(NOW);
    let mut set = TrustedSet::from_root(&fake.repository.roots[0]).expect("a root");
    for version in 2..=9 {
        let step = set.update_root(&root(&fake, version, Date::from_unix(1)));
        assert_eq!(step, Ok(RootStep { version, dropped: Vec::new() }));
        assert_eq!(set.finish_root(NOW).map_err(|e| e.code()), Err("METADATA_EXPIRED"));
        let stale = set.update_timestamp(&fake.repository.timestamp, NOW);
        assert_eq!(stale.map_err(|e| e.code()), Err("METADATA_EXPIRED"), "nothing is taken below it");
        assert_eq!(held(&set)[1], None);
    }
    set.update_root(&root(&fake, 10, NOW.plus_days(1))).expect("follows");
    assert_eq!(set.finish_root(NOW), Ok(()));
    assert_eq!(set.update_timestamp(&fake.repository.timestamp, NOW), Ok(Change::Accepted));
}

/// Row 12.
#[test]
fn keys_of_tomorrow_beside_a_threshold_of_today_are_no_obstacle() {
    let mut world = World::new();
    let mut body = repo::root(2, NOW.plus_days(400), &fake::root_keys(&world.fake.keys)).to_json();
    body["keys"]["pq"] = json!({
        "keytype": "ml-dsa", "scheme": "ml-dsa-65", "keyval": {"public": "long"}, "x-keyowner": "@alice",
    });
    body["roles"]["root"]["keyids"].as_array_mut().expect("a list").push("pq".into());
    body["roles"]["mirrors"] = json!({"keyids": ["pq"], "threshold": 1});
    let next = fake::signed_value(body, &[&world.fake.keys.root[0], &world.fake.keys.root[1]]);
    assert_eq!(world.device.update_root(&next).map(|step| step.version), Ok(2));
    world.believes_the_next_publication();
}

/// Row 14.
#[test]
fn an_initial_root_has_to_sign_itself() {
    let fake = Fake::new(NOW);
    let body = Root::parse(&fake.repository.roots[0]).expect("its own bytes");
    let code = |bytes: &[u8]| TrustedSet::from_root(bytes).map(drop).map_err(|e: Error| e.code());
    assert_eq!(code(&fake::signed(&body, &[])), Err("ROOT_NOT_SIGNED_BY_ITSELF"));
    assert_eq!(code(&fake::signed(&body, &[&fake.keys.root[0]])), Err("ROOT_NOT_SIGNED_BY_ITSELF"));
    assert_eq!(code(b"{}"), Err("METADATA_FIELD_INVALID"));
    assert_eq!(code(b""), Err("METADATA_MALFORMED"));
    assert_eq!(code(&vec![b' '; 600 * 1024]), Err("METADATA_TOO_LARGE"));
}

/// Row 24.
#[test]
fn rotating_the_online_keys_undoes_a_fast_forward() {
    for stolen in ["timestamp", "snapshot"] {
        let mut fake = Fake::new(NOW);
        fake.sign_online(FAR);
        let World { mut fake, mut device } = World::of(fake);
        assert_eq!(device.versions(PRODUCT).timestamp, FAR);

        let fresh = SecretKey::from_seed([99; 32]);
        if stolen == "timestamp" {
            fake.keys.timestamp = fresh
        } else {
            fake.keys.snapshot = fresh
        }
        let step = device.update_root(&root(&fake, 2, NOW.plus_days(400))).expect("follows");
        assert_eq!(step.dropped, ["timestamp", "snapshot"], "{stolen}");
        fake.sign_online(3);
        assert_eq!(fake.delta(Vec::new()).feed(&mut device, NOW), Ok(Some(fake.release(1).clone())));
        assert_eq!(device.versions(PRODUCT).snapshot, 3);
    }
}
