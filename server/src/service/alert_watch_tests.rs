use super::*;
use crate::{
    model::{alert::AlertState, time::DAY},
    service::{
        Error,
        alert_testing::{caller, device, filter_limit, month, relabel, replace_filter, report, revoke},
        alerts::{acknowledge, resolve},
    },
    store::alert_events::alert_events_prune,
};

/// Everything the stream has to say before it would wait.
async fn told(watcher: &mut Watcher) -> Vec<Change> {
    let mut changes = Vec::new();
    loop {
        changes.extend(watcher.ready.drain(..));
        let seen = *watcher.seen.borrow_and_update();
        if !watcher.fill(seen).await.unwrap() {
            return changes;
        }
    }
}

fn devices(changes: &[Change]) -> Vec<&str> {
    changes.iter().filter_map(|change| Some(change.alert.as_ref()?.device_id.as_str())).collect()
}

fn reason(error: Error) -> Reason {
    match error {
        Error::Refused(refusal) => refusal.reason,
        other => panic!("{other:?}"),
    }
}

async fn wearing(ctx: &Context, id: &str, site: &str) {
    let pump = device(ctx, id, site).await;
    report(ctx, &pump, 1, month(ctx.clock.now(), 230.0, 2.0)).await;
}

#[tokio::test]
async fn begins_with_what_is_not_resolved_and_goes_on_live() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    wearing(&ctx, "pump-1", "north").await;
    wearing(&ctx, "pump-2", "north").await;
    let desk = caller(&ctx, "aa", Role::Client, "labels.site = \"north\"").await;
    let mut stream = watch(&ctx, desk.clone(), "", false).await.unwrap();
    let snapshot = told(&mut stream).await;
    assert_eq!(devices(&snapshot).len(), 2);
    // Cut off before the end of the snapshot, a client starts it again.
    assert!(snapshot[..2].iter().all(|change| change.token.is_empty()));
    let end = snapshot.last().unwrap();
    assert!(end.alert.is_none() && !end.token.is_empty());

    wearing(&ctx, "pump-3", "north").await;
    wearing(&ctx, "pump-4", "south").await;
    let live = told(&mut stream).await;
    assert_eq!(devices(&live), ["pump-3"]);
}

#[tokio::test]
async fn wakes_at_once_when_an_alert_changes() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let desk = caller(&ctx, "aa", Role::Viewer, "").await;
    let mut stream = watch(&ctx, desk, "", false).await.unwrap();
    told(&mut stream).await;
    let (change, ()) = tokio::join!(stream.next(), wearing(&ctx, "pump-1", "north"));
    assert_eq!(change.unwrap().alert.unwrap().device_id, "pump-1");
}

#[tokio::test]
async fn a_client_who_comes_back_misses_nothing() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let desk = caller(&ctx, "aa", Role::Client, "labels.site = \"north\"").await;
    let mut stream = watch(&ctx, desk.clone(), "", false).await.unwrap();
    let mut token = told(&mut stream).await.pop().unwrap().token;
    let mut states = Vec::new();
    drop(stream);
    ctx.clock.advance(DAY);
    wearing(&ctx, "pump-1", "north").await;
    for step in 0..3 {
        // Dealt with one message, then cut off.
        let mut stream = watch(&ctx, desk.clone(), &token, false).await.unwrap();
        let news = told(&mut stream).await;
        let first = news.iter().find(|change| change.alert.is_some()).unwrap();
        let alert = first.alert.clone().unwrap();
        states.push(alert.state);
        token.clone_from(&news.last().unwrap().token);
        drop(stream);
        // Long enough that the device's own record does not count as changed.
        ctx.clock.advance(DAY);
        match step {
            0 => drop(acknowledge(&ctx, &desk, &alert.id, "", "").await.unwrap()),
            1 => drop(resolve(&ctx, &desk, &alert.id, "", "").await.unwrap()),
            _ => {}
        }
    }
    assert_eq!(states, [AlertState::Open, AlertState::Acknowledged, AlertState::Resolved]);
    let mut stream = watch(&ctx, desk, &token, false).await.unwrap();
    assert_eq!(devices(&told(&mut stream).await), [""; 0]);
}

