//! Lists, labels, revocation.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use slipway_trust::Sha256;

use super::*;
use crate::{
    model::alert::Alert,
    service::{
        Error,
        alert_testing::{caller, worn},
        rollout_testing::{Pump, create, plan, published},
        testing::{START, enrolled},
    },
    store::{alerts::alert_insert, audit::audit_page},
};

async fn add(ctx: &Context, id: &str, site: &str) {
    enrolled(ctx, id, |device| drop(device.labels.insert("site".to_owned(), site.to_owned()))).await;
}

fn filter(text: &str) -> Filter {
    Filter::parse(text, FIELDS, Reason::FilterInvalid).unwrap()
}

async fn ids(ctx: &Context, caller: &TokenCaller, size: i32, text: &str) -> (Vec<Vec<String>>, i64) {
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let page = Page::parse(size, &token, &[text]).unwrap();
        let found = list(ctx, &page, &filter(text), caller).await.unwrap();
        pages.push(found.devices.iter().map(|seen| seen.device.id.clone()).collect());
        if found.next.is_empty() {
            return (pages, found.total);
        }
        token = found.next;
    }
}

#[tokio::test]
async fn pages_hold_every_match_once() {
    let ctx = Context::for_test().await;
    let operator = caller(&ctx, "aa", Role::Operator, "").await;
    for (id, site) in [("a", "north"), ("b", "south"), ("c", "north"), ("d", "north")] {
        add(&ctx, id, site).await;
    }
    assert_eq!(
        ids(&ctx, &operator, 3, "").await,
        (vec![vec!["a".into(), "b".into(), "c".into()], vec!["d".into()]], 4)
    );
    let north = ids(&ctx, &operator, 2, "labels.site = \"north\"").await;
    assert_eq!(north, (vec![vec!["a".into(), "c".into()], vec!["d".into()]], 3));
    assert_eq!(ids(&ctx, &operator, 2, "online = \"true\"").await, (vec![vec![]], 0));
    let contact = Contact { seen_at: START, next_check_in_at: START.after(Duration::from_secs(60)) };
    ctx.presence.saw(&Arc::from("b"), contact);
    assert_eq!(ids(&ctx, &operator, 2, "online = \"true\"").await, (vec![vec!["b".into()]], 1));
    ctx.presence.flush(&ctx).await.unwrap();
    assert_eq!(ids(&ctx, &operator, 2, "online = \"true\"").await, (vec![vec!["b".into()]], 1));
    // Whoever is not let in any more is not there, whenever it was heard of last.
    revoke(&ctx, "tokens/a", "b", "stolen").await.unwrap();
    assert_eq!(ids(&ctx, &operator, 2, "online = \"true\"").await, (vec![vec![]], 0));
}

#[tokio::test]
async fn devices_are_selected_by_their_living_alerts() {
    let ctx = Context::for_test().await;
    let operator = caller(&ctx, "aa", Role::Operator, "").await;
    let mut tx = ctx.db.write().await.unwrap();
    for (id, severity) in [("a", Severity::Info), ("c", Severity::Critical), ("d", Severity::Critical)] {
        let alert = Alert { id: format!("alert-{id}"), severity, ..worn(&ctx, id) };
        alert_insert(&mut tx, &alert).await.unwrap();
    }
    let over = Alert { id: "over".to_owned(), ..worn(&ctx, "b") };
    alert_insert(&mut tx, &over.cleared("It is over.", START)).await.unwrap();
    let second = Alert {
        id: "second".to_owned(),
        cause: "anomaly/other".to_owned(),
        failure_mode: "leak".to_owned(),
        suppressed_by: "silences/s1".to_owned(),
        ..worn(&ctx, "c")
    };
    alert_insert(&mut tx, &second).await.unwrap();
    tx.commit().await.unwrap();
    for id in ["a", "b", "c", "d"] {
        add(&ctx, id, "north").await;
    }
    let of = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<String>>();
    for (text, found) in [
        ("alerts.severity:critical", &["c", "d"][..]),
        ("alerts.kind:anomaly", &["a", "c", "d"]),
        ("NOT alerts.kind:*", &["b"]),
        ("alerts.failure_mode:leak", &["c"]),
        ("alerts.component:mot* AND id > \"b\"", &["c", "d"]),
    ] {
        let total = i64::try_from(found.len()).unwrap();
        assert_eq!(ids(&ctx, &operator, 9, text).await, (vec![of(found)], total), "{text}");
    }
    // Page by page the same, and each page says how many there are.
    let (pages, total) = ids(&ctx, &operator, 1, "alerts.kind:anomaly").await;
    assert_eq!((pages, total), (vec![of(&["a"]), of(&["c"]), of(&["d"])], 3));

    let gravest = get(&ctx, "c").await.unwrap().gravest().unwrap();
    assert_eq!((gravest.severity, gravest.is_suppressed, gravest.count), (Severity::Critical, false, 2));
    assert_eq!(get(&ctx, "b").await.unwrap().gravest(), None);
    // A page is one statement about alerts, however many devices are on it.
    let before = ctx.db.statements();
    let all = list(&ctx, &Page::parse(9, "", &[]).unwrap(), &filter(""), &operator).await.unwrap();
    assert_eq!(all.devices.iter().map(|seen| seen.living.len()).collect::<Vec<_>>(), [1, 0, 2, 1]);
    assert_eq!(ctx.db.statements() - before, 6, "two transactions: devices, presence and alerts; the count");
}

