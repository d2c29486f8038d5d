use super::*;
use crate::{
    model::{
        plan::Draft,
        refusal::Reason as Refused,
        rollout::{Act, RolloutState},
        update::UpdateState,
        wave::WaveState,
    },
    service::{
        Error, explain, reports,
        rollout_testing::{OPERATOR, Pump, create, plan, published, replica, settled},
        rollouts,
    },
    store::{update_lists::updates_page, updates::history_list},
    tasks::rollouts::reconcile,
};

#[tokio::test]
async fn a_poll_at_which_nothing_changed_executes_no_sql() {
    let ctx = published().await;
    let mut pump = Pump::new(&ctx, "p1").await;
    // A rollout that has nothing for the device costs nothing either.
    create(&ctx, plan("1.0.0", &[100.0])).await;
    pump.poll(&ctx).await;
    let before = ctx.db.statements();
    for _ in 0..10 {
        let answer = pump.poll(&ctx).await;
        assert_eq!(answer, Answer { next_check_in: answer.next_check_in, ..Answer::default() });
        assert!((45..=75).contains(&answer.next_check_in.as_secs()), "{answer:?}");
    }
    assert_eq!(ctx.db.statements(), before);
    reconcile(&ctx).await.unwrap();
    let before = ctx.db.statements();
    reconcile(&ctx).await.unwrap();
    assert_eq!(ctx.db.statements(), before, "a reconciler with nothing to do");
}

#[tokio::test]
async fn an_inventory_is_asked_for_once() {
    let ctx = published().await;
    let pump = Pump::new(&ctx, "p1").await;
    let call = CheckIn { inventory_digest: 99, ..CheckIn::default() };
    let answer = check_in(&ctx, pump.entry(&ctx), call.clone()).await.unwrap();
    assert!(answer.want_inventory && answer.next_check_in <= Duration::from_secs(1), "{answer:?}");
    let inventory = Some(Inventory { digest: 99, floor: 7, ..Inventory::default() });
    let answer = check_in(&ctx, pump.entry(&ctx), CheckIn { inventory, ..call }).await.unwrap();
    assert!(!answer.want_inventory, "{answer:?}");
    assert_eq!(pump.entry(&ctx).floor, 7);
}

#[tokio::test]
async fn an_offer_comes_with_its_signed_assignment_and_again_when_it_was_lost() {
    let ctx = published().await;
    let mut pump = Pump::new(&ctx, "p1").await;
    let rollout = create(&ctx, plan("2.0.0", &[100.0])).await;
    let answer = pump.poll(&ctx).await;
    let offer = answer.offer.clone().unwrap();
    assert_eq!(offer.release, "releases/pump/2.0.0");
    assert!(answer.trust.unwrap().assignment.is_some());

    // The answer was lost: the device asks as before, and hears the same.
    let lost = CheckIn { have: Versions::default(), inventory_digest: 1, ..CheckIn::default() };
    let again = check_in(&ctx, pump.entry(&ctx), lost).await.unwrap();
    assert_eq!(again.offer, Some(offer));
    assert!(again.trust.unwrap().assignment.is_some());
    // It works on it: nothing more to say, and nothing to look up.
    let before = ctx.db.statements();
    let answer = pump.poll(&ctx).await;
    assert_eq!((answer.offer, answer.trust, answer.cancel_update), (None, None, false));
    assert_eq!(ctx.db.statements(), before);
    assert_eq!(settled(&ctx, &rollout.id).await.waves[0].counts.in_flight, 1);
}

#[tokio::test]
async fn a_rollout_goes_through_its_waves() {
    let ctx = published().await;
    let mut pumps = Vec::new();
    for i in 0..20 {
        pumps.push(Pump::new(&ctx, &format!("p{i}")).await);
    }
    let rollout = create(&ctx, plan("2.0.0", &[30.0, 100.0])).await;
    for round in 0..4 {
        for pump in &mut pumps {
            pump.poll(&ctx).await;
            if pump.update.is_some() {
                pump.report(&ctx, UpdateState::Downloading).await;
                pump.report(&ctx, UpdateState::Trial).await;
                pump.succeed(&ctx, "2.0.0", 2).await;
            }
        }
        let now = settled(&ctx, &rollout.id).await;
        assert!(now.waves.iter().all(|wave| wave.counts.in_flight == 0), "{round}: {now:?}");
    }
    let done = settled(&ctx, &rollout.id).await;
    assert_eq!(done.state, RolloutState::Succeeded, "{done:?}");
    assert!(done.waves.iter().all(|wave| wave.state == WaveState::Passed));
    assert_eq!(done.waves.iter().map(|wave| wave.counts.succeeded).sum::<u32>(), 20);
    assert!(pumps.iter().all(|pump| &*pump.entry(&ctx).version == "2.0.0"));
}

