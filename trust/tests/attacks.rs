//! What attackers try, and what a device makes of it. Each case of the directory is refused by its
//! own code, changes nothing, and does not keep the next honest check-in from working.

use slipway_trust::fake::{self, DEVICE, Delta, Fake, HARDWARE, PRODUCT, attacks};
use slipway_trust::repo::{self, Body as _, ReleaseRules, RoleSpec};
use slipway_trust::{
    Change, Date, DeviceFacts, Error, Lookup, Manifest, Root, RootStep, SecretKey, Signer, Stored, Targets,
    Timestamp, TrustedSet, check_release,
};

const NOW: Date = Date::from_unix(1_795_305_600);

fn fake() -> Fake {
    Fake::new(NOW)
}

fn device_with_assignment(fake: &Fake, version: u64, counter: Option<u64>) -> TrustedSet {
    let mut set = fake.device();
    let delta = Delta { assignment: fake.assignment(version, counter), ..Delta::default() };
    delta.feed(&mut set, NOW).expect("honest");
    set
}

#[test]
fn every_attack_is_refused_by_its_name_and_changes_nothing() {
    let fake = fake();
    for attack in attacks(&fake) {
        let mut set = fake.device();
        let result = attack.delta.feed(&mut set, NOW);
        assert_eq!(result.as_ref().map_err(Error::code), Err(attack.code), "{}: {result:?}", attack.name);
        assert!(Error::CODES.contains(&attack.code), "{}", attack.name);

        // The owners answer with newer versions of everything: a liar with online keys may have spent some.
        let mut later = fake.clone();
        let mut top = Targets::parse("targets", &fake.repository.targets).expect("its own bytes");
        let mut product = fake.product();
        (top.version, product.version) = (9, 9);
        later.repository.targets = fake::signed(&top, &[&fake.keys.targets]);
        later.set_product(&product, 9);
        let honest = later.delta(later.assignment(9, Some(2))).feed(&mut set, NOW);
        assert_eq!(honest, Ok(Some(fake.release(2).clone())), "after {}", attack.name);
    }
}

#[test]
fn a_new_device_ends_on_what_both_sign() {
    let fake = fake();
    let set = fake.repository.check(NOW).expect("honest");
    assert_eq!(set.assigned(PRODUCT, DEVICE, NOW), Ok(None), "nothing is assigned yet");
    let set = device_with_assignment(&fake, 2, Some(2));
    assert_eq!(set.assigned(PRODUCT, DEVICE, NOW), Ok(Some(fake.release(2).clone())));
    assert_eq!(set.time_floor(), Some(NOW));
    let manifest = &fake.manifests["pump/2.0.0.json"];
    assert!(Manifest::verify(fake.release(2), manifest).is_ok());
    assert_eq!(
        Manifest::verify(fake.release(2), &fake.manifests["pump/1.0.0.json"]).map_err(|e| e.code()),
        Err("MANIFEST_MISMATCH"),
        "parts of two releases cannot be mixed"
    );
}

#[test]
fn a_replayed_assignment_is_refused_and_an_equal_one_is_nothing_new() {
    let fake = fake();
    let mut set = device_with_assignment(&fake, 5, Some(2));
    for (version, counter) in [(4, Some(1)), (4, None), (1, Some(1))] {
        let replayed = set.update_assignment(DEVICE, &fake.assignment(version, counter), NOW);
        assert_eq!(replayed.map_err(|e| e.code()), Err("METADATA_ROLLED_BACK"));
    }
    assert_eq!(set.update_assignment(DEVICE, &fake.assignment(5, Some(1)), NOW), Ok(Change::Unchanged));
    assert_eq!(set.assigned(PRODUCT, DEVICE, NOW), Ok(Some(fake.release(2).clone())));
    assert_eq!(set.update_assignment(DEVICE, &fake.assignment(6, None), NOW), Ok(Change::Accepted));
    assert_eq!(set.assigned(PRODUCT, DEVICE, NOW), Ok(None));
}

