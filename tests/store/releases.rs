//! Releases and their manifests.

use slipway_server::{
    model::release::{ArtifactSummary, Release},
    store::{
        StoreError,
        releases::{After, release_get, release_insert, release_manifest, releases_page, releases_used},
    },
};
use slipway_trust::Sha256;

use crate::backend::{Backend, at, contract};

contract! {
    a_release_reads_back_as_it_was;
    versions_and_counters_are_taken_once;
    pages_run_from_new_to_old;
    what_was_used_stays_used;
}

fn release(product: &str, version: &str, counter: u64, seconds: i64) -> Release {
    Release {
        product: product.to_owned(),
        version: version.parse().unwrap(),
        counter,
        floor: counter - 1,
        min_from: 0,
        hardware: vec!["gw-a".to_owned(), "gw-b".to_owned()],
        artifacts: vec![ArtifactSummary {
            component: "system".to_owned(),
            hardware: vec!["gw-a".to_owned()],
            size: 5 << 30,
            digest: Sha256::of(b"artifact"),
            segments: 5120,
        }],
        manifest_digest: Sha256::of(version.as_bytes()),
        created_at: at(seconds),
        created_by: "tokens/a (ci)".to_owned(),
    }
}

async fn a_release_reads_back_as_it_was(backend: Backend) {
    let one = release("pump", "1.0.0", 1, 1);
    let mut tx = backend.db.write().await.unwrap();
    release_insert(&mut tx, &one, b"the manifest\0\xff").await.unwrap();
    assert_eq!(release_get(&mut tx, "pump", "1.0.0").await.unwrap(), Some(one));
    assert_eq!(release_get(&mut tx, "pump", "1.0").await.unwrap(), None);
    assert_eq!(release_get(&mut tx, "valve", "1.0.0").await.unwrap(), None);
    let manifest = release_manifest(&mut tx, "pump", "1.0.0").await.unwrap();
    assert_eq!(manifest.as_deref(), Some(&b"the manifest\0\xff"[..]));
}

async fn versions_and_counters_are_taken_once(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    release_insert(&mut tx, &release("pump", "1.0.0", 1, 1), b"").await.unwrap();
    release_insert(&mut tx, &release("valve", "1.0.0", 1, 1), b"").await.unwrap();
    tx.commit().await.unwrap();
    for taken in [release("pump", "1.0.0", 2, 2), release("pump", "2.0.0", 1, 2)] {
        let mut tx = backend.db.write().await.unwrap();
        let refused = release_insert(&mut tx, &taken, b"").await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{}", taken.name());
    }
}

async fn pages_run_from_new_to_old(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    // Two of one product and one of another in the same millisecond.
    for (product, version, counter, seconds) in
        [("pump", "1.0", 1, 1), ("valve", "1.0", 1, 5), ("pump", "2.0", 2, 5), ("pump", "3.0", 3, 5)]
    {
        release_insert(&mut tx, &release(product, version, counter, seconds), b"").await.unwrap();
    }
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = releases_page(&mut tx, after.as_ref(), 1).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(After::release(last));
        found.extend(page.iter().map(Release::name));
    }
    let expected = ["releases/pump/3.0", "releases/pump/2.0", "releases/valve/1.0", "releases/pump/1.0"];
    assert_eq!(found, expected);
    let whole = releases_page(&mut tx, None, 10).await.unwrap();
    assert_eq!(whole.iter().map(Release::name).collect::<Vec<_>>(), expected);
}

async fn what_was_used_stays_used(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(releases_used(&mut tx, "pump").await.unwrap(), (0, vec![]));
    for (product, version, counter) in [("pump", "1.0.0", 1), ("pump", "1.10.0", 7), ("valve", "3.0", 9)] {
        release_insert(&mut tx, &release(product, version, counter, 1), b"").await.unwrap();
    }
    let (counter, versions) = releases_used(&mut tx, "pump").await.unwrap();
    assert_eq!((counter, versions.iter().max().unwrap().as_str()), (7, "1.10.0"));
}
