//! Certificate authorities that the fleet relies on.

use slipway_server::store::authorities::{authorities_all, authority_put};
use slipway_trust::Sha256;

use crate::backend::{Backend, at, contract};

contract! {
    the_last_key_recorded_counts;
}

async fn the_last_key_recorded_counts(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(authorities_all(&mut tx).await.unwrap(), []);
    for (name, key) in [("server-ca", "a"), ("device-ca", "b"), ("device-ca", "c")] {
        authority_put(&mut tx, name, &Sha256::of(key.as_bytes()), at(0)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = backend.again().await.read().await.unwrap();
    let expected = [("device-ca", "c"), ("server-ca", "a")]
        .map(|(name, key)| (name.to_owned(), Sha256::of(key.as_bytes())));
    assert_eq!(authorities_all(&mut tx).await.unwrap(), expected);
}