#[test]
fn hardware_floor_and_stepping_stone_bind_a_server_that_holds_every_online_key() {
    let mut fake = fake();
    let mut product = fake.product();
    product.version += 1;
    let bytes = fake::manifest("3.0.0", 3).to_bytes().expect("valid");
    let rules = ReleaseRules { floor: 2, min_from: 2 };
    let three = product.add_release(&fake::manifest("3.0.0", 3), &bytes, rules).expect("newer");
    fake.releases.push(three);
    fake.set_product(&product, 3);
    let refusal = |counter: u64, hardware: &str, installed: u64, floor: u64| {
        let mut set = TrustedSet::from_root(&fake.repository.roots[0]).expect("a root");
        let entry = fake.delta(fake.assignment(1, Some(counter))).feed(&mut set, NOW);
        let entry = entry.expect("signed by all").expect("assigned");
        check_release(&entry, &DeviceFacts { product: PRODUCT, hardware, installed, floor })
            .map_err(|r| r.code())
    };
    assert_eq!(refusal(3, HARDWARE, 2, 0), Ok(()));
    assert_eq!(refusal(3, "gw-z", 2, 0), Err("HARDWARE_MISMATCH"));
    assert_eq!(refusal(3, HARDWARE, 1, 0), Err("STEPPING_STONE_REQUIRED"));
    assert_eq!(refusal(1, HARDWARE, 3, 2), Err("BELOW_FLOOR"));
    assert_eq!(refusal(2, HARDWARE, 3, 2), Ok(()), "an operator may go back as far as the floor");
}

// ---- the root chain ----------------------------------------------------------------------------

/// Root `version` with these online keys, signed by the two root keys that never change here.
fn root(fake: &Fake, version: u64, expires: Date) -> Vec<u8> {
    let body = repo::root(version, expires, &fake::root_keys(&fake.keys));
    fake::signed(&body, &[&fake.keys.root[0], &fake.keys.root[2]])
}

#[test]
fn expired_roots_on_the_way_are_taken_and_the_last_is_judged() {
    let fake = fake();
    let mut set = TrustedSet::from_root(&fake.repository.roots[0]).expect("a root");
    for version in 2..=9 {
        let step = set.update_root(&root(&fake, version, Date::from_unix(1)));
        assert_eq!(step, Ok(RootStep { version, dropped: Vec::new() }));
        assert_eq!(set.finish_root(NOW).map_err(|e| e.code()), Err("METADATA_EXPIRED"));
        let stale = set.update_timestamp(&fake.repository.timestamp, NOW);
        assert_eq!(
            stale.map_err(|e| e.code()),
            Err("METADATA_EXPIRED"),
            "nothing is taken below an expired root"
        );
    }
    set.update_root(&root(&fake, 10, NOW.plus_days(1))).expect("follows");
    assert_eq!(set.finish_root(NOW), Ok(()));
    assert_eq!(set.update_timestamp(&fake.repository.timestamp, NOW), Ok(Change::Accepted));
}

#[test]
fn a_chain_of_1024_roots_is_walked_and_no_longer_one() {
    let fake = fake();
    let mut set = TrustedSet::from_root(&fake.repository.roots[0]).expect("a root");
    for version in 2..=1025 {
        set.update_root(&root(&fake, version, NOW.plus_days(1))).expect("follows");
    }
    let one_more = set.update_root(&root(&fake, 1026, NOW.plus_days(1)));
    assert_eq!(one_more.map_err(|e| e.code()), Err("ROOT_CHAIN_TOO_LONG"));
}

#[test]
fn keys_of_tomorrow_beside_a_threshold_of_today_are_no_obstacle() {
    let fake = fake();
    let mut body = repo::root(2, NOW.plus_days(400), &fake::root_keys(&fake.keys)).to_json();
    body["keys"]["pq"] = serde_json::json!({
        "keytype": "ml-dsa", "scheme": "ml-dsa-65", "keyval": {"public": "long"}, "x-keyowner": "@alice",
    });
    body["roles"]["root"]["keyids"].as_array_mut().expect("a list").push("pq".into());
    body["roles"]["mirrors"] = serde_json::json!({"keyids": ["pq"], "threshold": 1});
    body["x-unknown"] = serde_json::json!({"anything": [1, 2]});
    let next = fake::signed_value(body, &[&fake.keys.root[0], &fake.keys.root[1]]);
    let mut set = fake.device();
    assert_eq!(set.update_root(&next).map(|step| step.version), Ok(2));
}

#[test]
fn one_garbage_signature_beside_enough_valid_ones_is_no_obstacle() {
    let fake = fake();
    let mut envelope: serde_json::Value =
        serde_json::from_slice(&root(&fake, 2, NOW.plus_days(1))).expect("its own bytes");
    let list = envelope["signatures"].as_array_mut().expect("a list");
    list.push(serde_json::json!({"keyid": fake.keys.root[1].public_key().key_id(), "sig": ""}));
    list.push(serde_json::json!({"keyid": "nobody", "sig": "zz"}));
    let bytes = slipway_trust::canon::to_bytes(&envelope).expect("integers only");
    assert_eq!(fake.device().update_root(&bytes).map(|step| step.version), Ok(2));
}

