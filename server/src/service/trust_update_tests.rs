use slipway_trust::{
    Date, SecretKey, Signer, Targets,
    fake::{self, PRODUCT},
    repo::{self, RoleSpec},
};

use super::*;
use crate::service::{
    Error, assignments,
    fake_trust::{PUBLISHER, Publisher, version},
    testing::{TestContext, enrolled},
};

async fn ready() -> (TestContext, Publisher) {
    let ctx = Context::for_test().await;
    let mut publisher = Publisher::initialize(&ctx).await;
    publisher.publish(&ctx, "1.0.0", 1).await;
    (ctx, publisher)
}

/// The root that follows, as `change` leaves it, signed by these keys.
fn root(
    ctx: &Context,
    publisher: &Publisher,
    change: impl FnOnce(&mut repo::RootKeys),
    by: &[&dyn Signer],
) -> Vec<u8> {
    let version = ctx.trust.versions("").root + 1;
    let mut keys = fake::root_keys(&publisher.fake.keys);
    change(&mut keys);
    let ends = Date::from_millis(ctx.clock.now().millis()).plus_days(400);
    fake::signed(&repo::root(version, ends, &keys), by)
}

/// The top-level targets that follow, as `change` leaves them.
fn targets(ctx: &Context, change: impl FnOnce(&mut Targets), by: &[&dyn Signer]) -> Vec<u8> {
    let mut body = ctx.trust.current().unwrap().trusted.targets().unwrap().body.clone();
    body.version += 1;
    change(&mut body);
    fake::signed(&body, by)
}

