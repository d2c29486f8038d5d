//! Signed metadata.

use slipway_server::{
    model::trust::SignedFile,
    store::{
        StoreError,
        metadata::{
            metadata_current, metadata_forget, metadata_insert, metadata_timestamps, metadata_version,
        },
    },
};

use crate::backend::{Backend, at, contract};

contract! {
    all_roots_and_the_newest_of_the_rest;
    a_version_is_written_once;
    old_files_are_forgotten_and_roots_never;
    timestamps_say_when_they_were_signed;
}

fn file(role: &str, version: u64) -> SignedFile {
    SignedFile {
        role: role.to_owned(),
        version,
        bytes: format!("{role} {version}\0\u{ff}").into_bytes().into(),
        expires_at: at(1000),
        created_at: at(i64::try_from(version).unwrap()),
    }
}

async fn filled(backend: &Backend) -> Vec<SignedFile> {
    let files = [("root", 1), ("root", 2), ("pump", 3), ("timestamp", 9), ("timestamp", 10), ("root", 10)];
    let files: Vec<SignedFile> = files.into_iter().map(|(role, version)| file(role, version)).collect();
    let mut tx = backend.db.write().await.unwrap();
    for one in &files {
        metadata_insert(&mut tx, one).await.unwrap();
    }
    tx.commit().await.unwrap();
    files
}

async fn all_roots_and_the_newest_of_the_rest(backend: Backend) {
    let mut tx = backend.db.read().await.unwrap();
    assert!(metadata_current(&mut tx).await.unwrap().is_empty());
    drop(tx);
    filled(&backend).await;
    let mut tx = backend.db.read().await.unwrap();
    let expected =
        [("pump", 3), ("root", 1), ("root", 2), ("root", 10), ("timestamp", 10)].map(|(r, v)| file(r, v));
    assert_eq!(metadata_current(&mut tx).await.unwrap(), expected);
    assert_eq!(metadata_version(&mut tx, "timestamp").await.unwrap(), 10);
    assert_eq!(metadata_version(&mut tx, "valve").await.unwrap(), 0);
}

async fn a_version_is_written_once(backend: Backend) {
    filled(&backend).await;
    let mut tx = backend.db.write().await.unwrap();
    let again = SignedFile { bytes: "other".into(), ..file("pump", 3) };
    assert!(matches!(metadata_insert(&mut tx, &again).await, Err(StoreError::Conflict { .. })));
}

async fn old_files_are_forgotten_and_roots_never(backend: Backend) {
    filled(&backend).await;
    let mut tx = backend.db.write().await.unwrap();
    metadata_forget(&mut tx, "root", 10, at(100)).await.unwrap();
    metadata_forget(&mut tx, "timestamp", 10, at(9)).await.unwrap();
    assert_eq!(metadata_timestamps(&mut tx).await.unwrap().len(), 2, "stored too lately");
    metadata_forget(&mut tx, "timestamp", 10, at(100)).await.unwrap();
    assert_eq!(metadata_timestamps(&mut tx).await.unwrap(), [(10, at(10))]);
    assert_eq!(metadata_current(&mut tx).await.unwrap().len(), 5);
}

async fn timestamps_say_when_they_were_signed(backend: Backend) {
    filled(&backend).await;
    let mut tx = backend.db.read().await.unwrap();
    assert_eq!(metadata_timestamps(&mut tx).await.unwrap(), [(9, at(9)), (10, at(10))]);
}