#[test]
fn an_initial_root_has_to_sign_itself() {
    let fake = fake();
    let body = Root::parse(&fake.repository.roots[0]).expect("its own bytes");
    let code = |bytes: &[u8]| TrustedSet::from_root(bytes).map(drop).map_err(|e| e.code());
    assert_eq!(code(&fake::signed(&body, &[])), Err("ROOT_NOT_SIGNED_BY_ITSELF"));
    assert_eq!(code(&fake::signed(&body, &[&fake.keys.root[0]])), Err("ROOT_NOT_SIGNED_BY_ITSELF"));
    assert_eq!(code(b"{}"), Err("METADATA_FIELD_INVALID"));
    assert_eq!(code(b""), Err("METADATA_MALFORMED"));
    assert_eq!(code(&vec![b' '; 600 * 1024]), Err("METADATA_TOO_LARGE"));
}

// ---- recovery from stolen online keys ----------------------------------------------------------

const FAR: u64 = (1 << 53) - 1;

#[test]
fn rotating_the_online_keys_undoes_a_fast_forward() {
    for stolen in ["timestamp", "snapshot"] {
        let mut fake = fake();
        fake.sign_online(FAR);
        let mut set = fake.device();
        assert_eq!(set.versions(PRODUCT).timestamp, FAR);

        let fresh = SecretKey::from_seed([99; 32]);
        if stolen == "timestamp" {
            fake.keys.timestamp = fresh
        } else {
            fake.keys.snapshot = fresh
        }
        let next = root(&fake, 2, NOW.plus_days(400));
        let step = set.update_root(&next).expect("follows");
        assert_eq!(step.dropped, ["timestamp", "snapshot"], "{stolen}");
        fake.sign_online(3);
        assert_eq!(fake.delta(Vec::new()).feed(&mut set, NOW), Ok(Some(fake.release(1).clone())));
        assert_eq!(set.versions(PRODUCT).snapshot, 3);
    }
}

#[test]
fn the_power_may_go_between_a_new_root_and_the_files_it_drops() {
    let mut fake = fake();
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

#[test]
fn rotating_the_director_undoes_a_fast_forward_of_assignments() {
    let mut fake = fake();
    let mut set = device_with_assignment(&fake, FAR, Some(1));
    fake.keys.director = SecretKey::from_seed([99; 32]);
    let mut top = Targets::parse("targets", &fake.repository.targets).expect("its own bytes");
    let product_keys =
        RoleSpec { keys: fake.keys.publishers.iter().map(Signer::public_key).collect(), threshold: 2 };
    let director = RoleSpec::single(fake.keys.director.public_key());
    top = repo::targets(top.version + 1, top.expires, &director, &[(PRODUCT.to_owned(), product_keys)])
        .expect("valid");
    fake.repository.targets = fake::signed(&top, &[&fake.keys.targets]);
    let base = fake::signed(&Targets::empty(2, NOW.plus_days(30)), &[&fake.keys.director]);
    fake.repository.delegated.insert("director".to_owned(), base);
    fake.sign_online(3);
    assert_eq!(
        fake.delta(fake.assignment(1, Some(2))).feed(&mut set, NOW),
        Ok(Some(fake.release(2).clone()))
    );
}

// ---- what is stored ----------------------------------------------------------------------------

fn stored<'a>(fake: &'a Fake, products: &'a [(&'a str, &'a [u8])], assignment: &'a [u8]) -> Stored<'a> {
    Stored {
        timestamp: Some(&fake.repository.timestamp),
        snapshot: Some(&fake.repository.snapshot),
        targets: Some(&fake.repository.targets),
        products,
        assignment: Some(assignment),
    }
}

