use std::time::Duration;

use slipway_trust::Versions;

use super::*;
use crate::{
    model::alert::AlertState,
    service::{
        alert_testing::worn,
        check_in::{CheckIn, check_in},
        conditions, silences, suppression,
        testing::{TestContext, enrolled},
    },
    store::alerts::{Lives, alert_insert, alert_update, alerts_page},
};

/// Fifteen intervals of a minute with their spread, and what a device may be late.
const AFTER: Duration = Duration::from_secs(15 * 75 + 60);
const MINUTE: Duration = Duration::from_secs(60);

async fn alerts(ctx: &Context) -> Vec<Alert> {
    let mut tx = ctx.db.read().await.unwrap();
    let mut all = alerts_page(&mut tx, Lives::Any, Timestamp::from_millis(i64::MAX), "", 100).await.unwrap();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}

async fn call(ctx: &Context, id: &str) {
    let entry = ctx.devices.get(id).unwrap();
    entry.called(Versions::default(), ctx.clock.now());
}

/// Devices of a site, all of which have called now.
async fn site(ctx: &Context, name: &str, count: usize) -> Vec<String> {
    let ids: Vec<String> = (0..count).map(|n| format!("{name}-{n}")).collect();
    for id in &ids {
        let labels = [("site".to_owned(), name.to_owned())];
        enrolled(ctx, id, |device| device.labels = labels.into()).await;
    }
    ids
}

/// An alert about something else, told.
async fn odd(ctx: &Context, device_id: &str) -> Alert {
    let alert = worn(ctx, device_id);
    let mut tx = ctx.db.write().await.unwrap();
    alert_insert(&mut tx, &alert).await.unwrap();
    commit(ctx, tx, vec![alert.clone()]).await.unwrap();
    alert
}

async fn flagged(ctx: &Context, id: &str) -> String {
    alerts(ctx).await.into_iter().find(|alert| alert.id == id).unwrap().suppressed_by
}

async fn context() -> TestContext {
    Context::for_test().await
}

#[tokio::test]
async fn told_once_and_over_at_the_next_call() {
    let ctx = context().await;
    site(&ctx, "north", 1).await;
    ctx.clock.advance(AFTER);
    reconcile(&ctx).await.unwrap();
    assert_eq!(alerts(&ctx).await, []);
    ctx.clock.advance(Duration::from_secs(1));
    for _ in 0..3 {
        reconcile(&ctx).await.unwrap();
    }
    let [alert] = <[Alert; 1]>::try_from(alerts(&ctx).await).unwrap();
    assert_eq!(
        (alert.kind, alert.state, alert.severity),
        (Kind::Offline, AlertState::Open, Severity::Warning)
    );
    assert_eq!(alert.summary, "north-0 does not call any more; its last call was on 1 January 00:00 UTC.");
    // Its check-in costs no statement and wakes the reconciler.
    let entry = ctx.devices.get("north-0").unwrap();
    let before = ctx.db.statements();
    assert!(entry.called(Versions::default(), ctx.clock.now()), "it is news");
    assert!(!entry.called(Versions::default(), ctx.clock.now()), "once");
    assert_eq!(ctx.db.statements(), before);
    reconcile(&ctx).await.unwrap();
    let [alert] = <[Alert; 1]>::try_from(alerts(&ctx).await).unwrap();
    assert_eq!(alert.state, AlertState::Resolved);
}

#[tokio::test]
async fn a_poll_that_ends_a_silence_touches_no_table() {
    let ctx = context().await;
    let entry = enrolled(&ctx, "pump-1", |_| {}).await;
    ctx.clock.advance(AFTER + MINUTE);
    reconcile(&ctx).await.unwrap();
    let before = ctx.db.statements();
    let poll = CheckIn { inventory_digest: entry.inventory_digest, ..CheckIn::default() };
    check_in(&ctx, entry, poll).await.unwrap();
    assert_eq!(ctx.db.statements(), before);
    let woken = ctx.offline.woken();
    tokio::time::timeout(Duration::from_secs(5), woken.notified()).await.unwrap();
}

#[tokio::test]
async fn what_was_resolved_by_hand_stays_so_for_the_same_silence() {
    let ctx = context().await;
    site(&ctx, "north", 1).await;
    ctx.clock.advance(AFTER + MINUTE);
    reconcile(&ctx).await.unwrap();
    let mut tx = ctx.db.write().await.unwrap();
    let resolved = alerts(&ctx).await.remove(0).resolve(ctx.clock.now()).unwrap();
    assert!(alert_update(&mut tx, &resolved).await.unwrap());
    tx.commit().await.unwrap();
    for _ in 0..3 {
        ctx.clock.advance(AFTER);
        reconcile(&ctx).await.unwrap();
    }
    assert_eq!(alerts(&ctx).await, std::slice::from_ref(&resolved));
    // It called, and fell silent again within a day: the same alert opens again.
    call(&ctx, "north-0").await;
    ctx.clock.advance(AFTER + MINUTE);
    reconcile(&ctx).await.unwrap();
    let [again] = <[Alert; 1]>::try_from(alerts(&ctx).await).unwrap();
    assert_eq!((again.id, again.state), (resolved.id, AlertState::Open));
}

