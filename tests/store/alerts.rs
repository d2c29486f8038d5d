//! Alerts, their events, and the limits they come from.

use std::time::Duration;

use slipway_insight::{ByLives, Forecast, Side};
use slipway_server::{
    model::{
        alert::{Alert, AlertState, Evidence, Health, Kind, Severity},
        condition::{AlertCount, Condition, Living},
        fix::Fix,
        limit::Limit,
        selector::Selector,
        silence::Silence,
    },
    store::{
        StoreError, Tx,
        alert_events::{
            AlertEvent, alert_event_append, alert_events_after, alert_events_devices, alert_events_oldest,
            alert_events_prune,
        },
        alerts::{
            Lives, Silent, alert_get, alert_insert, alert_update, alerts_living, alerts_of_cause,
            alerts_of_device, alerts_of_several, alerts_offline, alerts_page, alerts_prune,
            alerts_resolved_count,
        },
        changes::{Kind as Changed, changes_get},
        conditions::{conditions_between, conditions_of_device, living_count, living_of_devices},
        fixes::{fix_delete, fix_put, fixes_page},
        limits::{limit_delete, limit_get, limit_put, limits_count, limits_page},
        silences::{
            silence_delete, silence_get, silence_insert, silences_count, silences_page, silences_prune,
        },
    },
};

use crate::backend::{Backend, at, contract};

contract! {
    an_alert_is_read_as_it_was_written;
    a_cause_has_one_living_alert;
    a_stale_writer_is_refused;
    pages_and_lists;
    positions_follow_commits;
    events_are_deleted_from_the_old_end;
    limits_are_replaced_by_name;
    who_is_silent;
    silences_come_and_go;
    fixes_are_replaced_by_name;
    conditions_are_of_living_alerts;
}

fn alert(id: &str, seconds: i64) -> Alert {
    Alert {
        id: id.to_owned(),
        device_id: format!("pump-{id}"),
        selector: String::new(),
        component: "filter".to_owned(),
        cause: "dirt".to_owned(),
        failure_mode: "dirt".to_owned(),
        kind: Kind::Prognosis,
        state: AlertState::Open,
        severity: Severity::Warning,
        health: Health::MaintenanceRequired,
        summary: "Der Filter, größer als 250 Pa.".to_owned(),
        recommendation: "Inspect it.".to_owned(),
        act_by: Some(at(86_400)),
        forecast: Some(Forecast {
            p10_ms: 1,
            p50_ms: 2,
            p90_ms: None,
            percent: Some(80),
            slope_per_day: 0.1 + 0.2,
            slope_error: 1e-9,
            spread: 3.0,
            readings: 9,
            span_days: 1.5,
            half_life_days: 30.0,
            comparable: 31,
            by_lives: Some(ByLives { sensors: 14, error_days: 0.1 + 0.2 }),
        }),
        evidence: Evidence {
            metric: "filter.pressure_drop".to_owned(),
            unit: "Pa".to_owned(),
            value: 231.25,
            at_ms: at(0).millis(),
            limit: 250.0,
            slope_per_day: 0.3,
            readings: 9,
        },
        suppressed_by: "silences/s1".to_owned(),
        told: false,
        update_to: "releases/pump/2.0.0".to_owned(),
        acknowledged_by: String::new(),
        note: "Ein Filter ist bestellt.".to_owned(),
        created_at: at(seconds),
        updated_at: at(seconds),
        resolved_at: None,
        generation: 1,
    }
}

fn resolved(alert: &Alert, seconds: i64) -> Alert {
    alert.cleared("Nothing to do.", at(seconds))
}

async fn an_alert_is_read_as_it_was_written(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    let open = alert("1", 0);
    alert_insert(&mut tx, &open).await.unwrap();
    assert_eq!(alert_get(&mut tx, "1").await.unwrap(), Some(open.clone()));
    let crossed = Alert {
        forecast: None,
        act_by: None,
        generation: 2,
        failure_mode: "leak".to_owned(),
        suppressed_by: String::new(),
        told: true,
        update_to: String::new(),
        ..open
    };
    assert!(alert_update(&mut tx, &crossed).await.unwrap());
    assert_eq!(alert_get(&mut tx, "1").await.unwrap(), Some(crossed));
    let of_several = Alert {
        id: "9".to_owned(),
        device_id: String::new(),
        selector: "product = pump".to_owned(),
        ..alert("9", 0)
    };
    alert_insert(&mut tx, &of_several).await.unwrap();
    assert_eq!(alert_get(&mut tx, "9").await.unwrap(), Some(of_several));
    assert_eq!(alert_get(&mut tx, "2").await.unwrap(), None);
}