#[test]
fn stored_files_are_floors_however_old() {
    let mut fake = fake();
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
    later.repository.roots = vec![root.clone(), crate::root(&later, 2, eight_years.plus_days(400))];
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

#[test]
fn a_bad_stored_file_is_left_out_and_never_an_obstacle() {
    let fake = fake();
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

#[test]
fn an_assignment_stays_a_floor_while_targets_are_missing() {
    let fake = fake();
    let assignment = fake.assignment(7, Some(2));
    let files = Stored { assignment: Some(&assignment), ..Stored::default() };
    let (mut set, left_out) = TrustedSet::load(&fake.repository.roots[0], files, DEVICE).expect("a root");
    assert_eq!(left_out, []);
    assert!(set.assigned(PRODUCT, DEVICE, NOW).is_err(), "it is not believed yet");
    let replay = fake.delta(fake.assignment(6, Some(1))).feed(&mut set, NOW);
    assert_eq!(replay.map_err(|e| e.code()), Err("METADATA_ROLLED_BACK"));
}

// ---- order and freshness -----------------------------------------------------------------------

#[test]
fn pieces_out_of_order_wait_for_what_vouches_for_them() {
    let fake = fake();
    let repository = &fake.repository;
    let product = &repository.delegated[PRODUCT];
    let mut set = TrustedSet::from_root(&repository.roots[0]).expect("a root");
    let missing = Err("METADATA_MISSING");
    assert_eq!(set.update_snapshot(&repository.snapshot, NOW).map_err(|e| e.code()), missing);
    assert_eq!(set.update_targets(&repository.targets, NOW).map_err(|e| e.code()), missing);
    assert_eq!(set.update_product(PRODUCT, product, NOW).map_err(|e| e.code()), missing);
    assert_eq!(set.update_assignment(DEVICE, &fake.assignment(1, None), NOW).map_err(|e| e.code()), missing);
    set.update_timestamp(&repository.timestamp, NOW).expect("honest");
    set.update_snapshot(&repository.snapshot, NOW).expect("honest");
    assert_eq!(set.update_product(PRODUCT, product, NOW).map_err(|e| e.code()), missing);
    set.update_targets(&repository.targets, NOW).expect("honest");
    let unlisted = set.update_product("gateway", product, NOW);
    assert_eq!(unlisted.map_err(|e| e.code()), Err("ROLE_NOT_IN_SNAPSHOT"));
    assert_eq!(set.find("pump/2.0.0.json"), Ok(Lookup::Needs { delegator: "targets", role: PRODUCT }));
    set.update_product(PRODUCT, product, NOW).expect("honest");
    assert!(matches!(set.find("pump/2.0.0.json"), Ok(Lookup::Found { role: PRODUCT, .. })));
    assert_eq!(set.find("pump/9.json"), Ok(Lookup::NotFound));
    assert_eq!(set.find("../x").map_err(|e| e.code()), Err("TARGET_PATH_INVALID"));
}

#[test]
fn a_server_that_says_unchanged_for_ever_makes_a_device_stale() {
    let fake = fake();
    let set = fake.device();
    let week = repo::lifetime::TIMESTAMP_DAYS;
    assert!(set.assigned(PRODUCT, DEVICE, NOW.plus_days(week).plus_seconds(-1)).is_ok());
    let stale = set.assigned(PRODUCT, DEVICE, NOW.plus_days(week));
    assert!(matches!(stale, Err(Error::Expired { document, .. }) if document == "timestamp"));
}

#[test]
fn an_equal_timestamp_is_dropped_without_a_word() {
    let fake = fake();
    let mut set = fake.device();
    let mut other = Timestamp::parse(&fake.repository.timestamp).expect("its own bytes");
    other.expires = NOW.plus_days(900);
    let same_version = fake::signed(&other, &[&fake.keys.timestamp]);
    assert_eq!(set.update_timestamp(&same_version, NOW), Ok(Change::Unchanged));
    assert_eq!(set.timestamp().map(|held| &held.bytes), Some(&fake.repository.timestamp));
}

#[test]
fn half_a_delta_leaves_a_set_that_asks_for_the_rest() {
    let mut fake = fake();
    let mut set = fake.device();
    let mut product = fake.product();
    product.version += 1;
    fake.set_product(&product, 3);
    let half = Delta { product: Vec::new(), ..fake.delta(fake.assignment(2, Some(2))) };
    let refused = half.feed(&mut set, NOW);
    assert_eq!(refused.map_err(|e| e.code()), Err("METADATA_VERSION_MISMATCH"));
    let versions = set.versions(PRODUCT);
    assert_eq!((versions.snapshot, versions.product, versions.assignment), (3, 2, 2));
    let rest = Delta { product: fake.repository.delegated[PRODUCT].clone(), ..Delta::default() };
    assert_eq!(rest.feed(&mut set, NOW), Ok(Some(fake.release(2).clone())));
}
