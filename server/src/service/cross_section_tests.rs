use super::*;
use crate::{
    model::{
        alert::{AlertState, Kind, Severity},
        device::{Component, DataClass, SYSTEM},
        learned::Learned,
        time::DAY,
    },
    service::{
        alert_testing::{METRIC, filter_limit, reading, report},
        limits,
        testing::{TestContext, enrolled},
    },
    store::{
        alerts::alerts_of_device,
        devices::{device_get, device_update},
        series::{SeriesPage, series_save},
    },
};

/// A device with this version, whose readings were around `before` for two days, and `now` since two hours ago.
async fn device(ctx: &Context, id: &str, version: &str, before: f64, now: f64) -> Arc<DeviceEntry> {
    let entry = enrolled(ctx, id, |device| {
        device.inventory.consent = vec![DataClass::Diagnostic];
        device.inventory.components = vec![Component {
            component: SYSTEM.to_owned(),
            version: version.to_owned(),
            counter: 0,
            digest: String::new(),
            slot: String::new(),
        }];
    })
    .await;
    read(ctx, id, &[METRIC], before, now).await;
    entry
}

async fn read(ctx: &Context, id: &str, metrics: &[&str], before: f64, now: f64) {
    let number =
        id.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(2_654_435_761).wrapping_add(byte.into()));
    let own = f64::from((number.wrapping_mul(2_654_435_761) >> 16) % 1_013) / 100.0 - 5.0;
    let mut state = State::default();
    let (count, end) = (700, ctx.clock.now().millis());
    let mut last = (0, 0.0);
    for n in 0..count {
        let level = if n < count - 25 { before } else { now };
        let noise = f64::from(n * 7 % 11) / 11.0 - 0.5;
        last = (end - i64::from(count - n) * 300_000, level + own + noise);
        state.step(last.0, last.1, "", None);
    }
    let row = |metric: &&str| SeriesRow {
        component: "filter".to_owned(),
        metric: (*metric).to_owned(),
        unit: "Pa".to_owned(),
        state: {
            let mut bytes = Vec::new();
            state.encode(&mut bytes);
            bytes
        },
        last_value: last.1,
        last_at: last.0,
    };
    let series = metrics.iter().map(row).collect();
    let page = SeriesPage { device_id: id.to_owned(), page: 0, series };
    let mut tx = ctx.db.write().await.unwrap();
    series_save(&mut tx, &[page]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn learned_limit(ctx: &Context) -> Limit {
    let limit = Limit {
        value: 0.0,
        learned: Some(Learned::default()),
        severity: Severity::Warning,
        ..filter_limit(ctx).await
    };
    limits::create(ctx, "tests", limit, false).await.unwrap()
}

async fn stored(ctx: &Context) -> Learned {
    let mut tx = ctx.db.read().await.unwrap();
    limits_page(&mut tx, "", 10).await.unwrap().remove(0).learned.unwrap()
}

async fn alerts(ctx: &Context, id: &str) -> Vec<Alert> {
    let mut tx = ctx.db.read().await.unwrap();
    alerts_of_device(&mut tx, id, Timestamp::from_millis(i64::MIN)).await.unwrap()
}

/// Half an hour of readings of a device.
async fn say(ctx: &TestContext, device: &DeviceEntry, sequence: u64, value: f64) {
    ctx.clock.advance(DAY / 12);
    let now = ctx.clock.now();
    let readings = (0..25).rev().map(|n| reading(now.before(DAY / 288 * n), value)).collect();
    report(ctx, device, sequence, readings).await;
}

#[tokio::test]
async fn a_bound_is_learned_from_ten_devices_and_holds_from_then_on() {
    let ctx = Context::for_test().await;
    learned_limit(&ctx).await;
    assert!(is_wanted(&ctx).await.unwrap());
    let first = device(&ctx, "pump-0", "2.0.0", 100.0, 100.0).await;
    for n in 1..7 {
        device(&ctx, &format!("pump-{n}"), "2.0.0", 100.0, 100.0).await;
    }
    assert_eq!(look(&ctx).await.unwrap(), Some(Looked { devices: 7, limits: 1, changes: 0 }));
    let learning = stored(&ctx).await;
    assert_eq!((learning.bounds[0].devices, learning.bounds[0].fence), (7, None));
    say(&ctx, &first, 1, 500.0).await;
    assert_eq!(
        alerts(&ctx, "pump-0").await.iter().filter(|alert| alert.cause == "filter").count(),
        0,
        "inert"
    );
    say(&ctx, &first, 2, 100.0).await;

    for n in 7..12 {
        device(&ctx, &format!("pump-{n}"), "2.0.0", 100.0, 100.0).await;
    }
    assert_eq!(look(&ctx).await.unwrap().unwrap().limits, 1, "it is looked at again while there is nothing");
    let fence = stored(&ctx).await.bounds[0].fence.unwrap();
    assert_eq!(fence.devices, 12);
    assert!((103.0..140.0).contains(&fence.value), "{fence:?}");
    assert_eq!(look(&ctx).await.unwrap().unwrap().limits, 0, "once a day");

    let last = ctx.devices.get("pump-11").unwrap();
    say(&ctx, &last, 1, 500.0).await;
    let of_limit = |alerts: Vec<Alert>| alerts.into_iter().find(|alert| alert.cause == "filter");
    let alert = of_limit(alerts(&ctx, "pump-11").await).unwrap();
    assert_eq!((alert.kind, alert.severity), (Kind::StateDetection, Severity::Warning));
    assert!(
        alert.summary.contains("higher than of 11 of 12 devices of pump on hardware gw-a"),
        "{}",
        alert.summary
    );
    say(&ctx, &last, 2, 100.0).await;
    say(&ctx, &last, 3, 100.0).await;
    say(&ctx, &last, 4, 100.0).await;
    assert_eq!(of_limit(alerts(&ctx, "pump-11").await).unwrap().state, AlertState::Resolved);

    limits::delete(&ctx, "tests", "filter").await.unwrap();
    let mut tx = ctx.db.read().await.unwrap();
    assert_eq!(limits_page(&mut tx, "", 10).await.unwrap().len(), 0);
}

#[tokio::test]
async fn devices_that_lie_move_nothing() {
    let ctx = Context::for_test().await;
    learned_limit(&ctx).await;
    for n in 0..30 {
        device(&ctx, &format!("pump-{n}"), "2.0.0", 100.0, 100.0).await;
    }
    look(&ctx).await.unwrap();
    let honest = stored(&ctx).await.bounds[0].fence.unwrap();
    for (n, lie) in [1e300, 1e29, -1e30].into_iter().enumerate() {
        read(&ctx, &format!("pump-{n}"), &[METRIC], lie, lie).await;
    }
    ctx.clock.advance(DAY);
    look(&ctx).await.unwrap();
    let lied = stored(&ctx).await.bounds[0].fence.unwrap();
    assert!((lied.value - honest.value).abs() < honest.value - honest.median, "{honest:?} {lied:?}");
}

#[tokio::test]
async fn devices_with_parts_without_end_stop_no_limit_from_being_learned() {
    let ctx = Context::for_test().await;
    let limit = learned_limit(&ctx).await;
    limits::create(&ctx, "tests", Limit { component: String::new(), ..limit }, false).await.unwrap();
    for n in 0..24 {
        device(&ctx, &format!("pump-{n}"), "2.0.0", 100.0, 100.0).await;
    }
    for n in 0..4 {
        // Before the others by name, and two by two with the same parts.
        let id = format!("aa-{n}");
        device(&ctx, &id, "2.0.0", 100.0, 100.0).await;
        let mut tx = ctx.db.write().await.unwrap();
        let known = series_of_sample(&mut tx, &[&id]).await.unwrap().remove(&id).unwrap().remove(0);
        let part = |part| SeriesRow { component: format!("part-{}-{part}", n % 2), ..known.clone() };
        let parts: Vec<SeriesRow> = (0..1_000).map(part).collect();
        let pages = (0..).zip(parts.chunks(32));
        let pages: Vec<SeriesPage> = pages
            .map(|(page, series)| SeriesPage { device_id: id.clone(), page, series: series.to_vec() })
            .collect();
        series_save(&mut tx, &pages).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(look(&ctx).await.unwrap().unwrap().limits, 1);
    let bounds = stored(&ctx).await.bounds;
    let of_filter = bounds.iter().find(|bound| bound.model.component == "filter").unwrap();
    assert_eq!(of_filter.fence.unwrap().devices, 24);
    assert!(bounds.iter().all(|bound| bound.fence.is_some() == (bound.model.component == "filter")));
}

#[tokio::test]
async fn a_changed_limit_forgets_what_it_learned() {
    let ctx = Context::for_test().await;
    let limit = learned_limit(&ctx).await;
    for n in 0..12 {
        device(&ctx, &format!("pump-{n}"), "2.0.0", 100.0, 100.0).await;
    }
    look(&ctx).await.unwrap();
    let above = stored(&ctx).await.bounds[0].fence.unwrap();
    let nearer = Limit { learned: Some(Learned::by(3.0)), ..limit.clone() };
    limits::create(&ctx, "tests", nearer.clone(), false).await.unwrap();
    assert_eq!(stored(&ctx).await.bounds[0].fence, Some(above), "it holds until the new one is known");
    assert!(is_wanted(&ctx).await.unwrap());
    look(&ctx).await.unwrap();
    assert!(stored(&ctx).await.bounds[0].fence.unwrap().value < above.value);
    limits::create(&ctx, "tests", Limit { side: Side::Below, ..nearer }, false).await.unwrap();
    assert_eq!(stored(&ctx).await.bounds, []);
}

#[tokio::test]
async fn a_version_that_changes_readings_is_one_alert_for_as_long_as_it_does() {
    let ctx = Context::for_test().await;
    for n in 0..60 {
        let (version, now) = if n < 20 { ("2.1.0", 130.0) } else { ("2.0.0", 100.0) };
        device(&ctx, &format!("pump-{n}"), version, 100.0, now).await;
    }
    assert_eq!(look(&ctx).await.unwrap(), Some(Looked { devices: 60, limits: 0, changes: 1 }));
    assert_eq!(look(&ctx).await.unwrap().unwrap().changes, 0, "told once");
    assert_eq!(fleet_findings::look(&ctx).await.unwrap(), Some(0), "the other look leaves it alone");
    let [alert] = &alerts(&ctx, "").await[..] else { panic!("one alert") };
    assert_eq!(alert.cause, format!("level/pump/version/2.1.0/{METRIC}"));
    assert_eq!((alert.kind, alert.severity), (Kind::Fleet, Severity::Info));
    assert_eq!(alert.selector, "product = \"pump\" AND version = \"2.1.0\"");
    for n in 0..20 {
        read(&ctx, &format!("pump-{n}"), &[METRIC], 100.0, 100.0).await;
    }
    assert_eq!(look(&ctx).await.unwrap().unwrap().changes, 1);
    assert_eq!(alerts(&ctx, "").await[0].state, AlertState::Resolved);
}

#[tokio::test]
async fn a_fleet_with_one_version_is_not_read() {
    let ctx = Context::for_test().await;
    for n in 0..25 {
        device(&ctx, &format!("pump-{n}"), if n < 9 { "2.1.0" } else { "2.0.0" }, 100.0, 100.0).await;
    }
    assert_eq!(look(&ctx).await.unwrap(), Some(Looked::default()));
    // One more of the new version, and there is something to compare.
    let mut tx = ctx.db.write().await.unwrap();
    let mut device = device_get(&mut tx, "pump-24").await.unwrap().unwrap();
    device.inventory.components[0].version = "2.1.0".to_owned();
    assert!(device_update(&mut tx, &mut device, ctx.clock.now()).await.unwrap());
    tx.commit().await.unwrap();
    ctx.devices.refresh(&ctx, "pump-24").await.unwrap();
    assert_eq!(look(&ctx).await.unwrap().unwrap().devices, 25);
}
