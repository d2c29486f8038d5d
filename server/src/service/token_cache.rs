//! Tokens in memory: a call is authenticated without the database.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::watch;

use super::{Context, Result};
use crate::{
    model::{
        filter::Subject,
        refusal::{Reason, Refusal},
        selector::Selector,
        time::Timestamp,
        token::{self, Token},
    },
    store::tokens::tokens_live,
};

/// So long after its end a token is still told that it expired, and not that nobody knows it.
const REMEMBER_EXPIRED: Duration = Duration::from_secs(30 * 24 * 3600);

/// Every token that may call, by id.
#[derive(Clone, Debug, Default)]
pub struct TokenCache(Arc<RwLock<HashMap<String, Arc<TokenCaller>>>>);

/// A caller who showed a token.
#[derive(Debug)]
pub struct TokenCaller {
    /// The token.
    pub token: Token,
    scope: Selector,
    ended: watch::Sender<bool>,
}

impl TokenCaller {
    /// As the audit log names it.
    pub fn actor(&self) -> String {
        format!("tokens/{} ({})", self.token.id, self.token.display_name)
    }

    /// Whether the device is in the caller's scope. Who has no scope sees every device.
    pub fn may_see(&self, device: &impl Subject) -> bool {
        !self.token.role.has_scope() || (!self.scope.is_empty() && self.scope.matches(device))
    }

    /// The caller's scope; empty for roles that have none.
    pub fn scope(&self) -> &Selector {
        &self.scope
    }

    /// Returns when the token was revoked or has expired; streams end then.
    pub async fn ended(&self) {
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    fn new(token: Token) -> Self {
        let scope = Selector::parse_scope(&token.scope).unwrap_or_else(|refusal| {
            // Fail closed: an empty scope selects nothing.
            tracing::error!(token = token.id, %refusal, "a stored scope cannot be read; the token sees nothing");
            Selector::default()
        });
        TokenCaller { token, scope, ended: watch::Sender::new(false) }
    }
}

impl TokenCache {
    /// The caller behind a bearer text, or why there is none.
    pub fn find(&self, bearer: &str, now: Timestamp) -> std::result::Result<Arc<TokenCaller>, Refusal> {
        let unknown = || {
            Refusal::new(
                Reason::TokenUnknown,
                "the server does not know this token",
                "check that it was copied whole and for this server; it may have been revoked",
            )
        };
        let caller = self.known(bearer).ok_or_else(unknown)?;
        if now >= caller.token.expires_at {
            return Err(Refusal::new(
                Reason::TokenExpired,
                format!("the token {} ({}) has expired", caller.token.id, caller.token.display_name),
                "ask an administrator for a new one: slipway token create",
            ));
        }
        Ok(caller)
    }

    /// Whose bearer text it is, whether he may still call or not.
    pub fn known(&self, bearer: &str) -> Option<Arc<TokenCaller>> {
        let (id, secret) = token::read_bearer(bearer)?;
        let found = self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        found.filter(|caller| token::same(&caller.token.secret_sha256, &secret))
    }

    /// Takes over what the store holds, and ends whoever is no longer there.
    pub async fn reload(&self, ctx: &Context) -> Result<()> {
        let now = ctx.clock.now();
        let mut tx = ctx.db.read().await?;
        let tokens = tokens_live(&mut tx, now.before(REMEMBER_EXPIRED)).await?;
        drop(tx);
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = HashMap::with_capacity(tokens.len());
        for token in tokens {
            // A caller who stays keeps his value: open streams watch it.
            let caller = match map.remove(&token.id) {
                Some(known) if known.token == token => known,
                _ => Arc::new(TokenCaller::new(token)),
            };
            next.insert(caller.token.id.clone(), caller);
        }
        for gone in std::mem::replace(&mut *map, next).into_values() {
            gone.ended.send_replace(true);
        }
        drop(map);
        self.end_expired(now);
        Ok(())
    }

    /// Whether a client with exactly this scope may still call.
    pub fn has_client(&self, scope: &str, now: Timestamp) -> bool {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.values()
            .map(|caller| &caller.token)
            .any(|token| token.role == token::Role::Client && token.scope == scope && now < token.expires_at)
    }

    /// Whether an actor, as the audit log names him, is a client with exactly this scope who still calls.
    pub fn is_client_of(&self, actor: &str, scope: &str) -> bool {
        let id = actor.strip_prefix("tokens/").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let token = map.get(id).map(|caller| &caller.token);
        token.is_some_and(|token| token.role == token::Role::Client && token.scope == scope)
    }

    /// Ends the streams of tokens that have expired by `now`.
    pub fn end_expired(&self, now: Timestamp) {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for caller in map.values().filter(|caller| now >= caller.token.expires_at) {
            caller.ended.send_if_modified(|ended| !std::mem::replace(ended, true));
        }
    }
}
