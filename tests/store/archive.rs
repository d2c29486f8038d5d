//! Files of the archive of readings, the jobs that write them, and the batches that these take.

use slipway_server::{
    model::{archive::ArchiveFile, device::DataClass, steady_clock::SteadyClock},
    store::{
        archive::{
            Job, JobKind, archive_days_of_small_files, archive_file_claim, archive_file_delete,
            archive_file_put, archive_files_expire, archive_files_gone, archive_files_live,
            archive_files_of_job, archive_files_replaced, archive_files_smallest, archive_files_written,
            archive_job_begin, archive_job_end, archive_jobs_pending, archive_lock, archive_through,
            archive_try_lock,
        },
        archive_clock::{archive_clock, archive_clock_put},
        archive_inbox::{
            inbox_archived, inbox_assign, inbox_let_go, inbox_of_device, inbox_of_job, inbox_unarchived,
        },
        archive_series::{
            ArchivedSeries, archive_series_delete, archive_series_expire, archive_series_of_device,
            archive_series_record,
        },
        inbox::{InboxRow, inbox_put},
        inbox_chunk::inbox_consumed,
    },
};

use crate::backend::{Backend, at, contract};

contract! {
    a_job_is_begun_and_ended_once;
    batches_are_taken_in_order_and_by_one_job;
    batches_that_are_archived_and_consumed_let_their_readings_go;
    files_are_replaced_and_deleted;
    small_files_are_found_by_class_and_day;
    series_keep_their_newest_reading;
    one_replica_archives_at_a_time;
    what_is_known_of_the_clock_is_kept;
}

fn file(number: i64, class: DataClass, day: i64, bytes: i64) -> ArchiveFile {
    ArchiveFile {
        number,
        class,
        day,
        bytes,
        readings: 10,
        first_device: "b".to_owned(),
        last_device: "d".to_owned(),
        created_at: at(1),
    }
}

fn batch(device: &str, sequence: i64, seconds: i64) -> InboxRow {
    InboxRow {
        device_id: device.to_owned(),
        sequence,
        nonce: vec![u8::try_from(sequence).unwrap(); 2],
        received_at: at(seconds).millis(),
        readings: vec![1; 5],
    }
}

async fn a_job_is_begun_and_ended_once(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(archive_through(&mut tx).await.unwrap(), 0);
    let inbox = archive_job_begin(&mut tx, JobKind::Inbox, "", at(0)).await.unwrap();
    let erase = archive_job_begin(&mut tx, JobKind::Erase, "a", at(0)).await.unwrap();
    let jobs = [
        Job { number: inbox, kind: JobKind::Inbox, device_id: String::new() },
        Job { number: erase, kind: JobKind::Erase, device_id: "a".to_owned() },
    ];
    assert_eq!((inbox, erase), (1, 2));
    assert_eq!(archive_jobs_pending(&mut tx).await.unwrap(), jobs);
    for job in &jobs {
        assert!(archive_job_end(&mut tx, job, at(1)).await.unwrap());
        assert!(!archive_job_end(&mut tx, job, at(1)).await.unwrap());
    }
    assert_eq!(archive_jobs_pending(&mut tx).await.unwrap(), []);
    assert_eq!(archive_through(&mut tx).await.unwrap(), inbox);
    assert_eq!(archive_job_begin(&mut tx, JobKind::Merge, "", at(0)).await.unwrap(), 3);
}

async fn batches_are_taken_in_order_and_by_one_job(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    for row in [batch("b", 1, 2), batch("a", 2, 1), batch("a", 1, 1), batch("Z", 1, 1), batch("c", 1, 3)] {
        inbox_put(&mut tx, &row).await.unwrap();
    }
    let waiting = inbox_unarchived(&mut tx, 4).await.unwrap();
    let batches: Vec<_> = waiting.iter().map(|row| (row.batch().received_at, row.batch().bytes)).collect();
    assert_eq!(batches, [(at(1), 5), (at(1), 5), (at(1), 5), (at(2), 5)]);
    let job = archive_job_begin(&mut tx, JobKind::Inbox, "", at(9)).await.unwrap();
    inbox_assign(&mut tx, job, &waiting[2]).await.unwrap();
    let first = inbox_of_job(&mut tx, job, None, 2).await.unwrap();
    assert_eq!(first, [batch("Z", 1, 1), batch("a", 1, 1)]);
    let rest = inbox_of_job(&mut tx, job, first.last(), 2).await.unwrap();
    assert_eq!(rest, [batch("a", 2, 1)]);
    assert_eq!(inbox_of_job(&mut tx, job, rest.last(), 2).await.unwrap(), []);
    assert_eq!(inbox_unarchived(&mut tx, 9).await.unwrap().len(), 2);
    let next = archive_job_begin(&mut tx, JobKind::Inbox, "", at(9)).await.unwrap();
    inbox_assign(&mut tx, next, &waiting[3]).await.unwrap();
    assert_eq!(inbox_of_job(&mut tx, next, None, 9).await.unwrap(), [batch("b", 1, 2)]);
}

