use std::time::Duration;

use super::*;
use crate::{
    model::{alert::AlertState, time::DAY},
    service::alert_testing::{caller, device, filter_limit, month, reading, relabel, report, worn},
    store::{
        alerts::{alert_insert, alerts_living},
        audit::audit_page,
        series::series_of_device,
    },
};

async fn only_alert(ctx: &Context) -> Alert {
    let mut tx = ctx.db.read().await.unwrap();
    alerts_living(&mut tx, "", 10).await.unwrap().remove(0)
}

fn reason(error: Error) -> Reason {
    match error {
        Error::Refused(refusal) => refusal.reason,
        other => panic!("{other:?}"),
    }
}

async fn ids(ctx: &Context, caller: &TokenCaller, filter: &str) -> Vec<String> {
    let filter = Filter::parse(filter, FILTER_FIELDS, Reason::FilterInvalid).unwrap();
    let mut token = String::new();
    let mut found = Vec::new();
    loop {
        let page = Page::parse(1, &token, &["alerts"]).unwrap();
        let answer = list(ctx, caller, &page, &filter, false).await.unwrap();
        found.extend(answer.alerts.into_iter().map(|alert| alert.device_id));
        if answer.next.is_empty() {
            return found;
        }
        token = answer.next;
    }
}

#[tokio::test]
async fn resolved_alerts_are_left_out_and_counted_unless_they_are_asked_for() {
    let ctx = Context::for_test().await;
    device(&ctx, "pump-1", "north").await;
    let operator = caller(&ctx, "dd", Role::Operator, "").await;
    let client = caller(&ctx, "aa", Role::Client, "labels.site = \"north\"").await;
    let mut tx = ctx.db.write().await.unwrap();
    for n in 0..5_u64 {
        // The living ones changed before the resolved ones, and lie on another page of all.
        let now = ctx.clock.now();
        let cause = format!("anomaly/{n}");
        let alert = Alert { id: format!("a{n}"), cause, ..worn(&ctx, "pump-1") };
        let alert = if n < 2 { alert } else { alert.cleared("It is over.", now.after(DAY)) };
        alert_insert(&mut tx, &alert).await.unwrap();
    }
    tx.commit().await.unwrap();
    let ask = async |caller: &TokenCaller, text: &str, living_only: bool, size: i32| {
        let filter = Filter::parse(text, FILTER_FIELDS, Reason::FilterInvalid).unwrap();
        let page = Page::parse(size, "", &["alerts"]).unwrap();
        let found = list(&ctx, caller, &page, &filter, living_only).await.unwrap();
        let ids: Vec<String> = found.alerts.into_iter().map(|alert| alert.id).collect();
        (ids.join(" "), found.resolved)
    };
    assert_eq!(ask(&operator, "", true, 9).await, ("a1 a0".to_owned(), Some(3)));
    assert_eq!(ask(&operator, "", true, 1).await, ("a1".to_owned(), Some(3)));
    assert_eq!(ask(&operator, "", false, 9).await, ("a4 a3 a2 a1 a0".to_owned(), None));
    // What is only known by reading all of them is not said: with a filter, and of others' devices.
    assert_eq!(ask(&operator, "kind = anomaly", true, 9).await, ("a1 a0".to_owned(), None));
    assert_eq!(ask(&client, "", true, 9).await, ("a1 a0".to_owned(), None));
    for text in ["state = resolved", "NOT (state = open OR device = x)"] {
        assert_eq!(ask(&operator, text, true, 9).await, ("a4 a3 a2".to_owned(), None), "{text}");
    }
}

#[tokio::test]
async fn out_of_scope_does_not_exist() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let pump = device(&ctx, "pump-1", "north").await;
    report(&ctx, &pump, 1, month(ctx.clock.now(), 230.0, 2.0)).await;
    let alert = only_alert(&ctx).await;
    let north = caller(&ctx, "aa", Role::Client, "labels.site = \"north\"").await;
    let south = caller(&ctx, "bb", Role::Client, "labels.site = \"south\"").await;
    assert_eq!(get(&ctx, &north, &alert.id).await.unwrap(), alert);
    assert_eq!(ids(&ctx, &north, "").await, ["pump-1"]);
    assert_eq!(ids(&ctx, &south, "").await, [""; 0]);
    for refused in [
        get(&ctx, &south, &alert.id).await,
        acknowledge(&ctx, &south, &alert.id, "", "").await,
        resolve(&ctx, &south, &alert.id, "", "").await,
        get(&ctx, &north, "nothing").await,
    ] {
        assert_eq!(reason(refused.unwrap_err()), Reason::AlertNotFound);
    }
    relabel(&ctx, "pump-1", "south").await;
    assert!(get(&ctx, &south, &alert.id).await.is_ok());
    assert_eq!(reason(get(&ctx, &north, &alert.id).await.unwrap_err()), Reason::AlertNotFound);
}