#[tokio::test]
async fn a_failed_gate_pauses_and_a_resume_counts_afresh() {
    let ctx = published().await;
    let mut pumps = [Pump::new(&ctx, "p1").await, Pump::new(&ctx, "p2").await];
    let rollout = create(&ctx, plan("2.0.0", &[100.0])).await;
    pumps[0].poll(&ctx).await;
    pumps[0].report(&ctx, UpdateState::RolledBack).await;
    let now = settled(&ctx, &rollout.id).await;
    assert_eq!((now.state, now.waves[0].state), (RolloutState::Paused, WaveState::Failed));
    assert_eq!(now.state_reason, "wave 1 failed: 1 of 1 finished updates failed, more than 5 %");
    assert_eq!(pumps[1].poll(&ctx).await.offer, None);

    let error = rollouts::act(&ctx, OPERATOR, &rollout.id, Act::Resume, "0").await.unwrap_err();
    assert!(matches!(error, Error::Refused(refusal) if refusal.reason == Refused::EtagMismatch));
    rollouts::act(&ctx, OPERATOR, &rollout.id, Act::Resume, &now.etag()).await.unwrap();
    // The one that failed is not offered it again by this rollout.
    assert_eq!(pumps[0].poll(&ctx).await.offer, None);
    pumps[1].poll(&ctx).await;
    pumps[1].succeed(&ctx, "2.0.0", 2).await;
    assert_eq!(settled(&ctx, &rollout.id).await.state, RolloutState::Succeeded);
    let error = rollouts::act(&ctx, OPERATOR, &rollout.id, Act::Pause, "").await.unwrap_err();
    assert!(matches!(error, Error::Refused(refusal) if refusal.reason == Refused::RolloutStateRefused));
}

#[tokio::test]
async fn a_wave_waits_for_devices_that_are_on_trial() {
    let ctx = published().await;
    let mut pumps = vec![Pump::new(&ctx, "p1").await, Pump::new(&ctx, "p2").await];
    let rollout = create(&ctx, plan("2.0.0", &[100.0])).await;
    for pump in &mut pumps {
        pump.poll(&ctx).await;
        pump.try_out(&ctx, "2.0.0", 2).await;
    }
    let now = settled(&ctx, &rollout.id).await;
    assert_eq!((now.state, now.waves[0].counts.in_flight), (RolloutState::Running, 2), "{now:?}");
    for pump in &mut pumps {
        pump.report(&ctx, UpdateState::RolledBack).await;
    }
    assert_eq!(settled(&ctx, &rollout.id).await.state, RolloutState::Paused);
}

#[tokio::test]
async fn a_failed_gate_can_bring_devices_back() {
    let ctx = published().await;
    let mut pumps = Vec::new();
    for id in ["p1", "p2", "p3"] {
        pumps.push(Pump::new(&ctx, id).await);
    }
    let draft = Draft { rolls_back: true, ..plan("2.0.0", &[100.0]) };
    let rollout = create(&ctx, draft).await;
    for pump in &mut pumps {
        pump.poll(&ctx).await;
    }
    pumps[0].succeed(&ctx, "2.0.0", 2).await;
    pumps[1].report(&ctx, UpdateState::RolledBack).await;
    let now = settled(&ctx, &rollout.id).await;
    assert_eq!(now.state, RolloutState::RollingBack, "{now:?}");
    // What was not installed yet is taken back; what fell back by itself is offered nothing.
    assert!(pumps[2].poll(&ctx).await.cancel_update);
    assert_eq!(pumps[2].poll(&ctx).await.offer, None);
    assert_eq!(pumps[1].poll(&ctx).await.offer, None);
    let offer = pumps[0].poll(&ctx).await.offer.unwrap();
    assert_eq!(offer.release, "releases/pump/1.0.0");
    assert_eq!(settled(&ctx, &rollout.id).await.state, RolloutState::RollingBack);
    pumps[0].succeed(&ctx, "1.0.0", 1).await;
    let now = settled(&ctx, &rollout.id).await;
    assert_eq!(now.state, RolloutState::RolledBack);
    let counts = now.waves[0].counts;
    assert_eq!((counts.in_flight, counts.succeeded, counts.failed, counts.cancelled), (0, 1, 1, 1));
    assert_eq!(&*pumps[0].entry(&ctx).version, "1.0.0");
}

#[tokio::test]
async fn an_abort_takes_back_what_is_not_installed() {
    let ctx = published().await;
    let (mut early, mut late) = (Pump::new(&ctx, "p1").await, Pump::new(&ctx, "p2").await);
    let rollout = create(&ctx, plan("2.0.0", &[100.0])).await;
    early.poll(&ctx).await;
    late.poll(&ctx).await;
    late.report(&ctx, UpdateState::Trial).await;
    rollouts::act(&ctx, OPERATOR, &rollout.id, Act::Abort, "").await.unwrap();
    assert!(early.poll(&ctx).await.cancel_update);
    // On trial the device has left the old version: it ends that by itself, and it counts.
    assert!(!late.poll(&ctx).await.cancel_update);
    late.succeed(&ctx, "2.0.0", 2).await;
    let now = settled(&ctx, &rollout.id).await;
    let counts = now.waves[0].counts;
    assert_eq!((now.state, counts.in_flight), (RolloutState::Aborted, 0));
    assert_eq!((counts.succeeded, counts.cancelled), (1, 1));
}

