//! Receivers that are away, and come back.

use super::*;
use crate::model::delivery::PAUSES;

#[tokio::test]
async fn what_fails_is_tried_by_the_schedule_then_the_webhook_rests_until_it_is_enabled() {
    let (_test, ctx) = world().await;
    let desk = Desk::start().await;
    let (caller, id) = hook(&ctx, &desk, Role::Operator, "").await;
    desk.answer(503);
    happen(&ctx, "alerts/a", "", 1).await;
    happen(&ctx, "alerts/a", "", 2).await;
    deliver(&ctx, &id).await.unwrap();
    for pause in PAUSES {
        assert_eq!(desk.heard(), heard(&[("alerts/a", 1)]), "the second waits for the first");
        assert!(with_work(&ctx).await.unwrap().is_empty());
        ctx.clock.advance(pause.mul_f64(1.1));
        deliver(&ctx, &id).await.unwrap();
    }
    assert_eq!(desk.heard(), heard(&[("alerts/a", 1)]), "ten times in all");
    let standing = look_at(&ctx, &caller, &id).await;
    assert!(!standing.webhook.enabled && standing.waiting == 2, "{standing:?}");
    assert_eq!(
        standing.webhook.disabled_reason,
        "10 attempts failed; the last: the receiver answered 503 Service Unavailable"
    );
    let mut tx = ctx.db.read().await.unwrap();
    let entry = audit_before(&mut tx, i64::MAX, 1).await.unwrap().remove(0);
    drop(tx);
    assert_eq!((entry.action.as_str(), entry.resource), ("DisableWebhook", format!("webhooks/{id}")));
    tally(&ctx).await.unwrap();
    let text = ctx.metrics.text(0);
    for line in [
        "slipwayd_webhook_disabled_total 1",
        "slipwayd_webhooks{health=\"disabled\"} 1",
        "slipwayd_webhook_deliveries_waiting 2",
        "slipwayd_webhook_attempts_total{outcome=\"failed\"} 10",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }

    ctx.clock.advance(Duration::from_secs(86_400));
    deliver(&ctx, &id).await.unwrap();
    assert_eq!(desk.heard(), []);
    desk.answer(200);
    happen(&ctx, "alerts/b", "", 3).await;
    let change = Change { enabled: Some(true), ..Change::default() };
    webhooks::update(&ctx, &caller, &id, change, "").await.unwrap();
    deliver(&ctx, &id).await.unwrap();
    let mut came = desk.heard();
    assert_eq!(came, heard(&[("alerts/a", 1)]), "one, to see whether it works");
    ctx.clock.advance(Duration::from_secs(1));
    deliver(&ctx, &id).await.unwrap();
    came.extend(desk.heard());
    came.sort();
    assert_eq!(came, heard(&[("alerts/a", 1), ("alerts/a", 2), ("alerts/b", 3)]), "nothing was lost");
}

#[tokio::test]
async fn a_receiver_that_is_back_hears_what_waits_a_little_more_each_second() {
    let (_test, ctx) = world().await;
    let desk = Desk::start().await;
    let (_, id) = hook(&ctx, &desk, Role::Operator, "").await;
    desk.answer(500);
    for n in 0..40 {
        happen(&ctx, &format!("alerts/{n}"), "", n).await;
    }
    // All but one come up a second time, then have minutes to wait.
    for _ in 0..2 {
        deliver(&ctx, &id).await.unwrap();
        ctx.clock.advance(Duration::from_secs(6));
    }
    desk.answer(200);
    desk.heard();
    // Of one subject, and so one after the other, in the same second all the same.
    for n in 40..60 {
        happen(&ctx, "alerts/new", "", n).await;
    }
    let mut came = Vec::new();
    let mut counts = Vec::new();
    for second in 0..6 {
        for _ in 0..3 {
            deliver(&ctx, &id).await.unwrap();
        }
        came.extend(desk.heard());
        counts.push(came.len());
        if second == 2 {
            // Another process goes on as slowly.
            let outbound = ctx.courier.outbound().clone();
            let heir = Context { courier: Courier::new(outbound, &Rng::seeded(4)), ..ctx.clone() };
            deliver(&heir, &id).await.unwrap();
            assert_eq!(desk.heard(), []);
        }
        ctx.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(counts, [1, 3, 7, 15, 31, 60]);
    let new = came.iter().filter(|(subject, _)| subject == "alerts/new").map(|(_, n)| *n);
    assert_eq!(new.collect::<Vec<_>>(), (40..60).collect::<Vec<_>>(), "in order");
    let mut all: Vec<u64> = came.into_iter().map(|(_, n)| n).collect();
    all.sort_unstable();
    assert_eq!(all, (0..60).collect::<Vec<_>>(), "each once");
}

#[tokio::test]
async fn a_receiver_that_falls_again_is_asked_by_one_event_and_no_more() {
    let (_test, ctx) = world().await;
    let desk = Desk::start().await;
    let (_, id) = hook(&ctx, &desk, Role::Operator, "").await;
    desk.answer(500);
    for n in 0..20 {
        happen(&ctx, &format!("alerts/{n}"), "", n).await;
    }
    deliver(&ctx, &id).await.unwrap();
    desk.heard();
    desk.answer(200);
    ctx.clock.advance(Duration::from_secs(6));
    for count in [1, 2] {
        deliver(&ctx, &id).await.unwrap();
        assert_eq!(desk.heard().len(), count);
        ctx.clock.advance(Duration::from_secs(1));
    }
    desk.answer(503);
    deliver(&ctx, &id).await.unwrap();
    assert_eq!(desk.heard().len(), 4, "the share of this second is all that it costs");
    desk.answer(200);
    for count in [1, 2, 4] {
        ctx.clock.advance(Duration::from_secs(1));
        deliver(&ctx, &id).await.unwrap();
        assert_eq!(desk.heard().len(), count, "from the beginning");
    }
}
