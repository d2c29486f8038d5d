use slipway_trust::{Date, Sha256, Signer, Target, fake};

use super::*;
use crate::{
    pki::Pki,
    service::{
        fake_trust::{PUBLISHER, Publisher},
        manifests,
        publish::{self, Publication},
        testing::TestContext,
        trust_init,
        trust_update::{TrustUpdate, update},
    },
};

async fn ready() -> (TestContext, Publisher) {
    let ctx = Context::for_test().await;
    let publisher = Publisher::initialize(&ctx).await;
    (ctx, publisher)
}

/// The targets that follow, naming a file of these bytes, signed by those who may.
fn naming(ctx: &Context, publisher: &Publisher, file: &[u8]) -> Vec<u8> {
    let owner = &publisher.fake.keys.targets;
    let set = ctx.trust.current().unwrap();
    let mut body = set.trusted.targets().unwrap().body.clone();
    body.version += 1;
    body.targets.insert(SERVER_CA.to_owned(), Target::of(file));
    fake::signed(&body, &[owner])
}

async fn bring(ctx: &Context, targets: &[u8], server_ca: &[u8]) -> Result<()> {
    update(ctx, PUBLISHER, TrustUpdate { targets, server_ca, ..TrustUpdate::default() }).await
}

fn code(result: Result<()>) -> String {
    match result {
        Err(Error::Refused(refusal)) if refusal.reason == Reason::ServerCaRefused => {
            refusal.facts["code"].clone()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_file_that_the_owners_name_is_served_in_every_form() {
    let (ctx, publisher) = ready().await;
    let path = async |name: String| manifests::read(&ctx, &name).await.unwrap();
    assert!(path(SERVER_CA.to_owned()).await.is_none());
    let file = ctx.pki.server_ca_pem().as_bytes().to_vec();
    let targets = naming(&ctx, &publisher, &file);
    bring(&ctx, &targets, &file).await.unwrap();
    bring(&ctx, &targets, &file).await.unwrap();
    let digest = Sha256::of(&file);
    for (name, named) in [
        (SERVER_CA.to_owned(), false),
        (format!("_trust/{digest}.server-ca.pem"), true),
        (format!("{digest}._trust/server-ca.pem"), true),
    ] {
        assert_eq!(path(name).await.unwrap(), (Bytes::from(file.clone()), named));
    }
    assert!(path(format!("_trust/{}.server-ca.pem", Sha256::of(b"another"))).await.is_none());
    // Later targets that say the same need not bring it again.
    let again = naming(&ctx, &publisher, &file);
    bring(&ctx, &again, &[]).await.unwrap();
    assert!(path(SERVER_CA.to_owned()).await.is_some());
    // A start later it is still there, and a row that was changed is not served.
    ctx.trust.refresh(&ctx.db).await.unwrap();
    assert!(ctx.trust.current().unwrap().server_ca().is_some());
}

#[tokio::test]
async fn what_would_lock_devices_out_is_refused() {
    let (ctx, publisher) = ready().await;
    let good = ctx.pki.server_ca_pem().to_owned();
    let stranger = Pki::in_memory(ctx.clock.now()).unwrap().server_ca_pem().to_owned();
    let torn = good.replacen("MII", "M!I", 1);
    for (expected, file) in [
        ("LOCKS_OUT", stranger.clone()),
        ("INVALID", "garbage".to_owned()),
        ("INVALID", torn),
        ("INVALID", good.repeat(17)),
    ] {
        let targets = naming(&ctx, &publisher, file.as_bytes());
        assert_eq!(code(bring(&ctx, &targets, file.as_bytes()).await), expected);
    }
    let targets = naming(&ctx, &publisher, good.as_bytes());
    assert_eq!(code(bring(&ctx, &targets, &[]).await), "MISSING");
    assert_eq!(code(bring(&ctx, &targets, stranger.as_bytes()).await), "DIGEST_MISMATCH");
    assert_eq!(code(bring(&ctx, &[], good.as_bytes()).await), "NOT_NAMED");
    assert_eq!(ctx.trust.versions("").targets, 1, "nothing of it was stored");
    // Beside the one that works, another authority may stand.
    let both = format!("{stranger}{good}");
    let targets = naming(&ctx, &publisher, both.as_bytes());
    bring(&ctx, &targets, both.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn targets_cannot_name_a_file_on_another_way() {
    let (ctx, mut publisher) = ready().await;
    let good = ctx.pki.server_ca_pem().as_bytes().to_vec();
    let targets = naming(&ctx, &publisher, &good);
    let draft = publisher.draft("1.0.0", 1);
    let publication = Publication { targets: &targets, ..draft.publication() };
    assert_eq!(code(publish::publish(&ctx, PUBLISHER, publication).await.map(drop)), "MISSING");

    let fresh = Context::for_test().await;
    let now = Date::from_millis(fresh.clock.now().millis());
    let fake = fake::Fake::new(now);
    let mut body = Targets::parse("targets", &fake.repository.targets).unwrap();
    body.targets.insert(SERVER_CA.to_owned(), Target::of(&good));
    let first = fake::signed(&body, &[&fake.keys.targets]);
    let made = trust_init::initialize(&fresh, PUBLISHER, &fake.repository.roots[0], &first).await;
    assert_eq!(code(made), "MISSING");
}

#[tokio::test]
async fn who_may_not_sign_targets_names_nothing() {
    let (ctx, publisher) = ready().await;
    let good = ctx.pki.server_ca_pem().as_bytes().to_vec();
    let mut body = ctx.trust.current().unwrap().trusted.targets().unwrap().body.clone();
    body.version += 1;
    body.targets.insert(SERVER_CA.to_owned(), Target::of(&good));
    let keys = &publisher.fake.keys;
    // A thief who has all of the server's keys.
    let forged = fake::signed(&body, &[&keys.director as &dyn Signer, &keys.snapshot, &keys.timestamp]);
    let refused = bring(&ctx, &forged, &good).await;
    assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal.reason == Reason::MetadataRefused));
    assert!(ctx.trust.current().unwrap().server_ca().is_none());
}