#[tokio::test]
async fn reports_count_once() {
    let ctx = published().await;
    let mut pump = Pump::new(&ctx, "p1").await;
    let other = Pump::new(&ctx, "p2").await;
    let rollout = create(&ctx, plan("2.0.0", &[100.0])).await;
    pump.poll(&ctx).await;
    let update = pump.update.clone().unwrap();
    pump.report(&ctx, UpdateState::Downloading).await;
    let mut last = pump.report_of(&update, UpdateState::Failed);
    last.sequence = 9;
    for _ in 0..3 {
        reports::report(&ctx, &pump.entry(&ctx), &last).await.unwrap();
    }
    // Late: noted, and nothing else.
    last.sequence = 10;
    last.state = UpdateState::Succeeded;
    reports::report(&ctx, &pump.entry(&ctx), &last).await.unwrap();
    let mut tx = ctx.db.read().await.unwrap();
    let updates = updates_page(&mut tx, Some("p1"), None, 10).await.unwrap();
    assert_eq!(updates[0].state, UpdateState::Failed);
    let history = history_list(&mut tx, &updates[0].id).await.unwrap();
    let states: Vec<_> = history.iter().map(|line| line.state.as_str()).collect();
    assert_eq!(states, ["offered", "downloading", "failed", "succeeded"]);
    drop(tx);
    assert_eq!(settled(&ctx, &rollout.id).await.waves[0].counts.failed, 1);

    let foreign = reports::report(&ctx, &other.entry(&ctx), &last).await.unwrap_err();
    assert!(matches!(foreign, Error::Refused(refusal) if refusal.reason == Refused::UpdateUnknown));
    last.sequence = 11;
    last.update = "devices/p1/updates/none".to_owned();
    let unknown = reports::report(&ctx, &pump.entry(&ctx), &last).await.unwrap_err();
    assert!(matches!(unknown, Error::Refused(refusal) if refusal.reason == Refused::UpdateUnknown));
}

#[tokio::test]
async fn silence_is_a_failure_and_three_of_them_a_quarantine() {
    let ctx = published().await;
    let mut pump = Pump::new(&ctx, "p1").await;
    for round in 1..=3 {
        let rollout = create(&ctx, plan("2.0.0", &[100.0])).await;
        assert!(pump.poll(&ctx).await.offer.is_some(), "{round}");
        ctx.clock.advance(Duration::from_secs(601));
        assert_eq!(settled(&ctx, &rollout.id).await.waves[0].counts.failed, 1);
        // The device still works on it, and is told to stop.
        assert!(pump.poll(&ctx).await.cancel_update, "{round}");
        rollouts::act(&ctx, OPERATOR, &rollout.id, Act::Abort, "").await.unwrap();
    }
    create(&ctx, Draft { standing: true, ..plan("2.0.0", &[100.0]) }).await;
    assert_eq!(pump.poll(&ctx).await.offer, None);
    let why = explain::device(&ctx, "p1").await.unwrap().unwrap();
    let codes: Vec<_> = why.verdicts[0].1.obstacles.iter().map(|obstacle| obstacle.code()).collect();
    assert_eq!(codes, ["QUARANTINED"]);
    assert_eq!(why.updates.len(), 3);
    ctx.clock.advance(Duration::from_secs(24 * 3600));
    assert!(explain::device(&ctx, "p1").await.unwrap().unwrap().offer.is_some());
    assert!(pump.poll(&ctx).await.offer.is_some());
}

#[tokio::test]
async fn a_replica_that_is_behind_does_not_cancel_what_another_one_offered() {
    let ctx = published().await;
    let mut pump = Pump::new(&ctx, "p1").await;
    let other = replica(&ctx).await;
    create(&ctx, plan("2.0.0", &[100.0])).await;
    assert!(pump.poll(&ctx).await.offer.is_some());
    let answer = pump.poll(&other).await;
    assert!(!answer.cancel_update && pump.update.is_some(), "{answer:?}");
}

#[tokio::test]
async fn an_assignment_is_signed_anew_before_it_expires() {
    let ctx = published().await;
    let mut pump = Pump::brought_to_2(&ctx, "p1").await;
    assert_eq!(pump.entry(&ctx).assignment.map(|signed| signed.version), Some(1));
    ctx.clock.advance(Duration::from_secs(16 * 24 * 3600));
    // The online metadata is due as well.
    super::super::signing::renew(&ctx).await.unwrap();
    let answer = pump.poll(&ctx).await;
    assert!(answer.trust.is_some_and(|delta| delta.assignment.is_some()));
    assert_eq!(pump.entry(&ctx).assignment.map(|signed| signed.version), Some(2));
}
