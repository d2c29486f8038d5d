use super::*;
use crate::{
    model::update::UpdateState,
    service::{
        fake_trust::version,
        rollout_testing::{OPERATOR, Pump, create, plan, published, published_on_each},
        testing::enrolled,
    },
    store::audit::audit_before,
};

fn reason(error: Error) -> Reason {
    match error {
        Error::Refused(refusal) => refusal.reason,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_assignment_by_hand_is_what_a_device_believes_and_is_made_once() {
    for (_files, ctx) in published_on_each().await {
        let pump = Pump::new(&ctx, "pump-1").await;
        let made = assign(&ctx, OPERATOR, "pump-1", "releases/pump/2.0.0").await.unwrap();
        assert_eq!(made.release.as_deref(), Some("releases/pump/2.0.0"));
        let again = assign(&ctx, OPERATOR, "pump-1", "releases/pump/2.0.0").await.unwrap();
        assert!(again.bytes == made.bytes && again.version == made.version, "twice is once");
        let next = assign(&ctx, OPERATOR, "pump-1", "releases/pump/3.0.0").await.unwrap();
        assert_eq!(next.version, made.version + 1, "and another release comes on top");
        assert_eq!(pump.entry(&ctx).assignment.unwrap().version, next.version, "in memory too");
        let mut tx = ctx.db.read().await.unwrap();
        let done = audit_before(&mut tx, i64::MAX, 100).await.unwrap();
        let done = done.iter().filter(|entry| entry.action == "AssignRelease");
        assert_eq!(done.map(|entry| entry.actor.as_str()).collect::<Vec<_>>(), [OPERATOR, OPERATOR]);
    }
}

#[tokio::test]
async fn a_device_that_calls_is_offered_nothing_by_it_and_rollouts_go_on_top() {
    let ctx = published().await;
    let mut pump = Pump::new(&ctx, "pump-1").await;
    let made = assign(&ctx, OPERATOR, "pump-1", "releases/pump/2.0.0").await.unwrap();
    assert_eq!(pump.poll(&ctx).await.offer, None);
    assert_eq!(pump.have.assignment, made.version, "it is served like any other");
    create(&ctx, plan("3.0.0", &[100.0])).await;
    assert!(pump.poll(&ctx).await.offer.is_some());
    assert_eq!(pump.have.assignment, made.version + 1);
    // It works on 3.0.0 now: no other word may reach it meanwhile, and the same one stands.
    let refused = assign(&ctx, OPERATOR, "pump-1", "releases/pump/2.0.0").await.unwrap_err();
    assert_eq!(reason(refused), Reason::AssignmentRefused);
    let same = assign(&ctx, OPERATOR, "pump-1", "releases/pump/3.0.0").await.unwrap();
    assert_eq!(same.version, made.version + 1);
    pump.report(&ctx, UpdateState::Failed).await;
    pump.poll(&ctx).await;
    assign(&ctx, OPERATOR, "pump-1", "releases/pump/2.0.0").await.unwrap();
}

#[tokio::test]
async fn what_a_device_would_refuse_is_not_assigned() {
    let ctx = published().await;
    enrolled(&ctx, "other", |device| device.hardware = "gw-z".to_owned()).await;
    enrolled(&ctx, "gone", |device| device.state = DeviceState::Revoked).await;
    enrolled(&ctx, "valve", |device| device.product = "valve".to_owned()).await;
    enrolled(&ctx, "waits", |device| device.state = DeviceState::Pending).await;
    enrolled(&ctx, "ill", |device| device.state = DeviceState::Quarantined).await;
    for id in ["other", "gone", "valve", "waits", "ill"] {
        let refused = assign(&ctx, OPERATOR, id, "releases/pump/2.0.0").await.unwrap_err();
        assert_eq!(reason(refused), Reason::AssignmentRefused, "{id}");
    }
    for (id, name, expected) in [
        ("nobody", "releases/pump/2.0.0", Reason::DeviceNotFound),
        ("other", "releases/pump/9.0.0", Reason::ReleaseNotFound),
        ("other", "pump/2.0.0", Reason::ReleaseNotFound),
    ] {
        let refused = assign(&ctx, OPERATOR, id, name).await.unwrap_err();
        assert_eq!(reason(refused), expected, "{id} {name}");
    }
    // One that never called: what it runs is for itself to judge.
    enrolled(&ctx, "new", |_| {}).await;
    let made = assign(&ctx, OPERATOR, "new", "releases/pump/2.0.0").await.unwrap();
    assert_eq!(made.release, Some(release::resource_name("pump", &version("2.0.0"))));
}