#[tokio::test]
async fn an_outage_of_several_clients_is_nobodys_alone_and_names_are_not_told() {
    let ctx = Context::for_test().await;
    for (id, site) in [("pump-1", "north"), ("pump-2", "south"), ("pump-3", "south")] {
        device(&ctx, id, site).await;
    }
    let several = |id: &str, selector: &str| Alert {
        id: id.to_owned(),
        device_id: String::new(),
        selector: selector.to_owned(),
        component: String::new(),
        cause: format!("offline/{id}"),
        kind: Kind::Offline,
        ..worn(&ctx, "")
    };
    let (fleet, south_only) = (several("a1", "id:*"), several("a2", "labels.\"site\" = \"south\""));
    let mut tx = ctx.db.write().await.unwrap();
    for alert in [&fleet, &south_only] {
        alert_insert(&mut tx, alert).await.unwrap();
    }
    tx.commit().await.unwrap();
    let north = caller(&ctx, "aa", Role::Client, "labels.site = \"north\"").await;
    let south = caller(&ctx, "bb", Role::Client, "labels.site = \"south\"").await;
    let south_too = caller(&ctx, "cc", Role::Client, "labels.site = \"south\"").await;
    let operator = caller(&ctx, "dd", Role::Operator, "").await;
    for refused in [
        acknowledge(&ctx, &north, &fleet.id, "", "").await,
        resolve(&ctx, &north, &fleet.id, "", "").await,
        resolve(&ctx, &south, &fleet.id, "", "").await,
    ] {
        assert_eq!(reason(refused.unwrap_err()), Reason::OutOfScope);
    }
    let by = |alert: Result<Alert>| alert.unwrap().acknowledged_by;
    assert_eq!(by(acknowledge(&ctx, &operator, &fleet.id, "", "rival's gateway").await), operator.actor());
    let read = get(&ctx, &south, &fleet.id).await.unwrap();
    assert_eq!((&*read.acknowledged_by, &*read.note), (SOMEBODY_ELSE, ""));
    assert_eq!(get(&ctx, &operator, &fleet.id).await.unwrap().note, "rival's gateway");
    // What is wholly its own it may take, and its own people read by whom.
    assert_eq!(by(acknowledge(&ctx, &south, &south_only.id, "", "").await), south.actor());
    assert_eq!(by(get(&ctx, &south_too, &south_only.id).await), south.actor());
    let everything = Filter::parse("", FILTER_FIELDS, Reason::FilterInvalid).unwrap();
    let page = Page::parse(10, "", &["alerts"]).unwrap();
    for (client, seen) in [(&north, vec![SOMEBODY_ELSE]), (&south, vec![&*south.actor(), SOMEBODY_ELSE])] {
        let mut listed = list(&ctx, client, &page, &everything, false).await.unwrap().alerts;
        listed.sort_by(|a, b| b.id.cmp(&a.id));
        assert_eq!(listed.iter().map(|alert| &*alert.acknowledged_by).collect::<Vec<_>>(), seen);
        let mut watcher = crate::service::alert_watch::watch(&ctx, client.clone(), "", false).await.unwrap();
        for _ in &seen {
            let told = watcher.next().await.unwrap().alert.unwrap();
            assert!(seen.contains(&&*told.acknowledged_by), "{told:?}");
        }
    }
    // Nor does the refusal say it, and what is written keeps it.
    relabel(&ctx, "pump-1", "south").await;
    ctx.devices.refresh(&ctx, "pump-1").await.unwrap();
    let refused = acknowledge(&ctx, &south, &fleet.id, "", "").await.unwrap_err().to_string();
    assert!(refused.contains("by somebody else") && !refused.contains("desk dd"), "{refused}");
    assert_eq!(by(resolve(&ctx, &south, &fleet.id, "", "").await), SOMEBODY_ELSE);
    assert_eq!(by(get(&ctx, &operator, &fleet.id).await), operator.actor());
}

