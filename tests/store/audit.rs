//! The audit log: appended, chained, never edited.

use slipway_server::store::audit::{audit_append, audit_before, audit_page, link};

use crate::backend::{Backend, at, contract};

contract! {
    entries_are_numbered_and_chained;
    two_writers_never_fork_the_chain;
}

async fn entries_are_numbered_and_chained(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    for n in 0..3 {
        audit_append(&mut tx, at(n), "ops", "rollout.pause", "rollouts/1", "why").await.unwrap();
    }
    let entries = audit_page(&mut tx, 0, 10).await.unwrap();
    assert_eq!(entries.iter().map(|e| e.number).collect::<Vec<_>>(), [1, 2, 3]);
    let mut before = String::new();
    for entry in &entries {
        assert_eq!(entry.hash, link(&before, entry));
        before.clone_from(&entry.hash);
    }
    let mut forged = entries[1].clone();
    forged.actor = "somebody else".to_owned();
    assert_ne!(link(&entries[0].hash, &forged), entries[1].hash, "an edited entry breaks the chain");
    assert_eq!(audit_page(&mut tx, 2, 10).await.unwrap().len(), 1);
    let back = audit_before(&mut tx, 3, 10).await.unwrap();
    assert_eq!(back.iter().map(|e| e.number).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(audit_before(&mut tx, i64::MAX, 1).await.unwrap()[0].number, 3);
}

async fn two_writers_never_fork_the_chain(backend: Backend) {
    let mut tasks = Vec::new();
    for n in 0..12 {
        let db = backend.db.clone();
        tasks.push(tokio::spawn(async move {
            let mut tx = db.write().await.unwrap();
            audit_append(&mut tx, at(n), "ops", "act", "x", "").await.unwrap();
            tx.commit().await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut tx = backend.db.read().await.unwrap();
    let entries = audit_page(&mut tx, 0, 100).await.unwrap();
    assert_eq!(entries.len(), 12);
    let mut before = String::new();
    for entry in &entries {
        assert_eq!(entry.hash, link(&before, entry), "entry {}", entry.number);
        before.clone_from(&entry.hash);
    }
}
