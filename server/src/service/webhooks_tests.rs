use std::sync::Arc;

use super::*;
use crate::{
    model::page::Page,
    service::{alert_testing::caller, testing::TestContext},
    store::audit::audit_before,
    webhook::signatures,
};

const ACME: &str = "labels.customer = \"acme\"";

fn new(scope: &str) -> NewWebhook {
    NewWebhook {
        display_name: "desk".to_owned(),
        url: "https://desk.example/slipway?key=abc".to_owned(),
        scope: scope.to_owned(),
        event_types: vec!["alert.*".to_owned()],
        signature: Signature::HmacSha256,
    }
}

fn reason<T>(result: Result<T>) -> Option<Reason> {
    match result {
        Err(Error::Refused(refusal)) => Some(refusal.reason),
        _ => None,
    }
}

/// An operator, a client of acme, another of acme, and one of somebody else.
async fn world() -> (TestContext, [Arc<TokenCaller>; 4]) {
    let ctx = Context::for_test().await;
    let operator = caller(&ctx, "00000000000000000001", Role::Operator, "").await;
    let client = caller(&ctx, "00000000000000000002", Role::Client, ACME).await;
    let colleague = caller(&ctx, "00000000000000000003", Role::Client, ACME).await;
    let other = caller(&ctx, "00000000000000000004", Role::Client, "labels.customer = \"other\"").await;
    (ctx, [operator, client, colleague, other])
}

async fn ids(ctx: &Context, caller: &TokenCaller) -> Vec<String> {
    let page = Page::parse(0, "", &[]).unwrap();
    let (found, _) = list(ctx, caller, &page).await.unwrap();
    found.into_iter().map(|standing| standing.webhook.id).collect()
}

/// Row 77: a client that would hear of others' machines.
#[tokio::test]
async fn a_client_manages_the_webhooks_of_its_scope_and_the_others_do_not_exist() {
    let (ctx, [operator, client, colleague, other]) = world().await;
    let own = create(&ctx, &client, new("")).await.unwrap();
    assert_eq!((own.scope.as_str(), own.by_client), (ACME, true));
    ctx.clock.advance(std::time::Duration::from_secs(1));
    let all = create(&ctx, &operator, new("")).await.unwrap();
    assert_eq!((all.scope.as_str(), all.by_client), ("", false));
    for wider in ["labels.customer = \"other\"", "product = \"pump\"", "id:*"] {
        assert_eq!(reason(create(&ctx, &client, new(wider)).await), Some(Reason::OutOfScope), "{wider}");
    }
    assert_eq!(ids(&ctx, &operator).await, [own.id.clone(), all.id.clone()]);
    // A token that was rotated has the same scope.
    assert_eq!(ids(&ctx, &client).await, std::slice::from_ref(&own.id));
    assert_eq!(ids(&ctx, &colleague).await, std::slice::from_ref(&own.id));
    assert_eq!(ids(&ctx, &other).await, [""; 0]);
    for id in [&own.id, &all.id] {
        let missing = Some(Reason::WebhookNotFound);
        assert_eq!(reason(get(&ctx, &other, id).await), missing);
        assert_eq!(reason(update(&ctx, &other, id, Change::default(), "").await), missing);
        assert_eq!(reason(rotate(&ctx, &other, id).await), missing);
        assert_eq!(reason(test(&ctx, &other, id).await), missing);
        assert_eq!(reason(replay(&ctx, &other, id, Since::Position(0)).await), missing);
        assert_eq!(reason(delete(&ctx, &other, id).await), missing);
    }
    let widen = Change { scope: Some("id:*".to_owned()), ..Change::default() };
    assert_eq!(reason(update(&ctx, &client, &own.id, widen, "").await), Some(Reason::OutOfScope));
    delete(&ctx, &colleague, &own.id).await.unwrap();
    assert_eq!(ids(&ctx, &operator).await, [all.id]);
}

#[tokio::test]
async fn there_are_never_too_many() {
    let (ctx, [operator, client, ..]) = world().await;
    for _ in 0..MAX_OF_SCOPE {
        create(&ctx, &client, new("")).await.unwrap();
    }
    assert_eq!(reason(create(&ctx, &client, new("")).await), Some(Reason::WebhookInvalid));
    for _ in MAX_OF_SCOPE..MAX_WEBHOOKS {
        create(&ctx, &operator, new("")).await.unwrap();
    }
    assert_eq!(reason(create(&ctx, &operator, new("")).await), Some(Reason::WebhookInvalid));
}

#[tokio::test]
async fn changes_are_checked_like_new_ones_and_meet_no_other_change() {
    let (ctx, [operator, ..]) = world().await;
    let made = create(&ctx, &operator, new("")).await.unwrap();
    let change = |url: &str| Change { url: Some(url.to_owned()), ..Change::default() };
    let inside = update(&ctx, &operator, &made.id, change("https://10.0.0.1/"), "").await;
    assert_eq!(reason(inside), Some(Reason::WebhookAddressRefused));
    let changed =
        update(&ctx, &operator, &made.id, change("https://new.example/"), &made.etag()).await.unwrap();
    assert_eq!(changed.webhook.url, "https://new.example/");
    let late = update(&ctx, &operator, &made.id, change("https://late.example/"), &made.etag()).await;
    assert_eq!(reason(late), Some(Reason::EtagMismatch));
    let off = Change { enabled: Some(false), ..Change::default() };
    let off = update(&ctx, &operator, &made.id, off, "").await.unwrap().webhook;
    assert_eq!(off.disabled_reason, format!("disabled by {}", operator.actor()));
    let on = Change { enabled: Some(true), ..Change::default() };
    let on = update(&ctx, &operator, &made.id, on, "").await.unwrap().webhook;
    assert!(on.enabled && on.disabled_reason.is_empty());
    // The log of acts never holds what may be a password.
    let mut tx = ctx.db.read().await.unwrap();
    for entry in audit_before(&mut tx, i64::MAX, 99).await.unwrap() {
        assert!(!entry.detail.contains("key=abc"), "{entry:?}");
    }
}

#[tokio::test]
async fn both_secrets_sign_for_a_day() {
    let (ctx, [operator, ..]) = world().await;
    let before = create(&ctx, &operator, new("")).await.unwrap();
    let (after, until) = rotate(&ctx, &operator, &before.id).await.unwrap();
    assert_ne!(secret(&before), secret(&after.webhook));
    assert_eq!(until, ctx.clock.now().after(OLD_SECRET));
    let stored = get(&ctx, &operator, &before.id).await.unwrap().webhook;
    let sign = |webhook: &Webhook, now| signatures(webhook, "msg_a", 1, "{}", now);
    let old = sign(&before, ctx.clock.now());
    assert!(sign(&stored, ctx.clock.now()).ends_with(&format!(" {old}")));
    assert!(!sign(&stored, until).contains(&old));
}
