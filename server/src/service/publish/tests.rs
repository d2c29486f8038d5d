use bytes::Bytes;
use slipway_trust::{
    Sha256, Targets,
    fake::{self, PRODUCT},
};

use super::*;
use crate::service::{
    fake_trust::{PUBLISHER, Publisher, upload, version},
    testing::TestContext,
    trust_init,
};

async fn refusal(ctx: &Context, publication: Publication<'_>) -> Refusal {
    match publish(ctx, PUBLISHER, publication).await {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn code(refusal: &Refusal) -> &str {
    refusal.facts.get("code").map_or("", String::as_str)
}

async fn ready() -> (TestContext, Publisher) {
    let ctx = Context::for_test().await;
    let publisher = Publisher::initialize(&ctx).await;
    (ctx, publisher)
}

#[tokio::test]
async fn a_release_is_visible_all_at_once() {
    let (ctx, mut publisher) = ready().await;
    let before = ctx.trust.versions(PRODUCT);
    let release = publisher.publish(&ctx, "1.0.0", 1).await;
    assert_eq!(release.name(), "releases/pump/1.0.0");
    assert_eq!(release.artifacts[0].segments, 3);
    let after = ctx.trust.versions(PRODUCT);
    assert_eq!((before.timestamp, before.snapshot, before.product), (1, 1, 0));
    assert_eq!((after.timestamp, after.snapshot, after.product), (2, 2, 1));
    assert!(ctx.trust.release(PRODUCT, &version("1.0.0")).is_some());
    let listed = releases_of(&ctx).await;
    publisher.publish(&ctx, "2.0.0", 2).await;
    assert_eq!(
        (listed, releases_of(&ctx).await),
        (vec!["1.0.0".to_owned()], vec!["2.0.0".to_owned(), "1.0.0".to_owned()])
    );
}

async fn releases_of(ctx: &Context) -> Vec<String> {
    let (found, _) = crate::service::releases::list(ctx, "product = pump", 0, "").await.unwrap();
    found.into_iter().map(|release| release.version.to_string()).collect()
}

#[tokio::test]
async fn nothing_is_published_before_there_is_a_root() {
    let ctx = Context::for_test().await;
    let draft = Publisher::initialize(&*Context::for_test().await).await.draft("1.0.0", 1);
    assert_eq!(refusal(&ctx, draft.publication()).await.reason, Reason::TrustNotInitialized);
}

#[tokio::test]
async fn the_root_is_given_once() {
    let (ctx, publisher) = ready().await;
    let (root, targets) = (&publisher.fake.repository.roots[0], &publisher.fake.repository.targets);
    trust_init::initialize(&ctx, PUBLISHER, root, targets).await.unwrap();
    assert_eq!(ctx.trust.versions("").timestamp, 1);
    let mut other = root.clone();
    other.push(b'\n');
    match trust_init::initialize(&ctx, PUBLISHER, &other, targets).await {
        Err(Error::Refused(refusal)) => assert_eq!(refusal.reason, Reason::TrustAlreadyInitialized),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_root_that_names_other_online_keys_is_refused() {
    let ctx = Context::for_test().await;
    let mut fake = fake::Fake::new(Date::from_millis(ctx.clock.now().millis()));
    fake.keys.snapshot = fake.keys.stranger.clone();
    let root = repo::root(1, fake.now.plus_days(10), &fake::root_keys(&fake.keys));
    let root = fake::signed(&root, &[&fake.keys.root[0], &fake.keys.root[1]]);
    match trust_init::initialize(&ctx, PUBLISHER, &root, &fake.repository.targets).await {
        Err(Error::Refused(refusal)) => {
            assert_eq!((refusal.reason, code(&refusal)), (Reason::MetadataRefused, "ONLINE_KEY_NOT_NAMED"));
            assert_eq!(refusal.facts["role"], "snapshot");
        }
        other => panic!("{other:?}"),
    }
    assert!(ctx.trust.current().is_none());
}

#[tokio::test]
async fn what_strangers_sign_is_refused_by_its_name() {
    let (ctx, mut publisher) = ready().await;
    upload(&ctx, "1.0.0").await;
    let draft = publisher.draft("1.0.0", 1);
    let product = Targets::parse(PRODUCT, &draft.metadata).unwrap();
    let (keys, honest) = (publisher.fake.keys.clone(), draft.publication());
    let by_stranger = fake::signed(&product, &[&keys.stranger, &keys.director]);
    let by_one = fake::signed(&product, &[&keys.publishers[0]]);
    let mut flipped = draft.metadata.clone();
    let at = flipped.windows(9).position(|window| window == b"\"version\"").unwrap() - 3;
    flipped[at] ^= 1;
    for (why, metadata, expected) in [
        ("stranger", &by_stranger, "SIGNATURES_MISSING"),
        ("below threshold", &by_one, "SIGNATURES_MISSING"),
        ("not JSON", &b"{".to_vec(), "METADATA_MALFORMED"),
    ] {
        let refused = refusal(&ctx, Publication { product_metadata: metadata, ..honest }).await;
        assert_eq!((refused.reason, code(&refused)), (Reason::MetadataRefused, expected), "{why}");
    }
    let targets = Targets::parse("targets", &publisher.fake.repository.targets).unwrap();
    let foreign_targets = fake::signed(&Targets { version: 2, ..targets }, &[&keys.stranger]);
    let refused = refusal(&ctx, Publication { targets: &foreign_targets, ..honest }).await;
    assert_eq!((refused.reason, code(&refused)), (Reason::MetadataRefused, "SIGNATURES_MISSING"));
    let unknown = refusal(&ctx, Publication { product: "valve", ..honest }).await;
    assert_eq!(unknown.reason, Reason::MetadataRefused);
    // None of it left a trace.
    assert_eq!(ctx.trust.versions(PRODUCT).timestamp, 1);
    assert!(releases_of(&ctx).await.is_empty());
    publish(&ctx, PUBLISHER, honest).await.unwrap();
}

#[tokio::test]
async fn an_expired_product_file_is_refused() {
    let (ctx, mut publisher) = ready().await;
    upload(&ctx, "1.0.0").await;
    let mut draft = publisher.draft("1.0.0", 1);
    let yesterday = publisher.fake.now.plus_days(-1);
    draft.metadata = publisher.sign(&Targets { expires: yesterday, ..publisher.product.clone() });
    let refused = refusal(&ctx, draft.publication()).await;
    assert_eq!((refused.reason, code(&refused)), (Reason::MetadataRefused, "METADATA_EXPIRED"));
}

#[tokio::test]
async fn a_version_that_is_published_is_not_newer() {
    let (ctx, mut publisher) = ready().await;
    let first = publisher.draft("1.0.0", 1);
    upload(&ctx, "1.0.0").await;
    publish(&ctx, PUBLISHER, first.publication()).await.unwrap();
    assert_eq!(refusal(&ctx, first.publication()).await.reason, Reason::VersionNotNewer);
    let again = Publication {
        product_metadata: &publisher.sign(&Targets { version: 2, ..publisher.product.clone() }),
        ..first.publication()
    };
    assert_eq!(refusal(&ctx, again).await.reason, Reason::VersionNotNewer);
}

#[tokio::test]
async fn missing_segments_are_counted() {
    let (ctx, mut publisher) = ready().await;
    let draft = publisher.draft("1.0.0", 1);
    let refused = refusal(&ctx, draft.publication()).await;
    assert_eq!((refused.reason, refused.facts["missing"].as_str()), (Reason::SegmentsMissing, "3"));
    let image = fake::image("1.0.0");
    let first = &image[..4096];
    let frame = Bytes::from(slipway_payload::encode(first).unwrap());
    segments::store(&ctx, Sha256::of(first), frame).await.unwrap();
    assert_eq!(refusal(&ctx, draft.publication()).await.facts["missing"], "2");
}

#[tokio::test]
async fn the_manifest_has_to_be_the_one_that_was_signed() {
    let (ctx, mut publisher) = ready().await;
    upload(&ctx, "1.0.0").await;
    let draft = publisher.draft("1.0.0", 1);
    let mut other = fake::manifest("1.0.0", 1);
    other.artifacts[0].component = "app".to_owned();
    let other = other.to_bytes().unwrap();
    for manifest in [&other[..], b"{}", &draft.manifest[1..]] {
        let refused = refusal(&ctx, Publication { manifest, ..draft.publication() }).await;
        assert_eq!(refused.reason, Reason::ManifestInvalid, "{refused}");
    }
}

#[tokio::test]
async fn unknown_hardware_is_most_likely_a_mistake() {
    let (ctx, mut publisher) = ready().await;
    upload(&ctx, "1.0.0").await;
    let draft = publisher.draft("1.0.0", 1);
    let careful = Publication { allow_new_hardware: false, ..draft.publication() };
    let refused = refusal(&ctx, careful).await;
    assert_eq!((refused.reason, refused.facts["hardware"].as_str()), (Reason::HardwareUnknown, "gw-a"));
}

#[tokio::test]
async fn validating_stores_nothing() {
    let (ctx, mut publisher) = ready().await;
    upload(&ctx, "1.0.0").await;
    let draft = publisher.draft("1.0.0", 1);
    let trial = Publication { validate_only: true, request_id: "r", ..draft.publication() };
    assert_eq!(publish(&ctx, PUBLISHER, trial).await.unwrap().counter, 1);
    assert!(releases_of(&ctx).await.is_empty());
    assert_eq!(ctx.trust.versions(PRODUCT).timestamp, 1);
}

#[tokio::test]
async fn a_repeated_request_is_one_release() {
    let (ctx, mut publisher) = ready().await;
    upload(&ctx, "1.0.0").await;
    let draft = publisher.draft("1.0.0", 1);
    let call = Publication { request_id: "build-7", ..draft.publication() };
    let first = publish(&ctx, PUBLISHER, call).await.unwrap();
    assert_eq!(publish(&ctx, PUBLISHER, call).await.unwrap(), first);
    upload(&ctx, "2.0.0").await;
    let second = publisher.draft("2.0.0", 2);
    let reused = Publication { request_id: "build-7", ..second.publication() };
    assert_eq!(refusal(&ctx, reused).await.reason, Reason::RequestRepeated);
}

#[tokio::test]
async fn of_two_publishers_at_once_one_is_first() {
    let (ctx, mut one) = ready().await;
    let mut other = Publisher::initialize(&ctx).await;
    upload(&ctx, "1.0.0").await;
    upload(&ctx, "1.1.0").await;
    let (one, other) = (one.draft("1.0.0", 1), other.draft("1.1.0", 1));
    let (one, other) = tokio::join!(
        publish(&ctx, PUBLISHER, one.publication()),
        publish(&ctx, PUBLISHER, other.publication())
    );
    let lost = match (one, other) {
        (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
        both => panic!("{both:?}"),
    };
    assert!(
        matches!(&lost, Error::Refused(refusal) if refusal.reason == Reason::PublishedMeanwhile),
        "{lost:?}"
    );
    assert_eq!(releases_of(&ctx).await.len(), 1);
    assert_eq!(ctx.trust.versions(PRODUCT).snapshot, 2);
}

#[tokio::test]
async fn a_replica_that_was_overtaken_signs_on_top() {
    let (ctx, mut publisher) = ready().await;
    // Another replica with its own memory renews the timestamp.
    let trust = crate::service::trust::Trust::new(ctx.trust.keys().clone(), &ctx.metrics);
    let replica = Context { trust, ..ctx.clone() };
    replica.trust.refresh(&ctx.db).await.unwrap();
    ctx.clock.advance(std::time::Duration::from_secs(2 * 86_400));
    assert!(signing::renew(&replica).await.unwrap());
    assert_eq!((ctx.trust.versions("").timestamp, replica.trust.versions("").timestamp), (1, 2));
    publisher.publish(&ctx, "1.0.0", 1).await;
    assert_eq!(ctx.trust.versions("").timestamp, 3);
    assert!(!signing::renew(&replica).await.unwrap());
}
