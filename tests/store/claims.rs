//! Claims.

use slipway_server::{
    model::claim::Claim,
    store::claims::{claim_get, claim_insert, claim_revoke, claim_spend, claims_page},
};
use slipway_trust::Sha256;

use crate::backend::{Backend, at, contract};

contract! {
    what_goes_in_comes_out;
    uses_are_never_overspent;
    ended_claims_cannot_be_spent;
}

fn claim(id: &str, uses: u32) -> Claim {
    Claim {
        id: id.to_owned(),
        secret_sha256: Sha256::of(id.as_bytes()),
        product: "pump".to_owned(),
        hardware: vec!["gw-a".to_owned(), "gw-b".to_owned()],
        labels: [("site".to_owned(), "north".to_owned())].into(),
        uses,
        used: 0,
        device_id: String::new(),
        device_id_pattern: "pump-*".to_owned(),
        approve: true,
        created_at: at(0),
        created_by: "test".to_owned(),
        expires_at: at(100),
        revoked_at: None,
    }
}

async fn insert(backend: &Backend, claim: &Claim) {
    let mut tx = backend.db.write().await.unwrap();
    claim_insert(&mut tx, claim).await.unwrap();
    tx.commit().await.unwrap();
}

async fn what_goes_in_comes_out(backend: Backend) {
    let one = claim("one", 1);
    insert(&backend, &one).await;
    insert(&backend, &claim("two", 2)).await;
    let mut tx = backend.db.read().await.unwrap();
    assert_eq!(claim_get(&mut tx, "one").await.unwrap(), Some(one));
    let newest: Vec<String> =
        claims_page(&mut tx, None, 1).await.unwrap().into_iter().map(|c| c.id).collect();
    assert_eq!(newest, ["two"]);
}

async fn uses_are_never_overspent(backend: Backend) {
    insert(&backend, &claim("many", 5)).await;
    let mut tasks = Vec::new();
    for _ in 0..12 {
        let db = backend.db.clone();
        tasks.push(tokio::spawn(async move {
            let mut tx = db.write().await.unwrap();
            let spent = claim_spend(&mut tx, "many", at(1)).await.unwrap();
            tx.commit().await.unwrap();
            spent
        }));
    }
    let mut spent = 0;
    for task in tasks {
        spent += usize::from(task.await.unwrap());
    }
    assert_eq!(spent, 5);
    let mut tx = backend.db.read().await.unwrap();
    assert_eq!(claim_get(&mut tx, "many").await.unwrap().unwrap().used, 5);
}

async fn ended_claims_cannot_be_spent(backend: Backend) {
    insert(&backend, &claim("expired", 1)).await;
    insert(&backend, &claim("revoked", 1)).await;
    let mut tx = backend.db.write().await.unwrap();
    assert!(!claim_spend(&mut tx, "expired", at(100)).await.unwrap());
    assert!(claim_revoke(&mut tx, "revoked", at(1)).await.unwrap());
    assert!(!claim_revoke(&mut tx, "revoked", at(2)).await.unwrap());
    assert!(!claim_spend(&mut tx, "revoked", at(2)).await.unwrap());
    assert!(!claim_spend(&mut tx, "nobody", at(2)).await.unwrap());
}
