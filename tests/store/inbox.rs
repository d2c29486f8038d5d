//! Batches of readings.

use slipway_server::store::{
    Tx,
    archive::{JobKind, archive_job_begin},
    archive_inbox::{inbox_archived, inbox_assign, inbox_unarchived},
    inbox::{InboxRow, inbox_lock, inbox_prune, inbox_put, inbox_try_lock, inbox_waiting},
    inbox_chunk::inbox_consumed,
};

use crate::backend::{Backend, at, contract};

contract! {
    a_repeated_batch_keeps_the_first;
    batches_of_one_number_are_told_apart_by_their_nonces;
    batches_wait_in_order_and_are_consumed_once;
    only_old_consumed_batches_are_deleted;
    one_replica_consumes_at_a_time;
}

fn batch(device: &str, sequence: i64, seconds: i64) -> InboxRow {
    InboxRow {
        device_id: device.to_owned(),
        sequence,
        nonce: Vec::new(),
        received_at: at(seconds).millis(),
        readings: vec![0, 159, 146, 150, u8::try_from(sequence).unwrap()],
    }
}

/// As the archive does with what waits for it.
async fn archive_all(tx: &mut Tx) {
    let waiting = inbox_unarchived(tx, 100).await.unwrap();
    let job = archive_job_begin(tx, JobKind::Inbox, "", at(0)).await.unwrap();
    inbox_assign(tx, job, waiting.last().unwrap()).await.unwrap();
    inbox_archived(tx, job).await.unwrap();
}

async fn a_repeated_batch_keeps_the_first(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    inbox_put(&mut tx, &batch("a", 1, 0)).await.unwrap();
    inbox_put(&mut tx, &InboxRow { readings: vec![9], ..batch("a", 1, 5) }).await.unwrap();
    inbox_put(&mut tx, &batch("b", 1, 0)).await.unwrap();
    assert_eq!(inbox_waiting(&mut tx, 10).await.unwrap(), [batch("a", 1, 0), batch("b", 1, 0)]);
    assert_eq!(inbox_consumed(&mut tx, std::slice::from_ref(&batch("a", 1, 0))).await.unwrap(), 1);
    inbox_put(&mut tx, &batch("a", 1, 9)).await.unwrap();
    assert_eq!(inbox_waiting(&mut tx, 10).await.unwrap(), [batch("b", 1, 0)]);
}

async fn batches_of_one_number_are_told_apart_by_their_nonces(backend: Backend) {
    let other = |nonce: u8, seconds| InboxRow { nonce: vec![nonce; 16], ..batch("a", 1, seconds) };
    let mut tx = backend.db.write().await.unwrap();
    for row in [batch("a", 1, 0), other(7, 0), other(0xff, 0), other(7, 3), batch("a", 1, 3)] {
        inbox_put(&mut tx, &row).await.unwrap();
    }
    let waiting = inbox_waiting(&mut tx, 10).await.unwrap();
    assert_eq!(waiting, [batch("a", 1, 0), other(7, 0), other(0xff, 0)]);
    assert_eq!(inbox_consumed(&mut tx, std::slice::from_ref(&other(7, 0))).await.unwrap(), 1);
    assert_eq!(inbox_waiting(&mut tx, 10).await.unwrap(), [batch("a", 1, 0), other(0xff, 0)]);
    archive_all(&mut tx).await;
    assert_eq!(inbox_prune(&mut tx, at(1), 9).await.unwrap(), 1);
    inbox_put(&mut tx, &other(0xff, 9)).await.unwrap();
    assert_eq!(inbox_waiting(&mut tx, 10).await.unwrap().len(), 2);
}

async fn batches_wait_in_order_and_are_consumed_once(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    for row in [batch("b", 2, 1), batch("a", 7, 1), batch("b", 1, 0), batch("Z", 1, 1)] {
        inbox_put(&mut tx, &row).await.unwrap();
    }
    let waiting = inbox_waiting(&mut tx, 3).await.unwrap();
    assert_eq!(waiting, [batch("b", 1, 0), batch("Z", 1, 1), batch("a", 7, 1)]);
    assert_eq!(inbox_consumed(&mut tx, std::slice::from_ref(&waiting[0])).await.unwrap(), 1);
    assert_eq!(inbox_consumed(&mut tx, std::slice::from_ref(&waiting[0])).await.unwrap(), 0);
    assert_eq!(inbox_consumed(&mut tx, std::slice::from_ref(&batch("nobody", 1, 0))).await.unwrap(), 0);
}

async fn only_old_consumed_batches_are_deleted(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    for sequence in 1..=5 {
        inbox_put(&mut tx, &batch("a", sequence, sequence)).await.unwrap();
    }
    for sequence in 1..=4 {
        assert_eq!(
            inbox_consumed(&mut tx, std::slice::from_ref(&batch("a", sequence, sequence))).await.unwrap(),
            1
        );
    }
    assert_eq!(inbox_prune(&mut tx, at(4), 2).await.unwrap(), 0, "they are not in the archive");
    archive_all(&mut tx).await;
    assert_eq!(inbox_prune(&mut tx, at(4), 2).await.unwrap(), 2);
    assert_eq!(inbox_prune(&mut tx, at(4), 2).await.unwrap(), 1);
    assert_eq!(inbox_prune(&mut tx, at(9), 9).await.unwrap(), 1);
    assert_eq!(inbox_waiting(&mut tx, 10).await.unwrap(), [batch("a", 5, 5)]);
}

async fn one_replica_consumes_at_a_time(backend: Backend) {
    let other = backend.again().await;
    let mut first = backend.db.write().await.unwrap();
    assert!(inbox_try_lock(&mut first).await.unwrap());
    if backend.db.is_shared() {
        let mut second = other.write().await.unwrap();
        assert!(!inbox_try_lock(&mut second).await.unwrap());
    }
    first.commit().await.unwrap();
    let mut second = other.write().await.unwrap();
    inbox_lock(&mut second).await.unwrap();
    assert!(inbox_try_lock(&mut second).await.unwrap());
}