async fn a_cause_has_one_living_alert(backend: Backend) {
    let first = alert("1", 0);
    let second = Alert { id: "2".to_owned(), ..first.clone() };
    let mut tx = backend.db.write().await.unwrap();
    alert_insert(&mut tx, &first).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = backend.db.write().await.unwrap();
    let refused = alert_insert(&mut tx, &second).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    drop(tx);
    let mut tx = backend.db.write().await.unwrap();
    assert!(alert_update(&mut tx, &resolved(&first, 5)).await.unwrap());
    alert_insert(&mut tx, &second).await.unwrap();
    let of_device = alerts_of_device(&mut tx, "pump-1", at(4)).await.unwrap();
    assert_eq!(of_device.iter().map(|alert| alert.id.as_str()).collect::<Vec<_>>(), ["2", "1"]);
    let recent = alerts_of_device(&mut tx, "pump-1", at(5)).await.unwrap();
    assert_eq!(recent, [second]);
}

async fn a_stale_writer_is_refused(backend: Backend) {
    let open = alert("1", 0);
    let mut tx = backend.db.write().await.unwrap();
    alert_insert(&mut tx, &open).await.unwrap();
    let taken = open.acknowledge("desk", at(1)).unwrap().unwrap();
    assert!(alert_update(&mut tx, &taken).await.unwrap());
    assert!(!alert_update(&mut tx, &resolved(&open, 2)).await.unwrap());
    assert_eq!(alert_get(&mut tx, "1").await.unwrap(), Some(taken));
}

async fn pages_and_lists(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    for (id, seconds) in [("1", 10), ("2", 20), ("3", 20), ("4", 5)] {
        alert_insert(&mut tx, &alert(id, seconds)).await.unwrap();
    }
    let ids = |alerts: Vec<Alert>| alerts.into_iter().map(|alert| alert.id).collect::<Vec<_>>();
    assert_eq!(ids(alerts_page(&mut tx, Lives::Any, at(99), "", 2).await.unwrap()), ["3", "2"]);
    assert_eq!(ids(alerts_page(&mut tx, Lives::Any, at(20), "2", 9).await.unwrap()), ["1", "4"]);
    assert!(alert_update(&mut tx, &resolved(&alert("2", 20), 30)).await.unwrap());
    let living = async |tx: &mut Tx, before: i64, id: &str, limit: i64| {
        ids(alerts_page(tx, Lives::Living, at(before), id, limit).await.unwrap())
    };
    assert_eq!(living(&mut tx, 99, "", 2).await, ["3", "1"]);
    assert_eq!(living(&mut tx, 10, "1", 9).await, ["4"]);
    assert_eq!(alerts_resolved_count(&mut tx, 9).await.unwrap(), 1);
    assert_eq!(alerts_resolved_count(&mut tx, 0).await.unwrap(), 0);
    assert_eq!(ids(alerts_living(&mut tx, "", 2).await.unwrap()), ["1", "3"]);
    assert_eq!(ids(alerts_living(&mut tx, "3", 2).await.unwrap()), ["4"]);
    assert_eq!(ids(alerts_of_cause(&mut tx, "dirt", "", 9).await.unwrap()), ["1", "3", "4"]);
    assert_eq!(ids(alerts_of_cause(&mut tx, "other", "", 9).await.unwrap()), [""; 0]);
    assert_eq!(alerts_prune(&mut tx, at(30), 9).await.unwrap(), 0);
    assert_eq!(alerts_prune(&mut tx, at(31), 9).await.unwrap(), 1);
    assert_eq!(alert_get(&mut tx, "2").await.unwrap(), None);
}

async fn positions_follow_commits(backend: Backend) {
    // The first writer has its position and is slow to commit; the second must not overtake it.
    let mut slow = backend.db.write().await.unwrap();
    assert_eq!(alert_event_append(&mut slow, &alert("1", 0)).await.unwrap(), 1);
    let db = backend.db.clone();
    let fast = tokio::spawn(async move {
        let mut tx = db.write().await.unwrap();
        let position = alert_event_append(&mut tx, &alert("2", 0)).await.unwrap();
        tx.commit().await.unwrap();
        position
    });
    let mut reader = backend.db.read().await.unwrap();
    assert_eq!(alert_events_after(&mut reader, 0, 9).await.unwrap(), []);
    drop(reader);
    slow.commit().await.unwrap();
    assert_eq!(fast.await.unwrap(), 2);
    let mut reader = backend.db.read().await.unwrap();
    let events = alert_events_after(&mut reader, 0, 9).await.unwrap();
    let expected = [("1", 1), ("2", 2)].map(|(id, position)| AlertEvent { position, alert: alert(id, 0) });
    assert_eq!(events, expected);
    let devices = [(1, "pump-1".to_owned()), (2, "pump-2".to_owned())];
    assert_eq!(alert_events_devices(&mut reader, 0, 9).await.unwrap(), devices);
    assert_eq!(alert_events_devices(&mut reader, 1, 9).await.unwrap(), devices[1..]);
    assert_eq!(alert_events_after(&mut reader, 1, 9).await.unwrap(), expected[1..]);
    drop(reader);
    // A position that was not committed is given again: there are no gaps.
    let mut dropped = backend.db.write().await.unwrap();
    assert_eq!(alert_event_append(&mut dropped, &alert("3", 0)).await.unwrap(), 3);
    drop(dropped);
    let mut again = backend.db.write().await.unwrap();
    assert_eq!(alert_event_append(&mut again, &alert("3", 0)).await.unwrap(), 3);
}

