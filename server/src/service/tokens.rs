//! Bearer tokens: made, listed and revoked by administrators.

use std::time::Duration;

use super::{Context, Result};
use crate::{
    limits,
    model::{
        id, life,
        page::Page,
        refusal::{Reason, Refusal},
        selector::Selector,
        text::{is_hidden, shown},
        token::{self, Role, Token},
    },
    store::{
        audit::audit_append,
        tokens::{token_get, token_insert, token_revoke, tokens_other_admins, tokens_page},
    },
};

/// Longest display name, in characters.
const DISPLAY_NAME: usize = 63;

/// What an administrator asks for.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// For people.
    pub display_name: String,
    /// What it may do.
    pub role: Role,
    /// For roles that have one, the devices it is for; else empty.
    pub scope: String,
    /// How long it lives; none means 90 days.
    pub ttl: Option<Duration>,
}

/// Makes a token; returns it with its bearer text, which is shown once.
pub async fn create(ctx: &Context, actor: &str, new: NewToken) -> Result<(Token, String)> {
    let life = check(&new)?;
    let now = ctx.clock.now();
    let secret = ctx.rng.bytes();
    let made = Token {
        id: id::mint(now, ctx.rng.bytes()),
        secret_sha256: token::hash(&secret),
        display_name: new.display_name,
        role: new.role,
        scope: new.scope,
        created_at: now,
        created_by: actor.to_owned(),
        expires_at: now.after(life),
        revoked_at: None,
    };
    let mut tx = ctx.db.write().await?;
    let detail = format!("{} as {}, scope {:?}", made.display_name, made.role.as_str(), made.scope);
    audit_append(&mut tx, now, actor, "CreateToken", &format!("tokens/{}", made.id), &detail).await?;
    token_insert(&mut tx, &made).await?;
    tx.commit().await?;
    ctx.tokens.reload(ctx).await?;
    let text = token::bearer(&made.id, &secret);
    Ok((made, text))
}

/// Tokens, newest first, and the token of the next page.
pub async fn list(ctx: &Context, page: &Page) -> Result<(Vec<Token>, String)> {
    let mut tx = ctx.db.read().await?;
    let mut tokens = tokens_page(&mut tx, page.after.as_deref(), page.probe()).await?;
    let next = page.cut(&mut tokens, |token| token.id.clone());
    Ok((tokens, next))
}

/// Ends a token at once, its open streams too; ending it twice is ending it once.
pub async fn revoke(ctx: &Context, actor: &str, id: &str) -> Result<Token> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    let found = token_get(&mut tx, id).await?.ok_or_else(|| {
        Refusal::new(
            Reason::TokenNotFound,
            format!("there is no token {}", shown(id)),
            "slipway token list shows those there are",
        )
        .field("name")
    })?;
    if found.revoked_at.is_some() {
        return Ok(found);
    }
    audit_append(&mut tx, now, actor, "RevokeToken", &format!("tokens/{id}"), &found.display_name).await?;
    // Another that ends in a moment is nobody to rely on, unless this one ends before it.
    let needed = now.after(limits::LAST_ADMIN).min(found.expires_at);
    if found.role == Role::Admin && tokens_other_admins(&mut tx, id, now.max(needed)).await? == 0 {
        let days = limits::LAST_ADMIN.as_secs() / 86_400;
        return Err(Refusal::new(
            Reason::LastAdmin,
            format!(
                "{} is the last admin token: no other goes on as long as it does, or for {days} days",
                found.display_name
            ),
            "make another admin token first: slipway token create NAME --role admin",
        )
        .field("name")
        .into());
    }
    token_revoke(&mut tx, id, now).await?;
    tx.commit().await?;
    ctx.tokens.reload(ctx).await?;
    Ok(Token { revoked_at: Some(now), ..found })
}