#[tokio::test]
async fn a_site_that_goes_dark_is_one_alert() {
    let ctx = context().await;
    let north = site(&ctx, "north", 8).await;
    let south = site(&ctx, "south", 8).await;
    ctx.clock.advance(AFTER + MINUTE);
    for id in &south {
        call(&ctx, id).await;
    }
    for _ in 0..2 {
        reconcile(&ctx).await.unwrap();
    }
    let [outage] = <[Alert; 1]>::try_from(alerts(&ctx).await).unwrap();
    assert_eq!(
        outage.summary,
        "Most devices of site north stopped calling at about the same time, on 1 January 00:00 UTC."
    );
    assert_eq!((outage.device_id.as_str(), outage.cause.as_str()), ("", "offline/site=north"));
    assert_eq!((outage.severity, outage.kind), (Severity::Critical, Kind::Offline));
    // It explains the other alerts of those who are silent, and of nobody else.
    let (dark, light) = (odd(&ctx, "north-3").await, odd(&ctx, "south-3").await);
    suppression::reconcile(&ctx).await.unwrap();
    assert_eq!(flagged(&ctx, &dark.id).await, format!("alerts/{}", outage.id));
    assert_eq!(flagged(&ctx, &light.id).await, "");
    // Seven come back: the outage is over, and who is left is told for itself.
    for id in &north[1..] {
        call(&ctx, id).await;
    }
    reconcile(&ctx).await.unwrap();
    let all = alerts(&ctx).await;
    let living: Vec<&str> =
        all.iter().filter(|alert| alert.is_living()).map(|alert| alert.device_id.as_str()).collect();
    assert_eq!(living.len(), 3, "{living:?}");
    assert!(all.iter().any(|alert| alert.device_id == "north-0" && alert.kind == Kind::Offline));
    suppression::reconcile(&ctx).await.unwrap();
    assert_eq!(flagged(&ctx, &dark.id).await, "");
}

#[tokio::test]
async fn a_server_that_was_down_waits_before_it_says_anything() {
    let test = context().await;
    let mut ctx: Context = Context::clone(&test);
    site(&ctx, "north", 8).await;
    ctx.clock.advance(AFTER * 4);
    let started_at = ctx.clock.now();
    ctx.offline = Offline::new(Settings::default(), started_at);
    reconcile(&ctx).await.unwrap();
    ctx.clock.advance(AFTER);
    reconcile(&ctx).await.unwrap();
    assert_eq!(alerts(&ctx).await, []);
    ctx.clock.advance(MINUTE);
    reconcile(&ctx).await.unwrap();
    assert_eq!(alerts(&ctx).await.len(), 1, "the site, once");
    let off = Settings { after: 0, ..Settings::default() };
    ctx.offline = Offline::new(off, started_at);
    call(&ctx, "north-0").await;
    reconcile(&ctx).await.unwrap();
    assert_eq!(alerts(&ctx).await.len(), 1, "turned off, it says nothing");
}

#[tokio::test]
async fn the_other_alerts_of_a_silent_device_are_flagged_and_told_again() {
    let ctx = context().await;
    enrolled(&ctx, "pump-1", |_| {}).await;
    let worn = odd(&ctx, "pump-1").await;
    ctx.clock.advance(AFTER + MINUTE);
    reconcile(&ctx).await.unwrap();
    suppression::reconcile(&ctx).await.unwrap();
    let all = alerts(&ctx).await;
    let offline = all.iter().find(|alert| alert.kind == Kind::Offline).unwrap();
    let flagged = all.iter().find(|alert| alert.id == worn.id).unwrap();
    assert_eq!(flagged.suppressed_by, format!("alerts/{}", offline.id));
    assert!(flagged.is_living() && flagged.told && offline.suppressed_by.is_empty());
    // The selectors of rollouts know both.
    conditions::follow(&ctx).await.unwrap();
    assert_eq!(ctx.devices.get("pump-1").unwrap().conditions.len(), 2);
    call(&ctx, "pump-1").await;
    reconcile(&ctx).await.unwrap();
    suppression::reconcile(&ctx).await.unwrap();
    let all = alerts(&ctx).await;
    assert_eq!(all.iter().find(|alert| alert.id == worn.id).unwrap().suppressed_by, "");
    conditions::follow(&ctx).await.unwrap();
    assert_eq!(ctx.devices.get("pump-1").unwrap().conditions.len(), 1);
}

#[tokio::test]
async fn a_silence_flags_what_matches_until_it_ends() {
    let ctx = context().await;
    enrolled(&ctx, "pump-1", |_| {}).await;
    let (worn, now) = (odd(&ctx, "pump-1").await, ctx.clock.now());
    let matcher = |text| crate::model::silence::Silence::matcher(text).unwrap();
    let why = || "new switch".to_owned();
    let silence =
        silences::create(&ctx, "tests", matcher("labels.site = north"), why(), now.after(MINUTE * 5));
    let silence = silence.await.unwrap();
    suppression::reconcile(&ctx).await.unwrap();
    assert_eq!(flagged(&ctx, &worn.id).await, format!("silences/{}", silence.id));
    ctx.clock.advance(MINUTE * 5);
    suppression::reconcile(&ctx).await.unwrap();
    assert_eq!(flagged(&ctx, &worn.id).await, "", "it ended by itself");
    let again =
        silences::create(&ctx, "tests", matcher("kind:*"), why(), now.after(MINUTE * 60)).await.unwrap();
    suppression::reconcile(&ctx).await.unwrap();
    assert_ne!(flagged(&ctx, &worn.id).await, "");
    silences::delete(&ctx, "tests", &again.id).await.unwrap();
    assert!(silences::delete(&ctx, "tests", &again.id).await.is_err());
    suppression::reconcile(&ctx).await.unwrap();
    assert_eq!(flagged(&ctx, &worn.id).await, "", "somebody ended it");
    // Nothing changed: the reconciler reads a little and writes nothing.
    let before = alerts(&ctx).await;
    suppression::reconcile(&ctx).await.unwrap();
    assert_eq!(alerts(&ctx).await, before);
}