async fn events_are_deleted_from_the_old_end(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(alert_events_oldest(&mut tx).await.unwrap(), None);
    // The clock of the replica that wrote the third was behind.
    for (id, seconds) in [("1", 10), ("2", 20), ("3", 5), ("4", 30)] {
        alert_event_append(&mut tx, &alert(id, seconds)).await.unwrap();
    }
    assert_eq!(alert_events_prune(&mut tx, at(15), 9).await.unwrap(), 1);
    assert_eq!(alert_events_oldest(&mut tx).await.unwrap(), Some(2));
    assert_eq!(alert_events_prune(&mut tx, at(99), 2).await.unwrap(), 2);
    assert_eq!(alert_events_oldest(&mut tx).await.unwrap(), Some(4));
}

async fn limits_are_replaced_by_name(backend: Backend) {
    let limit = Limit {
        id: "dirt".to_owned(),
        selector: Selector::parse("labels.site = \"north\"").unwrap(),
        component: String::new(),
        metric: "filter.pressure_drop".to_owned(),
        value: 249.5,
        learned: None,
        side: Side::Below,
        consumable: true,
        lead_time: Duration::from_secs(3600),
        horizon: Duration::from_secs(86_400),
        part: "air filter".to_owned(),
        unit: "Pa".to_owned(),
        failure_mode: "clogged".to_owned(),
        severity: Severity::Warning,
        source: "data sheet, page 3".to_owned(),
        managed_by: "pumps".to_owned(),
        created_at: at(0),
        created_by: "tests".to_owned(),
    };
    let mut tx = backend.db.write().await.unwrap();
    limit_put(&mut tx, &limit).await.unwrap();
    let saved = limit_get(&mut tx, "dirt").await.unwrap().unwrap();
    assert_eq!(format!("{saved:?}"), format!("{limit:?}"));
    limit_put(&mut tx, &Limit { value: 1.5, side: Side::Above, ..limit.clone() }).await.unwrap();
    limit_put(&mut tx, &Limit { id: "air".to_owned(), ..limit }).await.unwrap();
    assert_eq!(limits_count(&mut tx).await.unwrap(), 2);
    let page = limits_page(&mut tx, "air", 9).await.unwrap();
    assert_eq!(
        page.iter().map(|limit| (limit.id.as_str(), limit.value)).collect::<Vec<_>>(),
        [("dirt", 1.5)]
    );
    limit_delete(&mut tx, "dirt").await.unwrap();
    assert!(limit_get(&mut tx, "dirt").await.unwrap().is_none());
}

async fn who_is_silent(backend: Backend) {
    let offline = |id: &str| Alert { kind: Kind::Offline, cause: "offline".to_owned(), ..alert(id, 0) };
    let of_site = Alert {
        device_id: String::new(),
        selector: "labels.site = north".to_owned(),
        cause: "offline/site=north".to_owned(),
        ..offline("9")
    };
    let mut tx = backend.db.write().await.unwrap();
    for alert in [offline("2"), offline("1"), resolved(&offline("3"), 5), alert("4", 0), of_site.clone()] {
        alert_insert(&mut tx, &alert).await.unwrap();
    }
    let silent = ["1", "2"].map(|id| Silent {
        device_id: format!("pump-{id}"),
        alert_id: id.to_owned(),
        last_call_at: at(0),
    });
    assert_eq!(alerts_offline(&mut tx).await.unwrap(), silent);
    assert_eq!(alerts_of_several(&mut tx).await.unwrap(), [of_site]);
}