#[tokio::test]
async fn a_client_lists_the_devices_of_its_scope_and_no_others() {
    let ctx = Context::for_test().await;
    for (id, site) in [("a", "north"), ("b", "south"), ("c", "north"), ("d", "north"), ("e", "south")] {
        add(&ctx, id, site).await;
    }
    let north = caller(&ctx, "aa", Role::Client, "labels.site = \"north\"").await;
    let of = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<String>>();
    assert_eq!(ids(&ctx, &north, 2, "").await, (vec![of(&["a", "c"]), of(&["d"])], 3));
    assert_eq!(ids(&ctx, &north, 9, "labels.site = south OR id = c").await, (vec![of(&["c"])], 1));
    assert_eq!(ids(&ctx, &north, 9, "NOT labels.site = north").await, (vec![vec![]], 0));
    // A scope that this version cannot read selects nothing, and not everything.
    let broken = caller(&ctx, "bb", Role::Client, "colour = red").await;
    assert_eq!(ids(&ctx, &broken, 9, "").await, (vec![vec![]], 0));
    let names = |caller: &TokenCaller| fields(caller).len();
    assert_eq!(names(&north) + 1, names(&*caller(&ctx, "cc", Role::Viewer, "").await));
    assert!(Filter::parse("attributes.os = x", fields(&north), Reason::FilterInvalid).is_err());
}

#[tokio::test]
async fn a_stale_etag_changes_nothing() {
    let ctx = Context::for_test().await;
    add(&ctx, "a", "north").await;
    let old = get(&ctx, "a").await.unwrap().device.etag();
    let change = LabelChange::Some(vec![("cell".into(), Some("7".into())), ("site".into(), None)]);
    let changed = set_labels(&ctx, "tokens/a", "a", &change, &old).await.unwrap();
    assert_eq!(changed.device.labels, BTreeMap::from([("cell".to_owned(), "7".to_owned())]));
    let all = LabelChange::All(BTreeMap::new());
    let refused = set_labels(&ctx, "tokens/a", "a", &all, &old).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(refusal) if refusal.reason == Reason::EtagMismatch));
    assert_eq!(get(&ctx, "a").await.unwrap(), changed);
    let mut tx = ctx.db.read().await.unwrap();
    assert_eq!(audit_page(&mut tx, 0, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_revoked_device_is_known_as_such_at_once() {
    let ctx = Context::for_test().await;
    add(&ctx, "a", "north").await;
    revoke(&ctx, "tokens/a", "a", "stolen").await.unwrap();
    revoke(&ctx, "tokens/a", "a", "stolen").await.unwrap();
    let entry = ctx.devices.find(&ctx, &Sha256::of(b"a")).await.unwrap().unwrap();
    assert_eq!(entry.state(), DeviceState::Revoked);
    assert!(get(&ctx, "nobody").await.is_err());
}

#[tokio::test]
async fn only_who_is_in_the_fleet_is_taken_back_into_good_standing() {
    let ctx = Context::for_test().await;
    for (id, state, why) in [
        ("p", DeviceState::Pending, "p waits for an operator's yes, not for the end of a quarantine"),
        ("r", DeviceState::Registered, "r is registered and has not enrolled yet: it has no quarantine"),
        ("x", DeviceState::Revoked, "x is revoked"),
    ] {
        enrolled(&ctx, id, |device| device.state = state).await;
        match clear_quarantine(&ctx, "tokens/a", id).await {
            Err(Error::Refused(refusal)) => {
                assert_eq!((refusal.reason, refusal.message.as_str()), (Reason::DeviceStateRefused, why));
            }
            other => panic!("{other:?}"),
        }
    }
    // A copy of its key can call before an operator said yes.
    flag_duplicate(&ctx, "p", IpAddr::from([192, 0, 2, 1])).await.unwrap();
    let cleared = clear_quarantine(&ctx, "tokens/a", "p").await.unwrap().device;
    assert_eq!((cleared.state, cleared.standing.duplicate_at), (DeviceState::Pending, None));
    // Twice is once.
    add(&ctx, "a", "north").await;
    assert_eq!(clear_quarantine(&ctx, "tokens/a", "a").await.unwrap().device.state, DeviceState::Active);
}

#[tokio::test]
async fn no_update_ends_the_wait_for_a_yes_and_a_yes_is_heard_in_any_state() {
    let ctx = published().await;
    let mut pump = Pump::new(&ctx, "p1").await;
    let waits = async |state: DeviceState| {
        let mut tx = ctx.db.write().await.unwrap();
        let mut device = device_get(&mut tx, "p1").await.unwrap().unwrap();
        (device.state, device.standing.renewal) = (state, Approval::Waiting);
        device_update(&mut tx, &mut device, ctx.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        ctx.devices.refresh(&ctx, "p1").await.unwrap();
    };
    let standing = async || {
        let device = get(&ctx, "p1").await.unwrap().device;
        (device.state, device.standing.renewal, device.quarantined_until)
    };
    let still = (DeviceState::Quarantined, Approval::Waiting, None);
    waits(DeviceState::Quarantined).await;
    create(&ctx, plan("2.0.0", &[100.0])).await;
    pump.poll(&ctx).await;
    assert!(pump.update.is_some());
    assert_eq!(standing().await, still, "admitted");
    pump.succeed(&ctx, "2.0.0", 2).await;
    assert_eq!(standing().await, still, "updated");
    clear_quarantine(&ctx, "tokens/a", "p1").await.unwrap();
    assert_eq!(standing().await, (DeviceState::Active, Approval::Approved, None));
    // As a server of before left it.
    waits(DeviceState::Active).await;
    clear_quarantine(&ctx, "tokens/a", "p1").await.unwrap();
    assert_eq!(standing().await, (DeviceState::Active, Approval::Approved, None));
}
