use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use slipway_proto::v1;

use super::*;
use crate::{
    model::{
        device::DataClass,
        filter::Filter,
        id,
        limit::Limit,
        page::Page,
        refusal::Reason,
        time::{DAY, Timestamp},
        token::Role,
    },
    objects::Objects,
    service::{
        Error,
        alert_testing::{METRIC, caller, device, filter_limit, reading},
        alerts::{acknowledge, resolve},
        archive, audit,
        device_cache::DeviceEntry,
        export::{Export, Part},
        forecasts, ingest, limits,
        testing::{TestContext, enrolled},
    },
    store::{
        alerts::alerts_of_device, archive_series::archive_series_of_device, series::series_of_device,
        tracks::tracks_of_devices,
    },
};

/// Names a unit of one device, so that its bytes can be told from others'.
const MARK: &str = "zebra4711";

/// A server with files, which are the world's as an auditor sees it.
async fn world() -> (TestContext, tempfile::TempDir) {
    let folder = tempfile::TempDir::new().unwrap();
    let objects = Objects::local(folder.path()).unwrap();
    let ctx = Context::for_test_with(|ctx| ctx.objects = objects).await;
    filter_limit(&ctx).await;
    (ctx, folder)
}

/// Two days of readings far above the limit.
async fn measure(ctx: &Context, device: &DeviceEntry, sequence: u64, unit: &str) {
    let now = ctx.clock.now();
    let readings = (0..48).rev().map(|hour| v1::Reading {
        unit: unit.to_owned(),
        ..reading(now.before(DAY / 24 * hour), 300.0 + f64::from(hour % 3))
    });
    let request = v1::SendTelemetryRequest { sequence, readings: readings.collect(), ..Default::default() };
    ingest::batch(ctx, device, request).await.unwrap();
    while forecasts::consume(ctx).await.unwrap().batches > 0 {}
}

/// Readings in the archive, an alert about them that somebody dealt with, one that came after it, and others that are in the
/// inbox alone.
async fn lived(ctx: &Context, id: &str, unit: &str) {
    let pump = device(ctx, id, "north").await;
    measure(ctx, &pump, 1, unit).await;
    let desk = caller(ctx, &id::hex(id.as_bytes()), Role::Operator, "").await;
    let alert = {
        let mut tx = ctx.db.read().await.unwrap();
        alerts_of_device(&mut tx, id, Timestamp::from_millis(i64::MIN)).await.unwrap().remove(0)
    };
    assert!(alert.summary.contains(unit), "{}", alert.summary);
    acknowledge(ctx, &desk, &alert.id, "", "").await.unwrap();
    resolve(ctx, &desk, &alert.id, "", "").await.unwrap();
    ctx.clock.advance(DAY);
    archive::run(ctx).await.unwrap();
    measure(ctx, &pump, 2, unit).await;
}

fn all(device_id: &str) -> Erasure {
    Erasure { device_id: device_id.to_owned(), class: None }
}

/// What is left of a device, by place.
async fn left(ctx: &Context, id: &str) -> [usize; 5] {
    let mut tx = ctx.db.read().await.unwrap();
    let since = Timestamp::from_millis(i64::MIN);
    let alerts = alerts_of_device(&mut tx, id, since).await.unwrap().len();
    let series = series_of_device(&mut tx, id).await.unwrap().len();
    let tracks = tracks_of_devices(&mut tx, &[id]).await.unwrap().len();
    let listed = archive_series_of_device(&mut tx, id).await.unwrap().len();
    drop(tx);
    let mut readings = archive::readings_of_device(ctx, id).await.unwrap();
    let mut count = 0;
    while let Some(page) = readings.next().await.unwrap() {
        count += page.len();
    }
    [alerts, series, tracks, listed, count]
}

/// Goes on with an erasure until it has waited so often, as in a process that dies there; none when it did not end before.
async fn cut_off(ctx: &Context, erasure: &Erasure, after: usize) -> Option<Result<()>> {
    let mut run = Box::pin(finish(ctx, erasure));
    for _ in 0..=after {
        tokio::select! {
            biased;
            ended = &mut run => return Some(ended),
            () = tokio::task::yield_now() => {}
        }
    }
    None
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Files that hold the mark: the database, its log, objects.
fn marked(folders: [&Path; 2]) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        bytes.windows(MARK.len()).any(|part| part == MARK.as_bytes())
    };
    folders.into_iter().flat_map(files).filter(holds).collect()
}

