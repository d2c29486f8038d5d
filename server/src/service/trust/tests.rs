use std::time::Duration;

use slipway_trust::fake::PRODUCT;

use super::*;
use crate::service::{
    Context, assignments,
    fake_trust::{PUBLISHER, Publisher, version},
    publish, signing,
    testing::TestContext,
};

async fn published() -> (TestContext, Publisher) {
    let ctx = Context::for_test().await;
    let mut publisher = Publisher::initialize(&ctx).await;
    publisher.publish(&ctx, "1.0.0", 1).await;
    (ctx, publisher)
}

async fn assign(ctx: &Context, release: Option<&str>) -> Assignment {
    let mut tx = ctx.db.write().await.unwrap();
    let release = release.map(version);
    let assigned =
        assignments::assign(&mut tx, ctx, "dev-1", PRODUCT, release.as_ref(), ctx.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    assigned
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

#[tokio::test]
async fn a_new_device_gets_everything_and_an_up_to_date_one_nothing() {
    let (ctx, _) = published().await;
    let assignment = assign(&ctx, Some("1.0.0")).await;
    let now = ctx.clock.now();
    let enrolled = Versions { root: 1, ..Versions::default() };
    let delta = ctx.trust.delta_for(&enrolled, PRODUCT, Some(&assignment), now).unwrap();
    assert!(delta.roots.is_empty());

    let date = slipway_trust::Date::from_millis(now.millis());
    let root = ctx.trust.newest_root(&ctx.db).await.unwrap().unwrap();
    let mut device = slipway_trust::TrustedSet::from_root(&root).unwrap();
    device.update_timestamp(&delta.timestamp.unwrap(), date).unwrap();
    device.update_snapshot(&delta.snapshot.unwrap(), date).unwrap();
    device.update_targets(&delta.targets.unwrap(), date).unwrap();
    device.update_product(PRODUCT, &delta.product.unwrap(), date).unwrap();
    device.update_assignment("dev-1", &delta.assignment.unwrap(), date).unwrap();
    let release = device.assigned(PRODUCT, "dev-1", date).unwrap().unwrap();
    assert_eq!(release.version, version("1.0.0"));

    let statements = ctx.db.statements();
    let have = device.versions(PRODUCT);
    assert_eq!(have, Versions { assignment: 1, ..ctx.trust.versions(PRODUCT) });
    assert_eq!(ctx.trust.delta_for(&have, PRODUCT, Some(&assignment), now), None);
    assert_eq!(ctx.db.statements(), statements);
}

#[tokio::test]
async fn a_replica_looks_into_the_store_before_it_says_that_there_is_no_root() {
    let ctx = Context::for_test().await;
    let other = Trust::new(ctx.trust.keys().clone(), &ctx.metrics);
    let refused = other.require_now(&ctx.db).await.unwrap_err();
    assert!(refused.to_string().contains("TRUST_NOT_INITIALIZED"), "{refused}");
    assert_eq!(other.newest_root(&ctx.db).await.unwrap(), None);
    Publisher::initialize(&ctx).await;
    assert!(other.require().is_err(), "in memory there is none yet");
    assert!(other.require_now(&ctx.db).await.is_ok());
    let statements = ctx.db.statements();
    assert!(other.newest_root(&ctx.db).await.unwrap().is_some());
    assert_eq!(ctx.db.statements(), statements, "once is enough");
}

#[tokio::test]
async fn only_newer_files_are_sent() {
    let (ctx, mut publisher) = published().await;
    let have = ctx.trust.versions(PRODUCT);
    publisher.publish(&ctx, "2.0.0", 2).await;
    let delta = ctx.trust.delta_for(&have, PRODUCT, None, ctx.clock.now()).unwrap();
    assert!(delta.timestamp.is_some() && delta.snapshot.is_some() && delta.product.is_some());
    assert!(delta.targets.is_none() && delta.roots.is_empty() && delta.assignment.is_none());
}

#[tokio::test]
async fn a_timestamp_alone_waits_for_a_third_of_its_life() {
    let (ctx, _) = published().await;
    let have = ctx.trust.versions(PRODUCT);
    ctx.clock.advance(days(1));
    assert!(signing::renew(&ctx).await.unwrap());
    assert!(!signing::renew(&ctx).await.unwrap());
    assert_eq!(ctx.trust.versions(PRODUCT).timestamp, have.timestamp + 1);
    assert_eq!(ctx.trust.delta_for(&have, PRODUCT, None, ctx.clock.now()), None);
    ctx.clock.advance(days(2));
    let delta = ctx.trust.delta_for(&have, PRODUCT, None, ctx.clock.now()).unwrap();
    assert!(delta.timestamp.is_some() && delta.snapshot.is_none());
}

#[tokio::test]
async fn online_signatures_are_renewed_before_they_run_out() {
    let (ctx, _) = published().await;
    for _ in 0..35 {
        ctx.clock.advance(days(1));
        signing::renew(&ctx).await.unwrap();
        let set = ctx.trust.current().unwrap();
        for role in ["timestamp", "snapshot", "director"] {
            let left = set.file(role).unwrap().expires_at.since(ctx.clock.now());
            let least = if role == "timestamp" { days(6) } else { days(15) };
            assert!(left >= least, "{role}: {left:?}");
        }
    }
    let mut tx = ctx.db.read().await.unwrap();
    assert!(metadata::metadata_timestamps(&mut tx).await.unwrap().len() <= 10);
}

#[tokio::test]
async fn expired_signatures_are_no_obstacle_to_start() {
    let (ctx, _) = published().await;
    ctx.clock.advance(days(100));
    let restarted = Trust::new(ctx.trust.keys().clone(), &ctx.metrics);
    restarted.refresh(&ctx.db).await.unwrap();
    assert_eq!(restarted.versions(PRODUCT), ctx.trust.versions(PRODUCT));
    assert!(signing::renew(&ctx).await.unwrap());
}

#[tokio::test]
async fn a_flipped_bit_in_any_stored_file_is_not_served() {
    let (ctx, mut publisher) = published().await;
    let draft = publisher.draft("2.0.0", 2);
    let mut tx = ctx.db.read().await.unwrap();
    let honest = metadata::metadata_current(&mut tx).await.unwrap();
    drop(tx);
    assert_eq!(honest.len(), 6);
    for at in 0..honest.len() {
        for position in [0.2, 0.5, 0.9] {
            let mut rows = honest.clone();
            let mut bytes = rows[at].bytes.to_vec();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a place in a small file"
            )]
            let place = (bytes.len() as f64 * position) as usize;
            bytes[place] ^= 1;
            rows[at].bytes = bytes.into();
            let role = rows[at].role.clone();
            assert!(TrustSet::verify(rows, []).is_err(), "{role} at {position}");
        }
        let mut rows = honest.clone();
        rows[at].version += 1;
        assert!(TrustSet::verify(rows, []).is_err(), "version column of {}", honest[at].role);
        let mut rows = honest.clone();
        let gone = rows.remove(at);
        assert!(TrustSet::verify(rows, []).is_err(), "{} removed", gone.role);
    }
    // In the running server: what was verified stays in force, and nothing is built on what was not.
    let mut forged = honest.iter().find(|file| file.role == "timestamp").unwrap().clone();
    forged.version += 1;
    let mut tx = ctx.db.write().await.unwrap();
    metadata::metadata_insert(&mut tx, &forged).await.unwrap();
    tx.commit().await.unwrap();
    ctx.trust.refresh(&ctx.db).await.unwrap();
    assert_eq!(ctx.trust.versions(PRODUCT).timestamp, 2);
    assert!(matches!(publish::publish(&ctx, PUBLISHER, draft.publication()).await, Err(Error::Internal(_))));
    let restarted = Trust::new(ctx.trust.keys().clone(), &ctx.metrics);
    restarted.refresh(&ctx.db).await.unwrap();
    assert!(restarted.current().is_none());
    assert!(matches!(restarted.require(), Err(Error::Internal(_))));
}

