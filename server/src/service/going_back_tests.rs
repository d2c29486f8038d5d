//! Rollouts that go back, or bring devices to an older release.

use std::time::Duration;

use super::{
    Error,
    prospects::{Preview, preview},
    rollout_testing::{OPERATOR, Pump, create, plan, published, settled},
    rollouts::{self, Asked},
    testing::TestContext,
};
use crate::model::{
    plan::Draft,
    refusal::Reason,
    rollout::{Act, Rollout, RolloutState},
    update::UpdateState,
};

fn one_wave_that_rolls_back() -> Draft {
    Draft { rolls_back: true, ..plan("2.0.0", &[100.0]) }
}

/// Two pumps: the first fell back, which failed the wave; the second stands where `until` put it
/// and does not hear that its update is taken back.
async fn fails_while_one_is_under_way(ctx: &TestContext, until: UpdateState) -> (Rollout, Pump) {
    let (mut bad, mut late) = (Pump::new(ctx, "p1").await, Pump::new(ctx, "p2").await);
    let rollout = create(ctx, one_wave_that_rolls_back()).await;
    bad.poll(ctx).await;
    late.poll(ctx).await;
    late.report(ctx, until).await;
    late.is_past_return = true;
    bad.report(ctx, UpdateState::RolledBack).await;
    let now = settled(ctx, &rollout.id).await;
    assert_eq!(now.state, RolloutState::RollingBack, "{now:?}");
    (rollout, late)
}

#[tokio::test]
async fn a_device_that_commits_after_its_update_was_taken_back_is_sent_back_too() {
    for until in [UpdateState::Downloading, UpdateState::Staged] {
        let ctx = published().await;
        let (rollout, mut late) = fails_while_one_is_under_way(&ctx, until).await;
        // It is asked to stop, and goes on: it is past that.
        assert!(late.poll(&ctx).await.cancel_update);
        assert_eq!(settled(&ctx, &rollout.id).await.state, RolloutState::RollingBack);
        late.try_out(&ctx, "2.0.0", 2).await;
        assert_eq!(settled(&ctx, &rollout.id).await.state, RolloutState::RollingBack);
        late.succeed(&ctx, "2.0.0", 2).await;
        let offer = late.poll(&ctx).await.offer.unwrap();
        assert_eq!(offer.release, "releases/pump/1.0.0");
        assert_eq!(settled(&ctx, &rollout.id).await.state, RolloutState::RollingBack);
        late.succeed(&ctx, "1.0.0", 1).await;
        let now = settled(&ctx, &rollout.id).await;
        assert_eq!((now.state, now.waves[0].counts.in_flight), (RolloutState::RolledBack, 0), "{now:?}");
        assert_eq!(late.poll(&ctx).await.offer, None);
    }
}

#[tokio::test]
async fn a_rollout_is_not_back_before_those_it_stopped_have_said_where_they_are() {
    let ctx = published().await;
    let (rollout, mut late) = fails_while_one_is_under_way(&ctx, UpdateState::Staged).await;
    late.is_past_return = false;
    assert!(late.poll(&ctx).await.cancel_update);
    assert_eq!(settled(&ctx, &rollout.id).await.state, RolloutState::RollingBack);
    // It let go of the update and runs what it ran.
    assert_eq!(late.poll(&ctx).await.offer, None);
    assert_eq!(settled(&ctx, &rollout.id).await.state, RolloutState::RolledBack);
    // From here on its polls are idle ones.
    let before = ctx.db.statements();
    late.poll(&ctx).await;
    assert_eq!(ctx.db.statements(), before);
}

#[tokio::test]
async fn a_rollout_says_who_never_came_back() {
    let ctx = published().await;
    let (rollout, _late) = fails_while_one_is_under_way(&ctx, UpdateState::Staged).await;
    ctx.clock.advance(Duration::from_secs(2 * 600 + 31 * 60));
    let now = settled(&ctx, &rollout.id).await;
    assert_eq!(now.state, RolloutState::Failed);
    assert!(now.state_reason.ends_with("1 devices did not come back, or did not say so, in time"), "{now:?}");
}

