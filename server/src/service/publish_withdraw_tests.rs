use slipway_trust::{
    fake::{self, PRODUCT},
    repo::ReleaseRules,
};

use super::*;
use crate::{
    model::device::Component,
    service::{
        Error, assignments,
        fake_trust::{PUBLISHER, Publisher, upload, version},
        publish::{Publication, publish},
        testing::{TestContext, enrolled},
    },
    store::assignments::assignment_get,
};

const TWO: &str = "releases/pump/2.0.0";

async fn ready() -> (TestContext, Publisher) {
    let ctx = Context::for_test().await;
    let mut publisher = Publisher::initialize(&ctx).await;
    publisher.publish(&ctx, "1.0.0", 1).await;
    publisher.publish(&ctx, "2.0.0", 2).await;
    (ctx, publisher)
}

/// The product's list without 2.0.0, signed.
fn list_without(publisher: &mut Publisher) -> Vec<u8> {
    publisher.product.targets.remove("pump/2.0.0.json").unwrap();
    publisher.product.version += 1;
    publisher.sign(&publisher.product)
}

fn asked(metadata: &[u8]) -> Withdrawal<'_> {
    Withdrawal {
        name: TWO,
        product_metadata: metadata,
        force: false,
        reason: "it eats disks",
        validate_only: false,
    }
}

async fn refusal(ctx: &Context, asked: Withdrawal<'_>) -> Refusal {
    match withdraw(ctx, PUBLISHER, asked).await {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_is_offered_it_and_whoever_runs_it_is_named() {
    let (ctx, mut publisher) = ready().await;
    enrolled(&ctx, "pump-1", |device| {
        device.inventory.components = vec![Component {
            component: "system".into(),
            version: "2.0.0".into(),
            counter: 2,
            digest: String::new(),
            slot: "b".into(),
        }];
    })
    .await;
    let mut tx = ctx.db.write().await.unwrap();
    let now = ctx.clock.now();
    let held =
        assignments::assign(&mut tx, &ctx, "pump-1", PRODUCT, Some(&version("2.0.0")), now).await.unwrap();
    tx.commit().await.unwrap();

    let metadata = list_without(&mut publisher);
    let tried =
        withdraw(&ctx, PUBLISHER, Withdrawal { validate_only: true, ..asked(&metadata) }).await.unwrap();
    assert!(ctx.trust.release(PRODUCT, &version("2.0.0")).is_some(), "only tried");
    let done = withdraw(&ctx, PUBLISHER, asked(&metadata)).await.unwrap();
    assert_eq!((&done.devices, done.device_count), (&vec!["pump-1".to_owned()], 1));
    assert_eq!(done, tried);
    assert!(ctx.trust.release(PRODUCT, &version("2.0.0")).is_none());
    assert_eq!(withdraw(&ctx, PUBLISHER, asked(&metadata)).await.unwrap().device_count, 1, "a repeat");
    assert!(ctx.devices.get("pump-1").unwrap().assignment.unwrap().due_at <= now);

    // What was assigned is signed anew as: stay.
    let mut tx = ctx.db.write().await.unwrap();
    let held = assignment_get(&mut tx, &held.device).await.unwrap().unwrap();
    let renewed = assignments::renew_if_due(&mut tx, &ctx, &held, PRODUCT, now).await.unwrap().unwrap();
    assert_eq!((renewed.release, renewed.version), (None, 2));
    drop(tx);

    // Neither its counter nor its version is used again.
    let draft = publisher.draft("2.0.0+again", 2);
    upload(&ctx, "2.0.0+again").await;
    match publish(&ctx, PUBLISHER, draft.publication()).await {
        Err(Error::Refused(refusal)) => {
            assert_eq!(refusal.reason, Reason::VersionNotNewer);
            assert!(refusal.message.contains("published and withdrawn"), "{refusal}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_one_release_goes_and_only_with_its_publishers_names_under_it() {
    let (ctx, mut publisher) = ready().await;
    let by_one = {
        let mut product = publisher.product.clone();
        product.targets.remove("pump/2.0.0.json").unwrap();
        product.version += 1;
        fake::signed(&product, &[&publisher.fake.keys.publishers[0]])
    };
    let refused = refusal(&ctx, asked(&by_one)).await;
    assert_eq!(refused.facts["code"], "SIGNATURES_MISSING");
    assert!(refused.message.contains("is signed by 1 of the 2 keys that it needs; 1 more"), "{refused}");
    let mut empty = publisher.product.clone();
    empty.targets.clear();
    empty.version += 1;
    let refused = refusal(&ctx, asked(&publisher.sign(&empty))).await;
    assert_eq!(refused.facts["code"], "RELEASE_CHANGED");
    let unknown = Withdrawal { name: "releases/pump/7.0.0", ..asked(b"") };
    assert_eq!(refusal(&ctx, unknown).await.reason, Reason::ReleaseNotFound);
    let metadata = list_without(&mut publisher);
    withdraw(&ctx, PUBLISHER, asked(&metadata)).await.unwrap();
    assert_eq!(refusal(&ctx, asked(&by_one)).await.reason, Reason::ReleaseNotFound, "it is gone");
}

#[tokio::test]
async fn a_stepping_stone_stays_while_somebody_needs_it() {
    let (ctx, mut publisher) = ready().await;
    let manifest = fake::manifest("3.0.0", 3);
    let bytes = manifest.to_bytes().unwrap();
    let rules = ReleaseRules { min_from: 2, ..ReleaseRules::default() };
    publisher.product.add_release(&manifest, &bytes, rules).unwrap();
    publisher.product.version += 1;
    let signed = publisher.sign(&publisher.product);
    upload(&ctx, "3.0.0").await;
    let publication = Publication {
        product: PRODUCT,
        product_metadata: &signed,
        manifest: &bytes,
        allow_new_hardware: true,
        ..Default::default()
    };
    publish(&ctx, PUBLISHER, publication).await.unwrap();
    let metadata = list_without(&mut publisher);
    enrolled(&ctx, "pump-1", |device| device.hardware = manifest.hardware()[0].clone()).await;
    let refused = refusal(&ctx, asked(&metadata)).await;
    assert_eq!(refused.reason, Reason::ReleaseNeeded);
    assert!(refused.message.contains("1 of the fleet") && refused.message.contains("pump-1"), "{refused}");
    withdraw(&ctx, PUBLISHER, Withdrawal { force: true, ..asked(&metadata) }).await.unwrap();
}
