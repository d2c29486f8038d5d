//! Generations.

use slipway_server::store::changes::{Kind, changes_all, changes_bump};

use crate::backend::{Backend, contract};

contract! {
    kinds_count_apart;
    generations_come_in_commit_order;
}

async fn kinds_count_apart(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(changes_bump(&mut tx, Kind::Devices).await.unwrap(), 1);
    assert_eq!(changes_bump(&mut tx, Kind::Devices).await.unwrap(), 2);
    assert_eq!(changes_bump(&mut tx, Kind::AlertEvents).await.unwrap(), 1);
    let all = changes_all(&mut tx).await.unwrap();
    assert_eq!((all.devices, all.alert_events, all.tokens), (2, 1, 0));
    tx.commit().await.unwrap();
}

async fn generations_come_in_commit_order(backend: Backend) {
    let mut tasks = Vec::new();
    for _ in 0..16 {
        let db = backend.db.clone();
        tasks.push(tokio::spawn(async move {
            let mut tx = db.write().await.unwrap();
            let mine = changes_bump(&mut tx, Kind::AlertEvents).await.unwrap();
            tx.commit().await.unwrap();
            mine
        }));
    }
    let mut seen = Vec::new();
    for task in tasks {
        seen.push(task.await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=16).collect::<Vec<i64>>(), "no generation twice, none left out");
}