#[tokio::test]
async fn assignments_count_up_and_are_checked_before_they_are_sent() {
    let (ctx, publisher) = published().await;
    let first = assign(&ctx, Some("1.0.0")).await;
    assert_eq!((first.version, first.release.as_deref()), (1, Some("releases/pump/1.0.0")));
    let hold = assign(&ctx, None).await;
    assert_eq!((hold.version, hold.release.as_deref()), (2, None));

    let mut tx = ctx.db.write().await.unwrap();
    let now = ctx.clock.now();
    let unknown = assignments::assign(&mut tx, &ctx, "dev-1", PRODUCT, Some(&version("9.0")), now).await;
    assert!(matches!(unknown, Err(Error::Refused(refusal)) if refusal.reason == Reason::ReleaseNotFound));
    assert_eq!(assignments::renew_if_due(&mut tx, &ctx, &hold, PRODUCT, now).await.unwrap(), None);
    drop(tx);

    ctx.clock.advance(days(15));
    assert!(signing::renew(&ctx).await.unwrap());
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await.unwrap();
    let renewed = assignments::renew_if_due(&mut tx, &ctx, &hold, PRODUCT, now).await.unwrap().unwrap();
    assert_eq!((renewed.version, renewed.release), (3, None));
    drop(tx);

    let have = ctx.trust.versions(PRODUCT);
    let foreign = Assignment { bytes: publisher.assignment("dev-2", 2).into(), ..hold.clone() };
    let mut bytes = hold.bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let flipped = Assignment { bytes: bytes.into(), ..hold.clone() };
    for bad in [foreign, flipped] {
        assert_eq!(ctx.trust.delta_for(&have, PRODUCT, Some(&bad), now), None);
    }
    assert!(ctx.trust.delta_for(&have, PRODUCT, Some(&hold), now).unwrap().assignment.is_some());
}

