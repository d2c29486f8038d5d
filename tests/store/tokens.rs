//! Bearer tokens.

use slipway_server::{
    model::token::{Role, Token},
    store::{
        StoreError,
        tokens::{token_get, token_insert, token_revoke, tokens_live, tokens_other_admins, tokens_page},
    },
};
use slipway_trust::Sha256;

use crate::backend::{Backend, at, contract};

contract! {
    what_goes_in_comes_out;
    a_secret_belongs_to_one_token;
    pages_go_from_new_to_old;
    only_live_tokens_are_live;
    the_last_admin_is_known;
}

fn token(id: &str, role: Role) -> Token {
    Token {
        id: id.to_owned(),
        secret_sha256: Sha256::of(id.as_bytes()),
        display_name: format!("Ünïcode {id}"),
        role,
        scope: "labels.customer = \"acme\"".to_owned(),
        created_at: at(0),
        created_by: "test".to_owned(),
        expires_at: at(100),
        revoked_at: None,
    }
}

async fn insert(backend: &Backend, tokens: &[Token]) {
    let mut tx = backend.db.write().await.unwrap();
    for token in tokens {
        token_insert(&mut tx, token).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn what_goes_in_comes_out(backend: Backend) {
    for role in Role::ALL {
        let token = token(role.as_str(), role);
        insert(&backend, std::slice::from_ref(&token)).await;
        let mut tx = backend.db.read().await.unwrap();
        assert_eq!(token_get(&mut tx, &token.id).await.unwrap(), Some(token));
    }
    let mut tx = backend.db.read().await.unwrap();
    assert_eq!(token_get(&mut tx, "nobody").await.unwrap(), None);
}

async fn a_secret_belongs_to_one_token(backend: Backend) {
    let first = token("a", Role::Viewer);
    insert(&backend, std::slice::from_ref(&first)).await;
    let mut tx = backend.db.write().await.unwrap();
    let twice = token_insert(&mut tx, &Token { id: "b".to_owned(), ..first }).await;
    assert!(matches!(twice, Err(StoreError::Conflict { .. })), "{twice:?}");
}

async fn pages_go_from_new_to_old(backend: Backend) {
    let tokens: Vec<Token> = ["a", "b", "c"].map(|id| token(id, Role::Viewer)).into();
    insert(&backend, &tokens).await;
    let mut tx = backend.db.read().await.unwrap();
    let ids = |page: Vec<Token>| page.into_iter().map(|t| t.id).collect::<Vec<_>>();
    assert_eq!(ids(tokens_page(&mut tx, None, 2).await.unwrap()), ["c", "b"]);
    assert_eq!(ids(tokens_page(&mut tx, Some("b"), 2).await.unwrap()), ["a"]);
}

async fn only_live_tokens_are_live(backend: Backend) {
    insert(&backend, &[token("a", Role::Viewer), token("b", Role::Viewer)]).await;
    let mut tx = backend.db.write().await.unwrap();
    assert!(token_revoke(&mut tx, "a", at(5)).await.unwrap());
    assert!(!token_revoke(&mut tx, "a", at(6)).await.unwrap(), "it is revoked already");
    assert!(!token_revoke(&mut tx, "nobody", at(6)).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = backend.db.read().await.unwrap();
    let live: Vec<String> = tokens_live(&mut tx, at(99)).await.unwrap().into_iter().map(|t| t.id).collect();
    assert_eq!(live, ["b"]);
    assert!(tokens_live(&mut tx, at(100)).await.unwrap().is_empty(), "expired at its last moment");
    assert_eq!(token_get(&mut tx, "a").await.unwrap().unwrap().revoked_at, Some(at(5)));
}

async fn the_last_admin_is_known(backend: Backend) {
    insert(&backend, &[token("a", Role::Admin), token("b", Role::Admin), token("v", Role::Viewer)]).await;
    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(tokens_other_admins(&mut tx, "a", at(1)).await.unwrap(), 1);
    assert!(token_revoke(&mut tx, "b", at(1)).await.unwrap());
    assert_eq!(tokens_other_admins(&mut tx, "a", at(1)).await.unwrap(), 0);
}