#[tokio::test]
async fn lists_last_changed_first_in_pages_by_filter() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    for index in 0..3 {
        let pump = device(&ctx, &format!("pump-{index}"), "north").await;
        report(&ctx, &pump, 1, month(ctx.clock.now(), 230.0, 2.0)).await;
        ctx.clock.advance(Duration::from_secs(60));
    }
    let viewer = caller(&ctx, "aa", Role::Viewer, "").await;
    assert_eq!(ids(&ctx, &viewer, "").await, ["pump-2", "pump-1", "pump-0"]);
    assert_eq!(ids(&ctx, &viewer, "device = \"pump-1\" AND state = \"open\"").await, ["pump-1"]);
    assert_eq!(ids(&ctx, &viewer, "severity = \"critical\"").await, [""; 0]);
    assert_eq!(ids(&ctx, &viewer, "metric:pressure AND kind = \"prognosis\"").await.len(), 3);
}

#[tokio::test]
async fn acknowledged_once_and_told_to_the_audit_log() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let pump = device(&ctx, "pump-1", "north").await;
    report(&ctx, &pump, 1, month(ctx.clock.now(), 230.0, 2.0)).await;
    let alert = only_alert(&ctx).await;
    let desk = caller(&ctx, "aa", Role::Client, "labels.site = \"north\"").await;
    let other = caller(&ctx, "bb", Role::Operator, "").await;
    assert_eq!(
        reason(acknowledge(&ctx, &desk, &alert.id, "77", "").await.unwrap_err()),
        Reason::EtagMismatch
    );
    let taken = acknowledge(&ctx, &desk, &alert.id, &alert.etag(), "").await.unwrap();
    assert_eq!(
        (taken.state, taken.acknowledged_by.as_str()),
        (AlertState::Acknowledged, desk.actor().as_str())
    );
    assert_eq!(acknowledge(&ctx, &desk, &alert.id, "", "").await.unwrap(), taken);
    assert_eq!(
        reason(acknowledge(&ctx, &other, &alert.id, "", "").await.unwrap_err()),
        Reason::AlertStateRefused
    );
    let acts = async || {
        let mut tx = ctx.db.read().await.unwrap();
        let audit = audit_page(&mut tx, 0, 100).await.unwrap();
        audit.iter().filter(|entry| entry.action == "AcknowledgeAlert").count()
    };
    assert_eq!(acts().await, 1);
    // A note is a change; the same again is none; what no line holds is refused.
    let noted = acknowledge(&ctx, &desk, &alert.id, "", "A filter is ordered.").await.unwrap();
    assert_eq!((noted.note.as_str(), noted.generation), ("A filter is ordered.", taken.generation + 1));
    assert_eq!(acknowledge(&ctx, &desk, &alert.id, "", "A filter is ordered.").await.unwrap(), noted);
    assert_eq!(acts().await, 2);
    for bad in ["a\nb".to_owned(), "x".repeat(501)] {
        let refused = acknowledge(&ctx, &desk, &alert.id, "", &bad).await.unwrap_err();
        assert_eq!(reason(refused), Reason::NoteInvalid);
    }
    let resolved = resolve(&ctx, &desk, &alert.id, "", "").await.unwrap();
    assert_eq!(resolved.note, "A filter is ordered.");
    assert_eq!(get(&ctx, &desk, &alert.id).await.unwrap(), resolved);
}

#[tokio::test]
async fn resolving_forgets_the_old_part_and_opens_again_under_the_same_id() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    let minute = |minute: u32| now.after(DAY / 1440 * minute);
    report(&ctx, &pump, 1, vec![reading(minute(0), 300.0), reading(minute(1), 300.0)]).await;
    let alert = only_alert(&ctx).await;
    let desk = caller(&ctx, "aa", Role::Operator, "").await;
    let resolved = resolve(&ctx, &desk, &alert.id, "", "").await.unwrap();
    assert_eq!((resolved.state, resolved.resolved_at), (AlertState::Resolved, Some(now)));
    assert_eq!(reason(resolve(&ctx, &desk, &alert.id, "", "").await.unwrap_err()), Reason::AlertStateRefused);
    {
        let mut tx = ctx.db.read().await.unwrap();
        assert_eq!(series_of_device(&mut tx, "pump-1").await.unwrap(), []);
    }
    // One reading may be the hand of the technician; two are the cause.
    report(&ctx, &pump, 2, vec![reading(minute(2), 300.0)]).await;
    assert_eq!(get(&ctx, &desk, &alert.id).await.unwrap().state, AlertState::Resolved);
    report(&ctx, &pump, 3, vec![reading(minute(3), 300.0)]).await;
    let again = only_alert(&ctx).await;
    assert_eq!((&again.id, again.state, again.created_at), (&alert.id, AlertState::Open, alert.created_at));
}