async fn batches_that_are_archived_and_consumed_let_their_readings_go(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    let rows = [batch("a", 1, 1), batch("a", 2, 1)];
    for row in &rows {
        inbox_put(&mut tx, row).await.unwrap();
    }
    let waiting = inbox_unarchived(&mut tx, 9).await.unwrap();
    let number = archive_job_begin(&mut tx, JobKind::Inbox, "", at(9)).await.unwrap();
    inbox_assign(&mut tx, number, &waiting[1]).await.unwrap();
    // Of the inbox until the job has ended; for those who began to read before that, after it too.
    assert_eq!(inbox_of_device(&mut tx, "a", 0, None, 9).await.unwrap(), rows);
    assert_eq!(inbox_of_device(&mut tx, "a", 0, Some(&rows[0]), 9).await.unwrap(), rows[1..]);
    let job = Job { number, kind: JobKind::Inbox, device_id: String::new() };
    assert!(archive_job_end(&mut tx, &job, at(10)).await.unwrap());
    inbox_archived(&mut tx, number).await.unwrap();
    assert_eq!(inbox_of_device(&mut tx, "a", 0, None, 9).await.unwrap(), rows);
    assert_eq!(inbox_of_device(&mut tx, "a", number, None, 9).await.unwrap(), []);

    assert!(!inbox_let_go(&mut tx, at(10)).await.unwrap(), "it has not ended before then");
    assert_eq!(inbox_consumed(&mut tx, &rows[..1]).await.unwrap(), 1);
    assert!(!inbox_let_go(&mut tx, at(11)).await.unwrap(), "one is not consumed");
    assert_eq!(inbox_of_device(&mut tx, "a", 0, None, 9).await.unwrap(), rows[1..]);
    assert_eq!(inbox_consumed(&mut tx, &rows[1..]).await.unwrap(), 1);
    assert!(inbox_let_go(&mut tx, at(11)).await.unwrap());
    assert!(!inbox_let_go(&mut tx, at(11)).await.unwrap());
    assert_eq!(inbox_of_device(&mut tx, "a", 0, None, 9).await.unwrap(), []);
    // What is left of them tells repeats.
    inbox_put(&mut tx, &rows[0]).await.unwrap();
    assert_eq!(inbox_unarchived(&mut tx, 9).await.unwrap(), []);
}

async fn files_are_replaced_and_deleted(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    let usage = |number, day| file(number, DataClass::Usage, day, 5);
    for one in [usage(1, 7), usage(2, 7), usage(2, 8), file(2, DataClass::Essential, 7, 5)] {
        archive_file_put(&mut tx, &one).await.unwrap();
    }
    let live = archive_files_live(&mut tx, i64::MIN, i64::MAX, "").await.unwrap();
    assert_eq!(live, [file(2, DataClass::Essential, 7, 5), usage(1, 7), usage(2, 7), usage(2, 8)]);
    assert_eq!(archive_files_live(&mut tx, 8, 9, "c").await.unwrap(), [usage(2, 8)]);
    assert_eq!(archive_files_live(&mut tx, 0, 9, "a").await.unwrap(), []);
    assert_eq!(archive_files_live(&mut tx, 0, 9, "e").await.unwrap(), []);

    archive_file_claim(&mut tx, &usage(1, 7), 9).await.unwrap();
    archive_file_claim(&mut tx, &usage(2, 7), 9).await.unwrap();
    assert_eq!(archive_files_of_job(&mut tx, 9).await.unwrap(), [usage(1, 7), usage(2, 7)]);
    assert_eq!(archive_files_of_job(&mut tx, 0).await.unwrap(), []);
    assert_eq!(archive_files_live(&mut tx, 0, 9, "").await.unwrap().len(), 4, "read until the job has ended");
    assert_eq!(archive_files_expire(&mut tx, DataClass::Usage, 8, at(5)).await.unwrap(), 0, "a job has them");
    archive_files_replaced(&mut tx, 9, at(5)).await.unwrap();
    assert_eq!(archive_files_live(&mut tx, 0, 9, "").await.unwrap().len(), 2);
    assert_eq!(archive_files_gone(&mut tx, at(4), 9).await.unwrap(), []);
    assert_eq!(archive_files_gone(&mut tx, at(5), 9).await.unwrap(), [usage(1, 7), usage(2, 7)]);
    assert_eq!(archive_files_written(&mut tx, 2).await.unwrap().len(), 3);
    archive_file_delete(&mut tx, &usage(2, 7)).await.unwrap();
    archive_file_delete(&mut tx, &usage(2, 8)).await.unwrap();
    assert_eq!(
        archive_files_written(&mut tx, 2).await.unwrap().len(),
        2,
        "one that is read is not forgotten"
    );
    assert_eq!(archive_files_expire(&mut tx, DataClass::Usage, 9, at(6)).await.unwrap(), 1);
    assert_eq!(archive_files_live(&mut tx, 0, 9, "").await.unwrap(), [file(2, DataClass::Essential, 7, 5)]);
}