async fn silences_come_and_go(backend: Backend) {
    let silence = |id: &str, ends: i64| Silence {
        id: id.to_owned(),
        matcher: Silence::matcher("labels.site = north").unwrap(),
        reason: "new switch".to_owned(),
        created_at: at(0),
        created_by: "tests".to_owned(),
        ends_at: at(ends),
    };
    let mut tx = backend.db.write().await.unwrap();
    for (id, ends) in [("b", 10), ("a", 20), ("c", 30)] {
        silence_insert(&mut tx, &silence(id, ends)).await.unwrap();
    }
    let saved = silence_get(&mut tx, "a").await.unwrap().unwrap();
    assert_eq!(format!("{saved:?}"), format!("{:?}", silence("a", 20)));
    let ids = |silences: Vec<Silence>| silences.into_iter().map(|silence| silence.id).collect::<Vec<_>>();
    assert_eq!(ids(silences_page(&mut tx, "", at(10), 9).await.unwrap()), ["a", "c"]);
    assert_eq!(ids(silences_page(&mut tx, "a", at(0), 1).await.unwrap()), ["b"]);
    assert_eq!(silences_count(&mut tx, at(10)).await.unwrap(), 2);
    silence_delete(&mut tx, "c").await.unwrap();
    assert!(silence_get(&mut tx, "c").await.unwrap().is_none());
    assert_eq!(silences_prune(&mut tx, at(11), 9).await.unwrap(), 1);
    assert_eq!(silences_count(&mut tx, at(0)).await.unwrap(), 1);
}

async fn fixes_are_replaced_by_name(backend: Backend) {
    let fix = Fix {
        id: "leak".to_owned(),
        failure_mode: "leak".to_owned(),
        product: "pump".to_owned(),
        version: "2.1.0".parse().unwrap(),
        selector: Selector::parse("version >= 2.0").unwrap(),
        managed_by: "pumps".to_owned(),
        created_at: at(0),
        created_by: "tests".to_owned(),
    };
    let mut tx = backend.db.write().await.unwrap();
    fix_put(&mut tx, &fix).await.unwrap();
    let newer = Fix { version: "2.2.0".parse().unwrap(), ..fix.clone() };
    fix_put(&mut tx, &newer).await.unwrap();
    fix_put(&mut tx, &Fix { id: "air".to_owned(), ..fix }).await.unwrap();
    let page = fixes_page(&mut tx, "air", 9).await.unwrap();
    assert_eq!(format!("{page:?}"), format!("{:?}", [newer]));
    fix_delete(&mut tx, "leak").await.unwrap();
    assert_eq!(fixes_page(&mut tx, "", 9).await.unwrap().len(), 1);
    assert_eq!(changes_get(&mut tx, Changed::Limits).await.unwrap(), 4);
}

async fn conditions_are_of_living_alerts(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(conditions_of_device(&mut tx, "pump-1").await.unwrap(), (0, vec![]));
    let second =
        Alert { id: "1b".to_owned(), cause: "wear".to_owned(), kind: Kind::Anomaly, ..alert("1", 0) };
    for alert in [alert("1", 0), second, alert("2", 0), resolved(&alert("3", 0), 5)] {
        alert_insert(&mut tx, &alert).await.unwrap();
        alert_event_append(&mut tx, &alert).await.unwrap();
    }
    let condition = |kind| Condition {
        kind,
        severity: Severity::Warning,
        failure_mode: "dirt".into(),
        component: "filter".into(),
    };
    let (at, conditions) = conditions_of_device(&mut tx, "pump-1").await.unwrap();
    assert_eq!((at, conditions), (4, vec![condition(Kind::Prognosis), condition(Kind::Anomaly)]));
    let between = conditions_between(&mut tx, "pump-1", "pump-3").await.unwrap();
    assert_eq!(between, [("pump-2".to_owned(), condition(Kind::Prognosis))]);
    let living = |id: &str, kind| {
        let health = Health::MaintenanceRequired;
        (id.to_owned(), Living { condition: condition(kind), health, is_suppressed: true })
    };
    assert_eq!(
        living_of_devices(&mut tx, &["pump-2", "pump-3", "pump-1", "pump-9"]).await.unwrap(),
        [
            living("pump-1", Kind::Prognosis),
            living("pump-1", Kind::Anomaly),
            living("pump-2", Kind::Prognosis)
        ]
    );
    assert_eq!(living_of_devices(&mut tx, &[]).await.unwrap(), []);
    let loud = Alert { severity: Severity::Critical, suppressed_by: String::new(), ..alert("4", 0) };
    alert_insert(&mut tx, &loud).await.unwrap();
    let count = |severity, is_suppressed, count| AlertCount { severity, is_suppressed, count };
    assert_eq!(
        living_count(&mut tx).await.unwrap(),
        [count(Severity::Critical, false, 1), count(Severity::Warning, true, 3)]
    );
}