fn check(new: &NewToken) -> std::result::Result<Duration, Refusal> {
    let invalid = |field: &str, message: &str, hint: &str| {
        Refusal::new(Reason::TokenInvalid, message, hint).field(format!("token.{field}"))
    };
    let length = new.display_name.chars().count();
    if !(1..=DISPLAY_NAME).contains(&length) || new.display_name.chars().any(is_hidden) {
        return Err(invalid(
            "display_name",
            "a token needs a name of 1 to 63 characters, all of which can be seen",
            "name the person or program that will use it",
        ));
    }
    match (new.role.has_scope(), new.scope.trim().is_empty()) {
        (true, true) => {
            return Err(invalid(
                "scope",
                "a token for a client or for ingest needs a scope",
                "say which devices it is for, for example labels.customer = \"acme\"",
            ));
        }
        (true, false) => {
            Selector::parse_scope(&new.scope).map_err(|refusal| refusal.field("token.scope"))?;
        }
        (false, false) => {
            return Err(invalid(
                "scope",
                "only a token for a client or for ingest has a scope",
                "leave the scope out, or take one of these roles",
            ));
        }
        (false, true) => {}
    }
    life::check(new.ttl, limits::TOKEN_LIFE, limits::TOKEN_LIFE_MAX, Reason::TokenInvalid)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn new(role: Role, scope: &str) -> NewToken {
        NewToken { display_name: "ann".into(), role, scope: scope.into(), ttl: None }
    }

    #[tokio::test]
    async fn a_token_calls_until_it_ends() {
        let ctx = Context::for_test().await;
        let (_, admin) = create(&ctx, "server", new(Role::Admin, "")).await.unwrap();
        let (made, text) = create(&ctx, "server", new(Role::Viewer, "")).await.unwrap();
        let caller = ctx.tokens.find(&text, ctx.clock.now()).unwrap();
        assert_eq!(caller.actor(), format!("tokens/{} (ann)", made.id));
        assert!(caller.ended().now_or_never().is_none());
        revoke(&ctx, "server", &made.id).await.unwrap();
        assert!(caller.ended().now_or_never().is_some(), "open streams end");
        let refusal = ctx.tokens.find(&text, ctx.clock.now()).unwrap_err();
        assert_eq!(refusal.reason, Reason::TokenUnknown);
        ctx.clock.advance(limits::TOKEN_LIFE);
        let refusal = ctx.tokens.find(&admin, ctx.clock.now()).unwrap_err();
        assert_eq!(refusal.reason, Reason::TokenExpired);
    }

    #[tokio::test]
    async fn a_wrong_secret_is_unknown() {
        let ctx = Context::for_test().await;
        let (made, _) = create(&ctx, "server", new(Role::Viewer, "")).await.unwrap();
        let forged = token::bearer(&made.id, &[9; token::SECRET_BYTES]);
        assert_eq!(ctx.tokens.find(&forged, ctx.clock.now()).unwrap_err().reason, Reason::TokenUnknown);
    }

    #[tokio::test]
    async fn the_last_admin_stays() {
        let ctx = Context::for_test().await;
        let (first, text) = create(&ctx, "server", new(Role::Admin, "")).await.unwrap();
        let refused = revoke(&ctx, "server", &first.id).await.unwrap_err();
        assert!(refused.to_string().contains("LAST_ADMIN"), "{refused}");
        assert!(ctx.tokens.find(&text, ctx.clock.now()).is_ok());
        // One that ends in a minute lets nobody in tomorrow.
        let brief = NewToken { ttl: Some(Duration::from_secs(60)), ..new(Role::Admin, "") };
        let (brief, _) = create(&ctx, "server", brief).await.unwrap();
        let refused = revoke(&ctx, "server", &first.id).await.unwrap_err();
        assert!(refused.to_string().contains("LAST_ADMIN"), "{refused}");
        assert!(revoke(&ctx, "server", &brief.id).await.is_ok(), "the first outlives it");
        create(&ctx, "server", new(Role::Admin, "")).await.unwrap();
        assert!(revoke(&ctx, "server", &first.id).await.is_ok());
    }

    #[tokio::test]
    async fn scopes_belong_to_clients_and_ingest() {
        let ctx = Context::for_test().await;
        for (role, scope) in [
            (Role::Client, ""),
            (Role::Ingest, ""),
            (Role::Viewer, "labels.a = \"b\""),
            (Role::Client, "attributes.a = \"b\""),
            (Role::Client, "labels.a ="),
        ] {
            assert!(create(&ctx, "server", new(role, scope)).await.is_err(), "{role:?} {scope}");
        }
        for role in [Role::Client, Role::Ingest] {
            assert!(create(&ctx, "server", new(role, "labels.a = \"b\"")).await.is_ok());
        }
    }
}
