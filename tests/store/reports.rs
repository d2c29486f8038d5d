//! Reports: once each, and never more than anybody needs.

use slipway_server::{
    model::update::UpdateState::{Downloading, Succeeded},
    store::{
        StoreError,
        reports::{OF_DEVICE, OF_UPDATE, report_insert, reports_delete_before},
    },
};

use crate::backend::{Backend, at, contract};

contract! {
    a_report_is_taken_once_and_remembered_for_a_while;
    a_number_that_was_used_for_something_else_is_another_report;
    an_update_has_so_many_and_no_more;
    a_device_forgets_its_oldest_and_none_of_the_update_at_hand;
}

async fn a_report_is_taken_once_and_remembered_for_a_while(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    assert!(report_insert(&mut tx, "a", 1, "u", Downloading, at(0)).await.unwrap());
    assert!(!report_insert(&mut tx, "a", 1, "u", Downloading, at(1)).await.unwrap());
    assert!(report_insert(&mut tx, "b", 1, "u", Downloading, at(1)).await.unwrap(), "another device's");
    reports_delete_before(&mut tx, at(1)).await.unwrap();
    assert!(report_insert(&mut tx, "a", 1, "u", Downloading, at(2)).await.unwrap());
    assert!(!report_insert(&mut tx, "b", 1, "u", Downloading, at(2)).await.unwrap());
}

async fn a_number_that_was_used_for_something_else_is_another_report(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    // A device that was restored from a copy counts on from where the copy was made.
    for (update, state) in [("u", Downloading), ("u", Succeeded), ("v", Downloading)] {
        assert!(report_insert(&mut tx, "a", 1, update, state, at(0)).await.unwrap(), "{update} {state:?}");
        assert!(!report_insert(&mut tx, "a", 1, update, state, at(1)).await.unwrap(), "{update} {state:?}");
    }
}

async fn an_update_has_so_many_and_no_more(backend: Backend) {
    let limit = OF_UPDATE.unsigned_abs();
    let mut tx = backend.db.write().await.unwrap();
    for sequence in 1..=limit {
        assert!(report_insert(&mut tx, "a", sequence, "u", Downloading, at(0)).await.unwrap());
    }
    tx.commit().await.unwrap();
    let mut tx = backend.db.write().await.unwrap();
    let more = report_insert(&mut tx, "a", limit + 1, "u", Downloading, at(0)).await;
    assert!(matches!(more, Err(StoreError::Exceeded { .. })), "{more:?}");
    drop(tx);
    let mut tx = backend.db.write().await.unwrap();
    assert!(!report_insert(&mut tx, "a", 1, "u", Downloading, at(0)).await.unwrap(), "a repeat is one still");
    assert!(
        report_insert(&mut tx, "a", limit + 1, "v", Downloading, at(0)).await.unwrap(),
        "the next update"
    );
}

async fn a_device_forgets_its_oldest_and_none_of_the_update_at_hand(backend: Backend) {
    let (limit, first) = (OF_DEVICE.unsigned_abs(), 1000);
    let ended = |sequence: u64| format!("ended {}", sequence / 100);
    let mut tx = backend.db.write().await.unwrap();
    for sequence in first..first + limit + 20 {
        assert!(report_insert(&mut tx, "a", sequence, &ended(sequence), Downloading, at(0)).await.unwrap());
    }
    for (sequence, is_new, why) in
        [(first + 20, false, "the newest stay"), (first + 19, true, "the oldest go")]
    {
        let added = report_insert(&mut tx, "a", sequence, &ended(sequence), Downloading, at(0)).await;
        assert_eq!(added.unwrap(), is_new, "{why}");
    }
    // A device that lost its memory counts from 1 again.
    for sequence in 1..=5 {
        assert!(report_insert(&mut tx, "a", sequence, "at hand", Downloading, at(0)).await.unwrap());
        assert!(!report_insert(&mut tx, "a", 1, "at hand", Downloading, at(0)).await.unwrap(), "{sequence}");
    }
}