#[tokio::test]
async fn nothing_is_left_of_a_device_and_all_of_the_others() {
    let (ctx, objects) = world().await;
    lived(&ctx, "pump-1", MARK).await;
    lived(&ctx, "pump-2", "Pa").await;
    let others = left(&ctx, "pump-2").await;
    assert!(left(&ctx, "pump-1").await.iter().all(|count| *count > 0));
    assert!(!marked([ctx.dir.path(), objects.path()]).is_empty());

    begin(&ctx, "tokens/aa (ann)", &all("pump-1")).await.unwrap();
    finish(&ctx, &all("pump-1")).await.unwrap();
    assert_eq!(left(&ctx, "pump-1").await, [0; 5]);
    assert_eq!(marked([ctx.dir.path(), objects.path()]), [] as [PathBuf; 0]);
    assert_eq!(left(&ctx, "pump-2").await, others);
    assert!(!is_pending(&ctx, &all("pump-1")).await.unwrap());
    // It goes on: what it sends from now on is new.
    let pump = ctx.devices.get("pump-1").unwrap();
    measure(&ctx, &pump, 3, "Pa").await;
    assert!(left(&ctx, "pump-1").await[4] == 48);
    let page = Page::parse(0, "", &[]).unwrap();
    let (log, _) = audit::list(&ctx, &Filter::default(), &page).await.unwrap();
    let acts: Vec<_> = log.iter().filter(|entry| entry.action == "EraseDevice").collect();
    assert_eq!(acts.len(), 1);
    assert_eq!((acts[0].resource.as_str(), acts[0].actor.as_str()), ("devices/pump-1", "tokens/aa (ann)"));
    // Nothing can be taken from the audit log: it may not get a reading in the first place.
    let dealt = log.iter().filter(|entry| entry.action.ends_with("Alert"));
    let dealt: Vec<_> = dealt.map(|entry| (entry.action.as_str(), entry.detail.as_str())).collect();
    assert_eq!(
        dealt,
        [
            ("ResolveAlert", "critical state_detection of devices/pump-2"),
            ("AcknowledgeAlert", "critical state_detection of devices/pump-2"),
            ("ResolveAlert", "critical state_detection of devices/pump-1"),
            ("AcknowledgeAlert", "critical state_detection of devices/pump-1"),
        ]
    );
}