async fn refusal(ctx: &Context, update: TrustUpdate<'_>) -> Refusal {
    match super::update(ctx, PUBLISHER, update).await {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn code(refusal: &Refusal) -> &str {
    refusal.facts.get("code").map_or("", String::as_str)
}

#[tokio::test]
async fn a_root_follows_and_none_is_ever_deleted() {
    let (ctx, publisher) = ready().await;
    let [one, two, _] = &publisher.fake.keys.root;
    for version in 2..=4 {
        let next = root(&ctx, &publisher, |_| {}, &[one, two]);
        update(&ctx, PUBLISHER, TrustUpdate { root: &next, ..TrustUpdate::default() }).await.unwrap();
        update(&ctx, PUBLISHER, TrustUpdate { root: &next, ..TrustUpdate::default() }).await.unwrap();
        assert_eq!(ctx.trust.versions("").root, version, "repeating it changes nothing");
    }
    for number in 1..=4 {
        assert!(ctx.trust.metadata_file(&format!("{number}.root.json")).is_some(), "{number}");
    }
    // What a device that slept lacks: all roots, and everything that they may have taken away.
    let held = slipway_trust::Versions { root: 1, ..ctx.trust.versions(PRODUCT) };
    let delta = ctx.trust.delta_for(&held, PRODUCT, None, ctx.clock.now()).unwrap();
    assert_eq!(delta.roots.len(), 3);
    assert!(delta.timestamp.is_some() && delta.targets.is_some() && delta.product.is_some());
}

#[tokio::test]
async fn too_few_of_either_set_of_keys_and_gaps_are_refused() {
    let (ctx, publisher) = ready().await;
    let keys = &publisher.fake.keys;
    let [one, two, three] = &keys.root;
    let rotated = |by: &[&dyn Signer]| {
        let fresh = RoleSpec { keys: vec![keys.stranger.public_key(), three.public_key()], threshold: 2 };
        root(&ctx, &publisher, |roles| roles.root = fresh, by)
    };
    for (why, root, expected) in [
        ("only the new", rotated(&[&keys.stranger, three]), "for root 1, is signed by 1 of the 2"),
        ("only the old", rotated(&[one, two]), "for itself, is signed by 0 of the 2"),
        ("one of each", rotated(&[one, &keys.stranger]), "for root 1, is signed by 1 of the 2"),
    ] {
        let refused = refusal(&ctx, TrustUpdate { root: &root, ..TrustUpdate::default() }).await;
        assert_eq!(
            (refused.reason, code(&refused)),
            (Reason::MetadataRefused, "SIGNATURES_MISSING"),
            "{why}"
        );
        assert!(refused.message.contains(expected), "{why}: {refused}");
    }
    let ends = Date::from_millis(ctx.clock.now().millis()).plus_days(400);
    let gap = fake::signed(&repo::root(3, ends, &fake::root_keys(keys)), &[one, two]);
    let refused = refusal(&ctx, TrustUpdate { root: &gap, ..TrustUpdate::default() }).await;
    assert_eq!(code(&refused), "ROOT_VERSION_WRONG");
    let past = fake::signed(&repo::root(2, Date::from_unix(1), &fake::root_keys(keys)), &[one, two]);
    let refused = refusal(&ctx, TrustUpdate { root: &past, ..TrustUpdate::default() }).await;
    assert_eq!(code(&refused), "METADATA_EXPIRED");
    let same = repo::root(1, ends.plus_days(1), &fake::root_keys(keys));
    let same = fake::signed(&same, &[one, two]);
    let refused = refusal(&ctx, TrustUpdate { root: &same, ..TrustUpdate::default() }).await;
    assert_eq!(refused.reason, Reason::PublishedMeanwhile);
    assert_eq!(ctx.trust.versions("").root, 1);
    let good = rotated(&[one, two, &keys.stranger, three]);
    update(&ctx, PUBLISHER, TrustUpdate { root: &good, validate_only: true, ..TrustUpdate::default() })
        .await
        .unwrap();
    assert_eq!(ctx.trust.versions("").root, 1, "only tried");
    update(&ctx, PUBLISHER, TrustUpdate { root: &good, ..TrustUpdate::default() }).await.unwrap();
    assert_eq!(ctx.trust.versions("").root, 2);
}

#[tokio::test]
async fn publishers_change_only_with_their_product_signed_anew() {
    let (ctx, mut publisher) = ready().await;
    let keys = publisher.fake.keys.clone();
    let fresh = RoleSpec { keys: vec![keys.stranger.public_key()], threshold: 1 };
    let signers: [&dyn Signer; 1] = [&keys.targets];
    let new = targets(&ctx, |body| body.delegate_product(PRODUCT, &fresh).unwrap(), &signers);
    let refused = refusal(&ctx, TrustUpdate { targets: &new, ..TrustUpdate::default() }).await;
    assert!(refused.message.contains("the metadata of pump is signed by 0 of the 1 keys"), "{refused}");

    publisher.product.version += 1;
    let product = fake::signed(&publisher.product, &[&keys.stranger]);
    let empty = Targets::empty(publisher.product.version, publisher.product.expires);
    let emptied = fake::signed(&empty, &[&keys.stranger]);
    let refused = refusal(
        &ctx,
        TrustUpdate { targets: &new, products: vec![(PRODUCT, &emptied)], ..TrustUpdate::default() },
    )
    .await;
    assert_eq!(code(&refused), "RELEASE_CHANGED");
    let both = TrustUpdate { targets: &new, products: vec![(PRODUCT, &product)], ..TrustUpdate::default() };
    update(&ctx, PUBLISHER, both).await.unwrap();
    assert!(ctx.trust.release(PRODUCT, &version("1.0.0")).is_some());
}

#[tokio::test]
async fn the_server_signs_with_its_new_keys_when_the_owners_name_them() {
    let (ctx, publisher) = ready().await;
    let keys = publisher.fake.keys.clone();
    let device = enrolled(&ctx, "pump-1", |_| {}).await;
    let mut tx = ctx.db.write().await.unwrap();
    let now = ctx.clock.now();
    assignments::assign(&mut tx, &ctx, "pump-1", PRODUCT, Some(&version("1.0.0")), now).await.unwrap();
    tx.commit().await.unwrap();
    ctx.devices.refresh(&ctx, "pump-1").await.unwrap();
    drop(device);

    assert!(matches!(prepare_key(&ctx, PUBLISHER, "root").await, Err(Error::Refused(_))));
    let mut fresh = Vec::new();
    for role in ONLINE_ROLES {
        fresh.push(prepare_key(&ctx, PUBLISHER, role).await.unwrap());
    }
    let [timestamp, snapshot, director] = fresh[..] else { panic!("three roles") };
    let [one, two, _] = &keys.root;
    let rename = |roles: &mut repo::RootKeys| {
        roles.timestamp = RoleSpec::single(timestamp);
        roles.snapshot = RoleSpec::single(snapshot);
    };
    let new_root = root(&ctx, &publisher, rename, &[one, two]);
    let signers: [&dyn Signer; 1] = [&keys.targets];
    let held = ctx.trust.current().unwrap().trusted.targets().unwrap().body.clone();
    let pump = RoleSpec::of(&held.authority(PRODUCT).unwrap());
    let body = repo::targets(
        held.version + 1,
        held.expires,
        &RoleSpec::single(director),
        &[(PRODUCT.to_owned(), pump)],
    );
    let new_targets = fake::signed(&body.unwrap(), &signers);
    let foreign = SecretKey::from_seed([99; 32]).public_key();
    let bad = root(&ctx, &publisher, |roles| roles.snapshot = RoleSpec::single(foreign), &[one, two]);
    let refused = refusal(&ctx, TrustUpdate { root: &bad, ..TrustUpdate::default() }).await;
    assert_eq!((code(&refused), refused.facts["role"].as_str()), ("ONLINE_KEY_NOT_NAMED", "snapshot"));

    let both = TrustUpdate { root: &new_root, targets: &new_targets, ..TrustUpdate::default() };
    update(&ctx, PUBLISHER, both).await.unwrap();
    let public = ctx.trust.keys().public().map(|(_, key)| key);
    assert_eq!((public.to_vec(), ctx.trust.ring().waiting().len()), (fresh, 0));
    // The device's assignment is signed anew with the new key when it calls.
    let entry = ctx.devices.get("pump-1").unwrap();
    assert!(entry.assignment.unwrap().due_at <= now);
    assert!(signing::renew(&ctx).await.is_ok());
}