async fn small_files_are_found_by_class_and_day(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    for (number, bytes) in [(1, 50), (2, 10), (3, 30), (4, 100)] {
        archive_file_put(&mut tx, &file(number, DataClass::Usage, 7, bytes)).await.unwrap();
    }
    archive_file_put(&mut tx, &file(5, DataClass::Usage, 6, 10)).await.unwrap();
    let found = archive_days_of_small_files(&mut tx, 100).await.unwrap();
    assert_eq!(found, [(DataClass::Usage, 7)]);
    let smallest = archive_files_smallest(&mut tx, DataClass::Usage, 7, 3).await.unwrap();
    assert_eq!(smallest.iter().map(|file| file.number).collect::<Vec<_>>(), [2, 3, 1]);
    assert_eq!(archive_days_of_small_files(&mut tx, 20).await.unwrap(), []);
}

async fn series_keep_their_newest_reading(backend: Backend) {
    let series = |metric: &str, class, seconds, last_value| ArchivedSeries {
        component: "filter".to_owned(),
        metric: metric.to_owned(),
        class,
        unit: "Pa".to_owned(),
        last_at: at(seconds),
        last_value,
    };
    let mut tx = backend.db.write().await.unwrap();
    let (usage, location) = (DataClass::Usage, DataClass::Location);
    archive_series_record(&mut tx, "a", &[series("y", usage, 2, 0.1 + 0.2), series("x", usage, 2, 1.0)])
        .await
        .unwrap();
    archive_series_record(&mut tx, "a", &[series("y", usage, 1, 7.0), series("x", usage, 3, 2.0)])
        .await
        .unwrap();
    archive_series_record(&mut tx, "a", &[series("x", location, 1, 3.0)]).await.unwrap();
    archive_series_record(&mut tx, "b", &[series("x", usage, 1, 4.0)]).await.unwrap();
    archive_series_record(&mut tx, "b", &[]).await.unwrap();
    let of_a = [series("x", location, 1, 3.0), series("x", usage, 3, 2.0), series("y", usage, 2, 0.1 + 0.2)];
    assert_eq!(archive_series_of_device(&mut tx, "a").await.unwrap(), of_a);
    assert_eq!(archive_series_expire(&mut tx, usage, at(3)).await.unwrap(), 2);
    assert_eq!(archive_series_of_device(&mut tx, "a").await.unwrap(), of_a[..2]);
    archive_series_delete(&mut tx, "a", None).await.unwrap();
    assert_eq!(archive_series_of_device(&mut tx, "a").await.unwrap(), []);
}

async fn one_replica_archives_at_a_time(backend: Backend) {
    let other = backend.again().await;
    let mut first = backend.db.write().await.unwrap();
    assert!(archive_try_lock(&mut first).await.unwrap());
    if backend.db.is_shared() {
        let mut second = other.write().await.unwrap();
        assert!(!archive_try_lock(&mut second).await.unwrap());
    }
    first.commit().await.unwrap();
    let mut second = other.write().await.unwrap();
    archive_lock(&mut second).await.unwrap();
    assert!(archive_try_lock(&mut second).await.unwrap());
}

async fn what_is_known_of_the_clock_is_kept(backend: Backend) {
    let clock = async || archive_clock(&mut backend.db.read().await.unwrap()).await.unwrap();
    assert_eq!(clock().await, SteadyClock::default());
    let first = SteadyClock { seen: Some(at(1)), ..SteadyClock::default() };
    for kept in [first, SteadyClock { seen: Some(at(7)), steady: 6_000, believed: Some(at(7)) }] {
        let mut tx = backend.db.write().await.unwrap();
        archive_clock_put(&mut tx, &kept).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(clock().await, kept);
    }
    // Beside the counters of the jobs.
    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(archive_job_begin(&mut tx, JobKind::Inbox, "", at(8)).await.unwrap(), 1);
}
