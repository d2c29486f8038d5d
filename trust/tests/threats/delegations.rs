//! Who may speak for a path: searches through delegations that honest publishers never write.

use slipway_trust::fake::{self, Fake};
use slipway_trust::repo::{self, RoleSpec};
use slipway_trust::{
    DelegatedRole, Lookup, Paths, RoleKeys, SecretKey, Sha256, Signer, Target, Targets, TrustedSet,
};

use crate::world::NOW;

/// A role's file that delegates everything below `x/` to others, each with its key.
fn role(delegates: &[(&str, &SecretKey, bool)]) -> Targets {
    let mut body = Targets::empty(1, NOW.plus_days(30));
    for (name, key, terminating) in delegates {
        let key_id = body.delegations.keys.insert(key.public_key());
        body.delegations.roles.push(DelegatedRole {
            name: (*name).to_owned(),
            keys: RoleKeys { key_ids: [key_id].into(), threshold: 1 },
            terminating: *terminating,
            paths: Paths::Patterns(vec!["x/*".to_owned()]),
        });
    }
    body
}

fn with_target(mut body: Targets) -> Targets {
    let custom = serde_json::Value::Null;
    let target =
        Target { length: 1, sha256: Some(Sha256::of(b"x")), other_hashes: Default::default(), custom };
    body.targets.insert("x/file".to_owned(), target);
    body
}

/// A device that trusts this top-level file; roles are listed in the snapshot and not fed yet.
fn device(top: &Targets, roles: &[(String, Vec<u8>)]) -> TrustedSet {
    let mut fake = Fake::new(NOW);
    fake.repository.targets = fake::signed(top, &[&fake.keys.targets]);
    fake.repository.delegated = roles.iter().cloned().collect();
    fake.sign_online(2);
    let mut set = TrustedSet::from_root(&fake.repository.roots[0]).expect("a root");
    set.update_timestamp(&fake.repository.timestamp, NOW).expect("honest");
    set.update_snapshot(&fake.repository.snapshot, NOW).expect("honest");
    set.update_targets(&fake.repository.targets, NOW).expect("honest");
    set
}

/// Searches as a client does: feeds each role when it is asked for; says which those were, and the end.
fn search(
    set: &mut TrustedSet,
    roles: &[(String, Vec<u8>)],
) -> (Vec<String>, Result<Option<String>, &'static str>) {
    let mut asked = Vec::new();
    loop {
        let (delegator, wanted) = match set.find("x/file") {
            Ok(Lookup::Needs { delegator, role }) => (delegator.to_owned(), role.to_owned()),
            Ok(Lookup::Found { role, .. }) => return (asked, Ok(Some(role.to_owned()))),
            Ok(Lookup::NotFound) => return (asked, Ok(None)),
            Err(error) => return (asked, Err(error.code())),
        };
        asked.push(wanted.clone());
        let (_, bytes) = roles.iter().find(|(name, _)| *name == wanted).expect("a role of the test");
        if let Err(error) = set.update_delegated(&delegator, &wanted, bytes, NOW) {
            return (asked, Err(error.code()));
        }
    }
}

fn named(name: &str, body: &Targets, key: &SecretKey) -> (String, Vec<u8>) {
    (name.to_owned(), fake::signed(body, &[key]))
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

/// Row 28.
#[test]
fn the_first_in_order_of_delegation_is_found() {
    let (a, b, c) = (key(31), key(32), key(33));
    let roles = [
        named("a", &role(&[("c", &c, false)]), &a),
        named("b", &with_target(role(&[])), &b),
        named("c", &with_target(role(&[])), &c),
    ];
    let mut set = device(&role(&[("a", &a, false), ("b", &b, false)]), &roles);
    let (asked, found) = search(&mut set, &roles);
    assert_eq!((asked.join(" ").as_str(), found), ("a c", Ok(Some("c".to_owned()))), "depth first");
}

/// Row 28.
#[test]
fn who_terminates_has_the_last_word() {
    let (a, b) = (key(31), key(32));
    let roles = [named("a", &role(&[]), &a), named("b", &with_target(role(&[])), &b)];
    let mut set = device(&role(&[("a", &a, true), ("b", &b, false)]), &roles);
    let (asked, found) = search(&mut set, &roles);
    assert_eq!((asked.join(" ").as_str(), found), ("a", Ok(None)), "b is never asked");
}

/// Row 27.
#[test]
fn a_second_delegator_needs_signatures_of_the_keys_it_names() {
    let (a, b, other) = (key(31), key(32), key(33));
    // The top trusts b with b's key; a, which is asked first, says that b's key is another.
    let roles = [named("a", &role(&[("b", &other, false)]), &a), named("b", &with_target(role(&[])), &b)];
    let mut set = device(&role(&[("a", &a, false), ("b", &b, false)]), &roles);
    let (asked, found) = search(&mut set, &roles);
    assert_eq!((asked.join(" ").as_str(), found), ("a b", Err("SIGNATURES_MISSING")));
    assert!(set.update_delegated("targets", "b", &roles[1].1, NOW).is_ok(), "by the other way it is signed");
}

/// Row 28.
#[test]
fn a_circle_ends() {
    let (a, b) = (key(31), key(32));
    let roles = [
        named("a", &role(&[("b", &b, false), ("a", &a, false)]), &a),
        named("b", &role(&[("a", &a, false)]), &b),
    ];
    let mut set = device(&role(&[("a", &a, false)]), &roles);
    let (asked, found) = search(&mut set, &roles);
    assert_eq!((asked.join(" ").as_str(), found), ("a b", Ok(None)));
}

/// Row 28.
#[test]
fn a_search_visits_32_delegated_roles_and_no_more() {
    for (length, expected) in [(32, Ok(Some("r31".to_owned()))), (33, Err("TOO_MANY_DELEGATIONS"))] {
        let key = key(31);
        let names: Vec<String> = (0..length).map(|n| format!("r{n}")).collect();
        let body = |n: usize| match names.get(n + 1) {
            Some(next) => role(&[(next, &key, false)]),
            None => with_target(role(&[])),
        };
        let roles: Vec<_> = (0..length).map(|n| named(&names[n], &body(n), &key)).collect();
        let mut set = device(&role(&[("r0", &key, false)]), &roles);
        assert_eq!(search(&mut set, &roles).1, expected, "{length}");
    }
}

/// Row 23.
#[test]
fn a_product_is_not_signed_by_the_publishers_of_another() {
    let (pump, fan, director) = (key(31), key(32), key(33));
    let specs = [("pump", &pump), ("fan", &fan)]
        .map(|(name, key)| (name.to_owned(), RoleSpec::single(key.public_key())));
    let top =
        repo::targets(1, NOW.plus_days(30), &RoleSpec::single(director.public_key()), &specs).expect("valid");
    let roles = [named("pump", &role(&[]), &fan), named("fan", &role(&[]), &fan)];
    let mut set = device(&top, &roles);
    assert_eq!(set.update_product("pump", &roles[0].1, NOW).map_err(|e| e.code()), Err("SIGNATURES_MISSING"));
    assert!(set.update_product("fan", &roles[1].1, NOW).is_ok());
    assert_eq!(
        set.update_product("valve", &roles[1].1, NOW).map_err(|e| e.code()),
        Err("ROLE_NOT_IN_SNAPSHOT")
    );
    assert_eq!(set.find("valve/1.0.json"), Ok(Lookup::NotFound), "nobody may speak for it");
}
