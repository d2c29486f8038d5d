use std::{collections::BTreeSet, time::Duration};

use futures_util::TryStreamExt as _;
use prost::Message as _;
use slipway_proto::v1;

use super::{inbox, read::inbox_page, *};
use crate::{
    model::{
        archive::{GATHER, MERGED, PREFIX},
        page::Page,
        time::{DAY, Timestamp},
    },
    service::{
        alert_testing::{METRIC, device, reading, report},
        telemetry,
        testing::{START, TestContext},
    },
    store::{
        archive::{archive_files_live, archive_through},
        archive_series::archive_series_of_device,
        inbox::{InboxRow, inbox_prune, inbox_put, inbox_waiting},
        inbox_chunk::inbox_consumed,
    },
};

#[path = "old_tests.rs"]
mod old;

const MINUTE: Duration = Duration::from_secs(60);

/// A reading: metric, class, when, value.
type Given = (&'static str, DataClass, Timestamp, f64);

fn heat(at: Timestamp, value: f64) -> Given {
    ("hw.temperature", DataClass::Diagnostic, at, value)
}

fn encoded(readings: &[Given]) -> Vec<u8> {
    let wire = |(metric, class, at, value): &Given| v1::Reading {
        component: "nvme-0".to_owned(),
        metric: (*metric).to_owned(),
        unit: "Cel".to_owned(),
        data_class: match class {
            DataClass::Essential => v1::DataClass::Essential,
            DataClass::Diagnostic => v1::DataClass::Diagnostic,
            DataClass::Usage => v1::DataClass::Usage,
            DataClass::Location => v1::DataClass::Location,
        }
        .into(),
        time: Some(prost_types::Timestamp { seconds: at.seconds(), nanos: 0 }),
        value: *value,
        boot_id: String::new(),
    };
    let readings = readings.iter().map(wire).collect();
    v1::SendTelemetryRequest { sequence: 1, readings, ..Default::default() }.encode_to_vec()
}

async fn put(ctx: &Context, device: &str, sequence: i64, readings: &[Given]) {
    let row = InboxRow {
        device_id: device.to_owned(),
        sequence,
        nonce: Vec::new(),
        received_at: ctx.clock.now().millis(),
        readings: encoded(readings),
    };
    let mut tx = ctx.db.write().await.unwrap();
    inbox_put(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
}

async fn consume(ctx: &Context) {
    let mut tx = ctx.db.write().await.unwrap();
    let waiting = inbox_waiting(&mut tx, 1_000).await.unwrap();
    inbox_consumed(&mut tx, &waiting).await.unwrap();
    tx.commit().await.unwrap();
}

/// Everything there is of a device: metric, ms since the start, value.
async fn of(ctx: &Context, device: &str) -> Vec<(String, i64, f64)> {
    rows(readings_of_device(ctx, device).await.unwrap()).await
}

async fn rows(mut readings: Readings) -> Vec<(String, i64, f64)> {
    let mut all = Vec::new();
    while let Some(page) = readings.next().await.unwrap() {
        assert!(!page.is_empty());
        all.extend(page.iter().map(|row| (row.metric.to_string(), row.time - START.millis(), row.value)));
    }
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all
}

async fn objects(ctx: &Context) -> BTreeSet<String> {
    ctx.objects.file_names(PREFIX).try_collect().await.unwrap()
}

async fn live(ctx: &Context) -> Vec<ArchiveFile> {
    let mut tx = ctx.db.read().await.unwrap();
    archive_files_live(&mut tx, i64::MIN, i64::MAX, "").await.unwrap()
}

/// Archives what waits, as if its time had come.
async fn archive(ctx: &Context) -> Archived {
    ctx.clock.advance(GATHER);
    run(ctx).await.unwrap()
}

async fn with_two_devices() -> TestContext {
    let ctx = Context::for_test().await;
    put(&ctx, "a", 1, &[heat(START, 1.0), heat(START.after(MINUTE), 2.0)]).await;
    put(&ctx, "b", 1, &[heat(START, 9.0), ("usage.hours", DataClass::Usage, START, 5.0)]).await;
    put(&ctx, "a", 2, &[heat(START.before(MINUTE), 0.5)]).await;
    ctx
}

fn of_a() -> Vec<(String, i64, f64)> {
    [(-60_000, 0.5), (0, 1.0), (60_000, 2.0)].map(|(at, v)| ("hw.temperature".to_owned(), at, v)).to_vec()
}

#[tokio::test]
async fn each_reading_is_there_once_before_and_after() {
    let ctx = with_two_devices().await;
    assert_eq!(run(&ctx).await.unwrap(), Archived::default(), "batches wait for others");
    assert_eq!(of(&ctx, "a").await, of_a());
    assert_eq!(archive(&ctx).await, Archived { jobs: 1, files: 3, readings: 5 });
    assert_eq!(of(&ctx, "a").await, of_a());
    let names: Vec<String> = objects(&ctx).await.into_iter().collect();
    assert_eq!(
        names,
        [
            "telemetry/class=diagnostic/day=2025-12-31/0000000000000001.parquet",
            "telemetry/class=diagnostic/day=2026-01-01/0000000000000001.parquet",
            "telemetry/class=usage/day=2026-01-01/0000000000000001.parquet",
        ]
    );
    assert_eq!(run(&ctx).await.unwrap(), Archived::default());

    // The inbox lets go when the forecasters are done too, an hour later; what stays tells repeats.
    ctx.clock.advance(2 * GRACE);
    upkeep(&ctx, &mut BTreeSet::new()).await.unwrap();
    let mut tx = ctx.db.read().await.unwrap();
    assert!(inbox_waiting(&mut tx, 10).await.unwrap().iter().all(|row| !row.readings.is_empty()));
    drop(tx);
    consume(&ctx).await;
    upkeep(&ctx, &mut BTreeSet::new()).await.unwrap();
    put(&ctx, "a", 1, &[heat(START, 77.0)]).await;
    archive(&ctx).await;
    assert_eq!(of(&ctx, "a").await, of_a());
    let mut tx = ctx.db.write().await.unwrap();
    assert!(inbox_page(&mut tx, "a", 0, None).await.unwrap().is_none(), "no readings are left here");
    assert_eq!(inbox_prune(&mut tx, ctx.clock.now(), 100).await.unwrap(), 3);
}

#[tokio::test]
async fn what_is_not_archived_is_not_pruned() {
    let ctx = with_two_devices().await;
    consume(&ctx).await;
    let mut tx = ctx.db.write().await.unwrap();
    assert_eq!(inbox_prune(&mut tx, ctx.clock.now().after(DAY), 100).await.unwrap(), 0);
}

/// After transaction 1, after the files were stored, after transaction 2: cut there, and go on.
#[tokio::test]
async fn a_job_that_was_cut_off_is_done_again_and_not_twice() {
    for cut in 0..3 {
        let ctx = with_two_devices().await;
        ctx.clock.advance(GATHER);
        let turn = ctx.archive.turn(&ctx).await.unwrap();
        let job = inbox::begin(&ctx, &turn).await.unwrap().unwrap();
        if cut >= 1 {
            let files = write(&ctx, &turn, &job).await.unwrap();
            if cut >= 2 {
                end(&ctx, &turn, &job, &files).await.unwrap();
            }
        }
        drop(turn);
        assert_eq!(of(&ctx, "a").await, of_a(), "cut {cut}");
        let before = objects(&ctx).await;
        put(&ctx, "a", 3, &[heat(START.after(2 * MINUTE), 3.0)]).await;

        let done = run(&ctx).await.unwrap();
        assert_eq!((done.jobs, done.readings), if cut < 2 { (1, 5) } else { (0, 0) }, "cut {cut}");
        assert!(objects(&ctx).await.is_superset(&before));
        archive(&ctx).await;
        let mut expected = of_a();
        expected.push(("hw.temperature".to_owned(), 120_000, 3.0));
        assert_eq!(of(&ctx, "a").await, expected, "cut {cut}");
        assert_eq!(live(&ctx).await.iter().map(|file| file.readings).sum::<i64>(), 6);
        assert_eq!(live(&ctx).await.len(), objects(&ctx).await.len());
    }
}

#[tokio::test]
async fn the_same_job_writes_the_same_bytes() {
    let ctx = with_two_devices().await;
    ctx.clock.advance(GATHER);
    let turn = ctx.archive.turn(&ctx).await.unwrap();
    let job = inbox::begin(&ctx, &turn).await.unwrap().unwrap();
    let bytes = async |files: &[ArchiveFile]| {
        let mut all = Vec::new();
        for file in files {
            let size = u64::try_from(file.bytes).unwrap();
            all.push(ctx.objects.file_range(&file.name(), 0..size).await.unwrap());
        }
        all
    };
    let first = write(&ctx, &turn, &job).await.unwrap();
    let stored = bytes(&first).await;
    ctx.clock.advance(DAY);
    let second = write(&ctx, &turn, &job).await.unwrap();
    assert_eq!(stored, bytes(&second).await);
}

/// One file for each of `MERGED` minutes.
async fn many_files(ctx: &Context) -> Vec<(String, i64, f64)> {
    let mut expected = Vec::new();
    for n in 0..i64::try_from(MERGED).unwrap() {
        let at = START.after(MINUTE * u32::try_from(n).unwrap());
        put(ctx, "a", n + 1, &[heat(at, n as f64)]).await;
        put(ctx, "b", n + 1, &[heat(at, -1.0)]).await;
        archive(ctx).await;
        expected.push(("hw.temperature".to_owned(), n * 60_000, n as f64));
    }
    expected
}

#[tokio::test]
async fn small_files_of_a_day_become_one() {
    let ctx = Context::for_test().await;
    let expected = many_files(&ctx).await;
    assert_eq!((live(&ctx).await.len(), objects(&ctx).await.len()), (MERGED, MERGED));
    let mut slow = readings_of_device(&ctx, "a").await.unwrap();

    // Cut off before its end, the merge is seen by nobody; the next run ends it.
    let turn = ctx.archive.turn(&ctx).await.unwrap();
    let job = rewrite::begin_merge(&ctx, &turn).await.unwrap().unwrap();
    write(&ctx, &turn, &job).await.unwrap();
    drop(turn);
    assert_eq!(of(&ctx, "a").await, expected);
    assert_eq!(live(&ctx).await.len(), MERGED);
    let mut strays = BTreeSet::new();
    upkeep(&ctx, &mut strays).await.unwrap();
    assert_eq!((live(&ctx).await.len(), objects(&ctx).await.len()), (1, MERGED + 1));
    assert_eq!(of(&ctx, "a").await, expected);

    // Whoever began before goes on for an hour; then the old ones are deleted.
    assert!(slow.next().await.unwrap().is_some());
    ctx.clock.advance(GRACE);
    upkeep(&ctx, &mut strays).await.unwrap();
    assert_eq!(objects(&ctx).await.len(), 1);
    assert_eq!(of(&ctx, "a").await, expected);
    match slow.next().await {
        Err(Error::Refused(refusal)) => assert_eq!(refusal.reason.code(), "UNAVAILABLE"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nothing_of_an_erased_device_is_left() {
    let ctx = Context::for_test().await;
    let expected = many_files(&ctx).await;
    upkeep(&ctx, &mut BTreeSet::new()).await.unwrap();
    // A run that was cut off, and whose batches are gone since.
    let stray = "telemetry/class=usage/day=2026-01-01/0000000000000099.parquet";
    ctx.objects.file_put(stray, Bytes::from_static(b"b")).await.unwrap();
    // The erasure itself is cut off once.
    let turn = ctx.archive.turn(&ctx).await.unwrap();
    let job = rewrite::begin(&ctx, &turn, JobKind::Erase, "b", &live(&ctx).await).await.unwrap();
    write(&ctx, &turn, &job).await.unwrap();
    drop(turn);

    erase_device(&ctx, "b", None).await.unwrap();
    assert_eq!(of(&ctx, "b").await, []);
    assert_eq!(of(&ctx, "a").await, expected);
    assert_eq!(live(&ctx).await.iter().map(ArchiveFile::name).collect::<BTreeSet<_>>(), objects(&ctx).await);
    for file in live(&ctx).await {
        assert_eq!((file.first_device.as_str(), file.last_device.as_str()), ("a", "a"));
    }
    let mut tx = ctx.db.read().await.unwrap();
    assert_eq!(archive_series_of_device(&mut tx, "b").await.unwrap(), []);
    assert_eq!(archive_series_of_device(&mut tx, "a").await.unwrap().len(), 1);
    drop(tx);
    assert_eq!(erase_device(&ctx, "b", None).await.unwrap(), Erased::default());
    let taken = erase_device(&ctx, "a", None).await.unwrap();
    assert_eq!((taken.files, taken.readings), (1, i64::try_from(MERGED).unwrap()));
    assert_eq!(objects(&ctx).await.len(), 0, "a file of one device is dropped with it");
}

#[tokio::test]
async fn the_list_of_series_is_not_written_with_every_job_and_knows_the_newest_reading() {
    let ctx = Context::for_test().await;
    let pump = device(&ctx, "pump-1", "north").await;
    let mut recorded = Vec::new();
    for (sequence, minutes) in [(1, 0), (2, 30), (3, 80)] {
        let at = ctx.clock.now().after(minutes * MINUTE);
        ctx.clock.advance(minutes * MINUTE);
        report(&ctx, &pump, sequence, vec![reading(at, sequence as f64)]).await;
        assert_eq!(archive(&ctx).await.readings, 1);
        let mut tx = ctx.db.read().await.unwrap();
        recorded.push(archive_series_of_device(&mut tx, "pump-1").await.unwrap()[0].last_value);
        drop(tx);
        let page = Page::parse(10, "", &[]).unwrap();
        let (listed, _) = telemetry::series(&ctx, "pump-1", &page).await.unwrap();
        let [one] = listed.as_slice() else { panic!("{listed:?}") };
        assert_eq!((one.last_at, one.last_value), (at, sequence as f64));
        assert_eq!((one.metric.as_str(), one.unit.as_str()), (METRIC, "Pa"));
    }
    assert_eq!(recorded, [1.0, 1.0, 3.0]);
}

#[tokio::test]
async fn objects_that_nothing_refers_to_go_when_they_were_seen_twice() {
    let ctx = with_two_devices().await;
    archive(&ctx).await;
    let stray = "telemetry/class=usage/day=2026-01-01/0000000000000099.parquet";
    let note = "telemetry/README.txt";
    for name in [stray, note] {
        ctx.objects.file_put(name, Bytes::from_static(b"x")).await.unwrap();
    }
    let mut seen = BTreeSet::new();
    upkeep(&ctx, &mut seen).await.unwrap();
    assert!(objects(&ctx).await.contains(stray));
    upkeep(&ctx, &mut seen).await.unwrap();
    let left = objects(&ctx).await;
    assert!(!left.contains(stray) && left.contains(note) && left.len() == 4, "{left:?}");
    assert_eq!(of(&ctx, "a").await, of_a());
}

#[tokio::test]
async fn many_devices_and_stretches_of_time() {
    let ctx = with_two_devices().await;
    let select = |ids: &[&str], metric: Option<&str>, from: Timestamp, until: Timestamp| Select {
        devices: Devices::Many(ids.iter().map(|id| (*id).to_owned()).collect()),
        component: None,
        metric: metric.map(str::to_owned),
        from: from.millis(),
        until: until.millis(),
    };
    let whole = (START.before(DAY), START.after(DAY));
    for archived in [false, true] {
        if archived {
            archive(&ctx).await;
        }
        let count = async |select| rows(Readings::begin(&ctx, select).await.unwrap()).await.len();
        assert_eq!(count(select(&["a", "b"], None, whole.0, whole.1)).await, 5);
        assert_eq!(count(select(&["b", "c"], None, whole.0, whole.1)).await, 2);
        assert_eq!(count(select(&["a", "b"], Some("usage.hours"), whole.0, whole.1)).await, 1);
        assert_eq!(count(select(&["a", "b"], None, START, START.after(MINUTE))).await, 3);
        assert_eq!(count(select(&[], None, whole.0, whole.1)).await, 0);
    }
}

#[tokio::test]
async fn a_batch_that_cannot_be_read_holds_up_nothing() {
    let ctx = with_two_devices().await;
    let broken = InboxRow {
        device_id: "a".to_owned(),
        sequence: 3,
        nonce: Vec::new(),
        received_at: ctx.clock.now().millis(),
        readings: vec![0xff; 9],
    };
    let mut tx = ctx.db.write().await.unwrap();
    inbox_put(&mut tx, &broken).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(archive(&ctx).await.readings, 5);
    assert_eq!(of(&ctx, "a").await, of_a());
    let mut tx = ctx.db.read().await.unwrap();
    assert_eq!(archive_through(&mut tx).await.unwrap(), 1);
}