#[tokio::test]
async fn files_by_the_names_that_clients_ask_for() {
    let (ctx, mut publisher) = published().await;
    let set = ctx.trust.current().unwrap();
    let bytes = |role: &str| set.file(role).map(|file| file.bytes.clone());
    for (name, expected) in [
        ("timestamp.json", bytes("timestamp")),
        ("1.root.json", Some(set.roots()[0].clone())),
        ("2.snapshot.json", bytes("snapshot")),
        ("1.targets.json", bytes("targets")),
        ("1.pump.json", bytes("pump")),
        ("1.director.json", bytes("director")),
        ("0.root.json", None),
        ("2.root.json", None),
        ("9.snapshot.json", None),
        ("snapshot.json", None),
        ("../timestamp.json", None),
    ] {
        assert_eq!(ctx.trust.metadata_file(name), expected, "{name}");
    }
    publisher.publish(&ctx, "2.0.0", 2).await;
    // A client that began before may finish.
    assert_eq!(ctx.trust.metadata_file("2.snapshot.json"), bytes("snapshot"));
    assert!(ctx.trust.metadata_file("3.snapshot.json").is_some());
}

/// What it signed then has set the clocks of the devices that called: they never go back.
#[tokio::test]
async fn a_clock_that_was_ahead_for_a_moment_leaves_devices_that_can_go_on() {
    let (ctx, mut publisher) = published().await;
    let start = ctx.clock.now();
    ctx.clock.advance(days(30));
    signing::renew(&ctx).await.unwrap();
    let right = Context { clock: crate::clock::Clock::manual(start.after(days(1))), ..ctx.clone() };
    publisher.publish(&right, "2.0.0", 2).await;
    let set = right.trust.current().unwrap();
    for role in ["timestamp", "snapshot"] {
        assert!(set.file(role).unwrap().expires_at >= start.after(days(36)), "{role}");
    }
}
