//! Who is counted as taking part in a rollout, and who is not.

use super::*;
use crate::{
    model::{device::DeviceState, limit::Limit, plan::Draft, rollout::Act},
    service::{
        Error,
        alert_testing::{filter_limit, worn},
        conditions, devices, limits,
        rollout_testing::{OPERATOR, Pump, create, plan, published, settled},
        rollouts,
        testing::enrolled,
    },
    store::{alert_events::alert_event_append, alerts::alert_insert},
};

fn left_out(census: &Census) -> Vec<(&'static str, u32)> {
    census.left_out.iter().map(|(code, devices)| (*code, *devices)).collect()
}

#[tokio::test]
async fn who_cannot_take_part_is_counted_apart_and_said_why() {
    let ctx = published().await;
    let mut first = Pump::new(&ctx, "p1").await;
    for id in ["p2", "p3"] {
        Pump::new(&ctx, id).await;
    }
    enrolled(&ctx, "waits", |device| device.state = DeviceState::Pending).await;
    enrolled(&ctx, "listed", |device| device.state = DeviceState::Registered).await;
    enrolled(&ctx, "valve-1", |device| device.product = "valve".to_owned()).await;
    devices::revoke(&ctx, OPERATOR, "p3", "stolen").await.unwrap();
    let mut there = Pump::enrolled("there");
    there.version = "2.0.0".to_owned();
    there.counter = 2;
    enrolled(&ctx, "there", |_| {}).await;
    there.poll(&ctx).await;

    let rollout = create(&ctx, plan("2.0.0", &[100.0])).await;
    let found = census(&ctx, &rollout);
    assert_eq!(found.waves, [2]);
    let others = [("ALREADY_THERE", 1), ("DEVICE_PENDING", 1), ("NOT_ENROLLED", 1), ("REVOKED", 1)];
    assert_eq!(left_out(&found), others);

    // Whoever took part did, whatever becomes of him.
    first.poll(&ctx).await;
    let rollout = settled(&ctx, &rollout.id).await;
    assert_eq!((census(&ctx, &rollout).waves, rollout.waves[0].counts.admitted), (vec![2], 1));
    first.succeed(&ctx, "2.0.0", 2).await;
    first.poll(&ctx).await;
    let rollout = settled(&ctx, &rollout.id).await;
    assert_eq!((census(&ctx, &rollout).waves, left_out(&census(&ctx, &rollout))), (vec![2], others.to_vec()));
    devices::revoke(&ctx, OPERATOR, "p1", "sold").await.unwrap();
    assert_eq!(left_out(&census(&ctx, &rollout)), others);
}

#[tokio::test]
async fn whoever_comes_after_the_end_has_no_part_in_it() {
    let ctx = published().await;
    let mut first = Pump::new(&ctx, "p1").await;
    let rollout = create(&ctx, plan("2.0.0", &[100.0])).await;
    first.poll(&ctx).await;
    // While a wave is open, somebody who comes late is let in.
    enrolled(&ctx, "p2", |_| {}).await;
    first.succeed(&ctx, "2.0.0", 2).await;
    first.poll(&ctx).await;
    assert_eq!(census(&ctx, &settled(&ctx, &rollout.id).await).waves, [2]);
    let ended = rollouts::act(&ctx, OPERATOR, &rollout.id, Act::Abort, "").await.unwrap();
    assert_eq!(census(&ctx, &ended), Census { waves: vec![1], left_out: BTreeMap::new() });
    Pump::new(&ctx, "p3").await;
    assert_eq!(census(&ctx, &ended).waves, [1]);
}

fn selecting(selector: &str) -> Draft {
    Draft { selector: selector.to_owned(), ..plan("2.0.0", &[100.0]) }
}

fn refused(error: Error) -> Refusal {
    match error {
        Error::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn whom_alerts_leave_out_is_said_and_a_failure_mode_that_there_is_not_is_refused() {
    let ctx = published().await;
    Pump::new(&ctx, "p1").await;
    // Nobody ever heard of it: the selector would protect nothing.
    let unknown = refused(preview(&ctx, selecting("NOT alerts.failure_mode:overheatin")).await.unwrap_err());
    assert_eq!(
        (unknown.reason, unknown.field.as_deref()),
        (Reason::SelectorInvalid, Some("rollout.selector"))
    );
    let mut tx = ctx.db.write().await.unwrap();
    let alert = worn(&ctx, "p1");
    alert_insert(&mut tx, &alert).await.unwrap();
    alert_event_append(&mut tx, &alert).await.unwrap();
    tx.commit().await.unwrap();
    conditions::follow(&ctx).await.unwrap();
    let unknown = refused(preview(&ctx, selecting("NOT alerts.failure_mode:overheatin")).await.unwrap_err());
    assert!(unknown.hint.contains("overheating, storage_full"), "{unknown:?}");

    let protects = selecting("NOT alerts.failure_mode:overheating");
    let seen = preview(&ctx, protects.clone()).await.unwrap();
    assert_eq!((seen.matched, seen.left_out), (0, BTreeMap::from([("LEFT_OUT_BY_ALERTS", 1)])));
    let asked = rollouts::Asked { request_id: String::new(), digest: slipway_trust::Sha256::of(b"") };
    let nobody =
        refused(rollouts::create(&ctx, OPERATOR, protects.clone(), false, &asked).await.unwrap_err());
    assert_eq!(nobody.reason, Reason::NobodyToUpdate);
    assert!(nobody.message.ends_with("1 device would match, but is left out by its alerts"), "{nobody:?}");
    Pump::new(&ctx, "p2").await;
    let rollout = create(&ctx, protects).await;
    assert_eq!(left_out(&census(&ctx, &rollout)), [("LEFT_OUT_BY_ALERTS", 1)]);

    // What a limit says is known before any part comes to it.
    let leak = Limit { failure_mode: "leak".to_owned(), ..filter_limit(&ctx).await };
    limits::create(&ctx, "tests", leak, true).await.unwrap();
    preview(&ctx, selecting("NOT alerts.failure_mode:leak")).await.unwrap();
}