#[tokio::test]
async fn an_erasure_that_was_cut_off_is_gone_on_with() {
    let (ctx, objects) = world().await;
    lived(&ctx, "pump-1", MARK).await;
    begin(&ctx, "tests", &all("pump-1")).await.unwrap();
    begin(&ctx, "tests", &all("pump-1")).await.unwrap();
    // The process dies at every place where it waits; each time a new one goes on.
    let mut cuts = 0;
    loop {
        match cut_off(&ctx, &all("pump-1"), cuts).await {
            Some(ended) => break ended.unwrap(),
            // Cut off after it wrote down that it is done, and before it said so.
            None if !is_pending(&ctx, &all("pump-1")).await.unwrap() => break,
            None => {}
        }
        cuts += 1 + cuts / 3;
    }
    assert!(cuts > 3, "{cuts}");
    resume(&ctx).await.unwrap();
    assert_eq!(left(&ctx, "pump-1").await, [0; 5]);
    assert_eq!(marked([ctx.dir.path(), objects.path()]), [] as [PathBuf; 0]);
    // What is not there is not erased.
    match begin(&ctx, "tests", &all("pump-9")).await.unwrap_err() {
        Error::Refused(refusal) => assert_eq!(refusal.reason, Reason::DeviceNotFound),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_export_holds_everything_once() {
    let (ctx, _objects) = world().await;
    lived(&ctx, "pump-1", "Pa").await;
    lived(&ctx, "pump-2", "Pa").await;
    let mut export = Export::begin(&ctx, "tests", "pump-1").await.unwrap();
    let (mut devices, mut alerts, mut readings, mut series, mut metrics) = (0, 0, 0, Vec::new(), Vec::new());
    while let Some(part) = export.next().await.unwrap() {
        match part {
            Part::Device(seen) => devices += usize::from(seen.device.id == "pump-1"),
            Part::Update(..) => panic!("it had none"),
            Part::Alert(alert) => alerts += usize::from(alert.device_id == "pump-1"),
            Part::Readings(rows) => {
                assert!(rows.iter().all(|row| &*row.device == "pump-1"));
                readings += rows.len();
            }
            Part::Series(one, count) => series.push((one.component, one.class, count)),
            Part::Metric(metric) => metrics.push((metric.name, metric.unit, metric.is_owners)),
        }
    }
    // The alert that was dealt with, and the one that came a day later.
    assert_eq!((devices, alerts, readings), (1, 2, 96));
    assert_eq!(series, [("filter".to_owned(), "diagnostic".to_owned(), 96)]);
    assert_eq!(metrics, [(METRIC.to_owned(), "Pa".to_owned(), true)]);
    ctx.clock.advance(Duration::from_secs(1));
}

/// A device that tells where it is and how its filter is, in one batch, with an alert about each; the place has the mark.
async fn located(ctx: &Context, id: &str, sequence: u64) {
    let pump = match ctx.devices.get(id) {
        Some(pump) => pump,
        None => {
            enrolled(ctx, id, |device| {
                device.inventory.consent = vec![DataClass::Diagnostic, DataClass::Location];
            })
            .await
        }
    };
    let now = ctx.clock.now();
    let own = (0..48).rev().map(|hour| reading(now.before(DAY / 24 * hour), 300.0 + f64::from(hour % 3)));
    let places: Vec<v1::Reading> = own
        .clone()
        .map(|reading| v1::Reading {
            component: "gps".to_owned(),
            metric: "position.latitude".to_owned(),
            unit: MARK.to_owned(),
            data_class: v1::DataClass::Location.into(),
            ..reading
        })
        .collect();
    let readings = own.chain(places).collect();
    let request = v1::SendTelemetryRequest { sequence, readings, ..Default::default() };
    ingest::batch(ctx, &pump, request).await.unwrap();
    while forecasts::consume(ctx).await.unwrap().batches > 0 {}
}

async fn roamed(ctx: &Context, id: &str) {
    located(ctx, id, 1).await;
    ctx.clock.advance(DAY);
    archive::run(ctx).await.unwrap();
    located(ctx, id, 2).await;
}

/// A limit that every latitude crosses.
async fn fence(ctx: &Context) {
    let filter = filter_limit(ctx).await;
    let limit = Limit {
        id: "border".to_owned(),
        component: "gps".to_owned(),
        metric: "position.latitude".to_owned(),
        ..filter
    };
    limits::create(ctx, "tests", limit, false).await.unwrap();
}

fn places_of(device_id: &str) -> Erasure {
    Erasure { class: Some(DataClass::Location), ..all(device_id) }
}

#[tokio::test]
async fn one_class_goes_and_the_others_stay() {
    let (ctx, objects) = world().await;
    fence(&ctx).await;
    roamed(&ctx, "pump-1").await;
    roamed(&ctx, "pump-2").await;
    let others = left(&ctx, "pump-2").await;
    assert_eq!(left(&ctx, "pump-1").await, [2, 2, 2, 2, 192]);

    begin(&ctx, "tests", &places_of("pump-1")).await.unwrap();
    assert!(!is_pending(&ctx, &all("pump-1")).await.unwrap(), "nobody asked for more");
    finish(&ctx, &places_of("pump-1")).await.unwrap();
    assert_eq!(left(&ctx, "pump-1").await, [1, 1, 1, 1, 96]);
    assert_eq!(left(&ctx, "pump-2").await, others, "another device");
    let mut tx = ctx.db.read().await.unwrap();
    assert_eq!(series_of_device(&mut tx, "pump-1").await.unwrap()[0].metric, METRIC);
    drop(tx);
    // The batches tell repeats as before, and nothing comes back.
    located(&ctx, "pump-1", 2).await;
    assert_eq!(left(&ctx, "pump-1").await, [1, 1, 1, 1, 96]);

    begin(&ctx, "tests", &places_of("pump-2")).await.unwrap();
    finish(&ctx, &places_of("pump-2")).await.unwrap();
    assert_eq!(marked([ctx.dir.path(), objects.path()]), [] as [PathBuf; 0]);
    assert!(!is_pending(&ctx, &places_of("pump-1")).await.unwrap());
}

#[tokio::test]
async fn an_erasure_of_a_class_that_was_cut_off_is_gone_on_with() {
    let (ctx, objects) = world().await;
    fence(&ctx).await;
    let mut cuts = 0;
    for run in 0.. {
        let id = format!("pump-{run}");
        roamed(&ctx, &id).await;
        begin(&ctx, "tests", &places_of(&id)).await.unwrap();
        let ended = cut_off(&ctx, &places_of(&id), cuts).await;
        // A new process goes on.
        resume(&ctx).await.unwrap();
        assert_eq!(left(&ctx, &id).await, [1, 1, 1, 1, 96], "cut off after {cuts}");
        assert_eq!(marked([ctx.dir.path(), objects.path()]), [] as [PathBuf; 0]);
        if ended.is_some() {
            break;
        }
        cuts += 3 + cuts / 2;
    }
    assert!(cuts > 3, "{cuts}");
}
