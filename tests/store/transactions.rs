//! What every other case stands on.

use slipway_server::store::{
    StoreError,
    changes::{Kind, changes_bump, changes_get},
};

use crate::backend::{Backend, contract};

contract! {
    what_was_not_committed_is_not_there;
    what_was_committed_survives_a_restart;
    migrating_twice_changes_nothing;
    reading_refuses_to_write;
    every_statement_is_counted;
}

async fn what_was_not_committed_is_not_there(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    changes_bump(&mut tx, Kind::Devices).await.unwrap();
    drop(tx);
    let mut tx = backend.db.read().await.unwrap();
    assert_eq!(changes_get(&mut tx, Kind::Devices).await.unwrap(), 0);
}

async fn what_was_committed_survives_a_restart(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    changes_bump(&mut tx, Kind::Devices).await.unwrap();
    tx.commit().await.unwrap();
    backend.db.close().await;
    let again = backend.again().await;
    let mut tx = again.read().await.unwrap();
    assert_eq!(changes_get(&mut tx, Kind::Devices).await.unwrap(), 1);
}

async fn migrating_twice_changes_nothing(backend: Backend) {
    let again = backend.again().await;
    let mut tx = again.write().await.unwrap();
    assert_eq!(changes_bump(&mut tx, Kind::Trust).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let mut tx = backend.db.read().await.unwrap();
    assert_eq!(changes_get(&mut tx, Kind::Trust).await.unwrap(), 1);
}

async fn reading_refuses_to_write(backend: Backend) {
    let mut tx = backend.db.read().await.unwrap();
    let refused = changes_bump(&mut tx, Kind::Devices).await;
    assert!(matches!(refused, Err(StoreError::Driver(_))), "{refused:?}");
}

async fn every_statement_is_counted(backend: Backend) {
    let before = backend.db.statements();
    let mut tx = backend.db.read().await.unwrap();
    changes_get(&mut tx, Kind::Devices).await.unwrap();
    assert_eq!(backend.db.statements() - before, 2, "one to begin, one to ask");
}