#[tokio::test]
async fn a_device_that_timed_out_and_then_committed_is_sent_back() {
    let ctx = published().await;
    let mut late = Pump::new(&ctx, "p1").await;
    let rollout = create(&ctx, one_wave_that_rolls_back()).await;
    late.poll(&ctx).await;
    late.report(&ctx, UpdateState::Staged).await;
    late.is_past_return = true;
    // Silence is a failure: the wave fails, and the rollout goes back.
    ctx.clock.advance(Duration::from_secs(601));
    assert_eq!(settled(&ctx, &rollout.id).await.state, RolloutState::RollingBack);
    late.succeed(&ctx, "2.0.0", 2).await;
    let offer = late.poll(&ctx).await.offer.unwrap();
    assert_eq!(offer.release, "releases/pump/1.0.0");
    late.succeed(&ctx, "1.0.0", 1).await;
    assert_eq!(settled(&ctx, &rollout.id).await.state, RolloutState::RolledBack);
}

#[tokio::test]
async fn a_resume_after_every_device_failed_is_no_success() {
    let ctx = published().await;
    let mut pump = Pump::new(&ctx, "p1").await;
    let rollout = create(&ctx, plan("2.0.0", &[100.0])).await;
    pump.poll(&ctx).await;
    pump.report(&ctx, UpdateState::RolledBack).await;
    assert_eq!(settled(&ctx, &rollout.id).await.state, RolloutState::Paused);
    rollouts::act(&ctx, OPERATOR, &rollout.id, Act::Resume, "").await.unwrap();
    let now = settled(&ctx, &rollout.id).await;
    assert_eq!(now.state, RolloutState::Failed, "{now:?}");
    assert!(now.state_reason.starts_with("no device took the release: 1 updates failed"), "{now:?}");
}

async fn refused(ctx: &TestContext, draft: Draft) -> String {
    let asked = Asked { request_id: String::new(), digest: slipway_trust::Sha256::of(b"") };
    let mut messages = Vec::new();
    for validate_only in [true, false] {
        match rollouts::create(ctx, OPERATOR, draft.clone(), validate_only, &asked).await {
            Err(Error::Refused(refusal)) if refusal.reason == Reason::NobodyToUpdate => {
                messages.push(refusal.message.clone());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(messages[0], messages[1]);
    messages.remove(0)
}

#[tokio::test]
async fn a_rollout_of_an_older_release_brings_devices_back_where_that_is_allowed() {
    let ctx = published().await;
    let mut pump = Pump::brought_to_2(&ctx, "p1").await;

    let older = plan("1.0.0", &[100.0]);
    let found = preview(&ctx, older.clone()).await.unwrap();
    assert_eq!((found.matched, found.later, found.already_there), (1, 1, 0));
    assert_eq!(
        refused(&ctx, older.clone()).await,
        "no device would be offered releases/pump/1.0.0: of 1 that match, 1 run a later release"
    );

    let allowed = Draft { allow_downgrade: true, ..older };
    let Preview { later, wave_devices, .. } = preview(&ctx, allowed.clone()).await.unwrap();
    assert_eq!((later, wave_devices), (0, vec![1]));
    let rollout = create(&ctx, allowed).await;
    assert_eq!(pump.poll(&ctx).await.offer.unwrap().release, "releases/pump/1.0.0");
    pump.succeed(&ctx, "1.0.0", 1).await;
    assert_eq!(settled(&ctx, &rollout.id).await.state, RolloutState::Succeeded);
    // The newer release is not offered again by a rollout that had its turn.
    assert_eq!(pump.poll(&ctx).await.offer, None);
}

#[tokio::test]
async fn a_rollout_to_nobody_is_refused_unless_it_waits_for_devices() {
    let ctx = published().await;
    let mut pump = Pump::new(&ctx, "p1").await;
    let nobody = Draft { selector: "labels.ring = canray".to_owned(), ..plan("2.0.0", &[100.0]) };
    let why = refused(&ctx, nobody.clone()).await;
    assert!(why.ends_with("the selector matches none of the product's devices"), "{why}");
    create(&ctx, Draft { standing: true, ..nobody }).await;
    assert_eq!(pump.poll(&ctx).await.offer, None);
    // Who runs the release already needs nothing: asking again is no error.
    let rollout = create(&ctx, plan("1.0.0", &[100.0])).await;
    assert_eq!(settled(&ctx, &rollout.id).await.state, RolloutState::Succeeded);
}