#[tokio::test]
async fn a_label_moves_a_device_into_and_out_of_scope() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    wearing(&ctx, "pump-1", "south").await;
    let desk = caller(&ctx, "aa", Role::Client, "labels.site = \"north\"").await;
    let mut stream = watch(&ctx, desk.clone(), "", false).await.unwrap();
    let start = told(&mut stream).await;
    assert_eq!(devices(&start), [""; 0]);
    let before = start.last().unwrap().token.clone();
    ctx.clock.advance(DAY);
    relabel(&ctx, "pump-1", "north").await;
    poll(&ctx).await.unwrap();
    assert_eq!(devices(&told(&mut stream).await), ["pump-1"]);
    poll(&ctx).await.unwrap();
    assert_eq!(devices(&told(&mut stream).await), [""; 0]);
    // Whoever was away meanwhile hears of it too.
    let mut returned = watch(&ctx, desk, &before, false).await.unwrap();
    assert_eq!(devices(&told(&mut returned).await), ["pump-1"]);

    relabel(&ctx, "pump-1", "south").await;
    poll(&ctx).await.unwrap();
    let pump = ctx.devices.get("pump-1").unwrap();
    replace_filter(&ctx, &pump, 9).await;
    assert_eq!(devices(&told(&mut stream).await), [""; 0]);
}

#[tokio::test]
async fn a_client_who_is_cut_off_while_devices_come_into_scope_hears_of_the_others() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let pumps = ["pump-1", "pump-2", "pump-3"];
    for id in pumps {
        wearing(&ctx, id, "south").await;
    }
    let desk = caller(&ctx, "aa", Role::Client, "labels.site = \"north\"").await;
    let mut stream = watch(&ctx, desk.clone(), "", false).await.unwrap();
    let mut token = told(&mut stream).await.pop().unwrap().token;
    for id in pumps {
        relabel(&ctx, id, "north").await;
    }
    // He was away when they came, for so long that only his token tells when.
    ctx.clock.advance(DAY);
    for _ in pumps {
        let mut stream = watch(&ctx, desk.clone(), &token, false).await.unwrap();
        let changes = told(&mut stream).await;
        assert_eq!(devices(&changes).len(), 3);
        token = changes.into_iter().next().unwrap().token;
    }
}

#[tokio::test]
async fn tokens_of_nobody_and_of_long_ago() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let viewer = caller(&ctx, "aa", Role::Viewer, "").await;
    let future = URL_SAFE_NO_PAD.encode("1.99.0");
    for bad in
        ["x", "!!", future.as_str(), &URL_SAFE_NO_PAD.encode("2.0.0"), &URL_SAFE_NO_PAD.encode("1.-1.0")]
    {
        let error = watch(&ctx, viewer.clone(), bad, false).await.unwrap_err();
        assert_eq!(reason(error), Reason::ResumeTokenInvalid, "{bad}");
    }
    let mut stream = watch(&ctx, viewer.clone(), "", false).await.unwrap();
    let token = told(&mut stream).await.pop().unwrap().token;
    wearing(&ctx, "pump-1", "north").await;
    wearing(&ctx, "pump-2", "north").await;
    ctx.clock.advance(DAY * 31);
    let mut tx = ctx.db.write().await.unwrap();
    let before = ctx.clock.now().before(DAY * 30);
    assert_eq!(alert_events_prune(&mut tx, before, 1).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(reason(watch(&ctx, viewer, &token, false).await.unwrap_err()), Reason::ResumeTokenTooOld);
    // An open stream that slept through it is told the same.
    let seen = *stream.seen.borrow_and_update();
    assert_eq!(reason(stream.fill(seen).await.unwrap_err()), Reason::ResumeTokenTooOld);
}

#[tokio::test]
async fn another_replica_is_heard_by_polling() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    // The same database, another process: its feed does not reach ours.
    let other = Context { alerts: super::super::alerts::AlertFeed::default(), ..Context::clone(&ctx) };
    let viewer = caller(&ctx, "aa", Role::Viewer, "").await;
    let mut stream = watch(&ctx, viewer, "", false).await.unwrap();
    told(&mut stream).await;
    wearing(&other, "pump-1", "north").await;
    assert!(!stream.seen.has_changed().unwrap());
    poll(&ctx).await.unwrap();
    assert!(stream.seen.has_changed().unwrap());
    assert_eq!(devices(&told(&mut stream).await), ["pump-1"]);
}

#[tokio::test]
async fn a_silent_stream_keeps_alive_with_a_moved_token() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let desk = caller(&ctx, "aa", Role::Client, "labels.site = \"north\"").await;
    let mut stream = watch(&ctx, desk.clone(), "", false).await.unwrap();
    let start = told(&mut stream).await.pop().unwrap().token;
    wearing(&ctx, "pump-1", "south").await;
    stream.keep_alive = interval(Duration::from_millis(1));
    let change = stream.next().await.unwrap();
    assert!(change.alert.is_none());
    assert!(read_token(&change.token).unwrap().0 > read_token(&start).unwrap().0);
}

#[tokio::test]
async fn a_revoked_token_is_signalled() {
    let ctx = Context::for_test().await;
    let desk = caller(&ctx, "aa", Role::Client, "labels.site = \"north\"").await;
    let ((), ()) = tokio::join!(desk.ended(), revoke(&ctx, "aa"));
}
