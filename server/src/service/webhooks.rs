//! Webhooks, as people and their programs manage them. A client manages those whose scope is its own; the others do
//! not exist for it.

use super::{Context, Error, Result, deliveries::told, token_cache::TokenCaller};
use crate::{
    model::{
        delivery::Answer,
        event::{Event, NewEvent},
        id,
        page::Page,
        refusal::{Reason, Refusal},
        selector::Selector,
        text::quoted,
        time::Timestamp,
        token::Role,
        webhook::{Health, MAX_OF_SCOPE, MAX_WEBHOOKS, OLD_SECRET, Secret, Signature, Webhook},
    },
    store::{
        Tx,
        audit::audit_append,
        changes::{Kind, changes_get},
        deliveries::{deliveries_hurry, deliveries_waiting},
        outbox::{outbox_before, outbox_count},
        webhooks::{
            webhook_delete, webhook_get, webhook_health, webhook_insert, webhook_rewind, webhook_update,
            webhooks_count, webhooks_page,
        },
    },
    webhook::secret_text,
};

/// What somebody asks for.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// For people.
    pub display_name: String,
    /// Where it leads.
    pub url: String,
    /// Which devices; a client may leave it out.
    pub scope: String,
    /// Which kinds of events; empty means all.
    pub event_types: Vec<String>,
    /// How events are signed.
    pub signature: Signature,
}

/// What somebody changes; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// For people.
    pub display_name: Option<String>,
    /// Where it leads.
    pub url: Option<String>,
    /// Which devices.
    pub scope: Option<String>,
    /// Which kinds of events.
    pub event_types: Option<Vec<String>>,
    /// Whether anything is sent.
    pub enabled: Option<bool>,
}

/// From where on events are sent once more.
#[derive(Clone, Copy, Debug)]
pub enum Since {
    /// What happened then and after.
    Time(Timestamp),
    /// What follows this position.
    Position(i64),
}

/// A webhook and how many events wait for it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The webhook.
    pub webhook: Webhook,
    /// Events that wait, as far as they were looked at.
    pub waiting: i64,
}

/// Makes a webhook; it hears what happens from now on.
pub async fn create(ctx: &Context, caller: &TokenCaller, new: NewWebhook) -> Result<Webhook> {
    let now = ctx.clock.now();
    let webhook = Webhook {
        id: id::mint(now, ctx.rng.bytes()),
        display_name: new.display_name,
        url: new.url,
        scope: scope(caller, &new.scope)?,
        event_types: new.event_types,
        signature: new.signature,
        secret: Secret(ctx.rng.bytes()),
        old_secret: None,
        by_client: caller.token.role == Role::Client,
        position: 0,
        enabled: true,
        disabled_reason: String::new(),
        health: Health::default(),
        created_at: now,
        created_by: caller.actor(),
        updated_at: now,
        generation: 1,
    };
    webhook.check(&ctx.courier.outbound().policy)?;
    let mut tx = ctx.db.write().await?;
    let webhook = Webhook { position: changes_get(&mut tx, Kind::Outbox).await?, ..webhook };
    let (of_scope, all) = webhooks_count(&mut tx, webhook.scope.as_str()).await?;
    if all >= MAX_WEBHOOKS || (webhook.by_client && of_scope >= MAX_OF_SCOPE) {
        return Err(Refusal::new(
            Reason::WebhookInvalid,
            "there are as many webhooks already as there may be",
            "delete one that nobody needs: slipway webhook list, slipway webhook delete",
        )
        .into());
    }
    webhook_insert(&mut tx, &webhook).await?;
    audit(&mut tx, caller, "CreateWebhook", &webhook, &sentence(&webhook)).await?;
    tx.commit().await?;
    ctx.courier.wake();
    Ok(webhook)
}

/// One page of webhooks by age, and the token of the next.
pub async fn list(ctx: &Context, caller: &TokenCaller, page: &Page) -> Result<(Vec<Standing>, String)> {
    let scope = (caller.token.role == Role::Client).then_some(caller.token.scope.as_str());
    let mut tx = ctx.db.read().await?;
    let after = page.after.as_deref().unwrap_or_default();
    let mut found = webhooks_page(&mut tx, scope, after, page.probe()).await?;
    let next = page.cut(&mut found, |webhook| webhook.id.clone());
    let mut standing = Vec::with_capacity(found.len());
    for webhook in found {
        standing.push(stand(&mut tx, webhook).await?);
    }
    Ok((standing, next))
}

/// One webhook.
pub async fn get(ctx: &Context, caller: &TokenCaller, id: &str) -> Result<Standing> {
    let mut tx = ctx.db.read().await?;
    let webhook = visible(&mut tx, caller, id).await?;
    stand(&mut tx, webhook).await
}

/// Changes a webhook. Enabling it, or giving it another address, tries what waits without waiting for its time.
pub async fn update(
    ctx: &Context,
    caller: &TokenCaller,
    id: &str,
    change: Change,
    etag: &str,
) -> Result<Standing> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    let before = visible(&mut tx, caller, id).await?;
    if !etag.is_empty() && etag != before.etag() {
        return Err(changed_meanwhile(id));
    }
    let scope = change.scope.map(|text| scope(caller, &text)).transpose()?;
    let mut next = Webhook {
        display_name: change.display_name.unwrap_or(before.display_name.clone()),
        url: change.url.unwrap_or(before.url.clone()),
        scope: scope.unwrap_or(before.scope.clone()),
        event_types: change.event_types.unwrap_or(before.event_types.clone()),
        enabled: change.enabled.unwrap_or(before.enabled),
        updated_at: now,
        generation: before.generation + 1,
        ..before.clone()
    };
    next.check(&ctx.courier.outbound().policy)?;
    if next.enabled != before.enabled {
        next.disabled_reason =
            if next.enabled { String::new() } else { format!("disabled by {}", caller.actor()) };
    }
    write(&mut tx, &next).await?;
    if next.enabled && (!before.enabled || next.url != before.url) {
        next.health = before.health.afresh(now);
        webhook_health(&mut tx, id, next.health).await?;
        deliveries_hurry(&mut tx, id, now, true).await?;
    }
    let state = if next.enabled { "enabled" } else { "disabled" };
    audit(&mut tx, caller, "UpdateWebhook", &next, &format!("{}, {state}", sentence(&next))).await?;
    let standing = stand(&mut tx, next).await?;
    tx.commit().await?;
    ctx.courier.wake();
    Ok(standing)
}

/// Removes a webhook with everything that waits for it.
pub async fn delete(ctx: &Context, caller: &TokenCaller, id: &str) -> Result<Standing> {
    let mut tx = ctx.db.write().await?;
    let webhook = visible(&mut tx, caller, id).await?;
    let standing = stand(&mut tx, webhook).await?;
    webhook_delete(&mut tx, id).await?;
    audit(&mut tx, caller, "DeleteWebhook", &standing.webhook, &sentence(&standing.webhook)).await?;
    tx.commit().await?;
    Ok(standing)
}

/// Makes a new secret; the one before signs as well until the time that is returned.
pub async fn rotate(ctx: &Context, caller: &TokenCaller, id: &str) -> Result<(Standing, Timestamp)> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    let before = visible(&mut tx, caller, id).await?;
    let until = now.after(OLD_SECRET);
    let next = Webhook {
        secret: Secret(ctx.rng.bytes()),
        old_secret: Some((before.secret.clone(), until)),
        updated_at: now,
        generation: before.generation + 1,
        ..before
    };
    write(&mut tx, &next).await?;
    audit(&mut tx, caller, "RotateWebhookSecret", &next, &next.display_name).await?;
    let standing = stand(&mut tx, next).await?;
    tx.commit().await?;
    Ok((standing, until))
}

/// Sends an event that says nothing, once, whether the webhook is enabled or not.
pub async fn test(ctx: &Context, caller: &TokenCaller, id: &str) -> Result<(Event, Answer)> {
    let mut tx = ctx.db.read().await?;
    let webhook = visible(&mut tx, caller, id).await?;
    drop(tx);
    let now = ctx.clock.now();
    let event = NewEvent::test(id, now).at_position(0);
    let mut answer = ctx.courier.outbound().post(&webhook, &event, now).await;
    answer.error = told(caller, answer.http_status != 0, answer.error);
    Ok((event, answer))
}

/// Sends what happened since then once more; returns how many events are looked at for it.
pub async fn replay(ctx: &Context, caller: &TokenCaller, id: &str, since: Since) -> Result<(Standing, i64)> {
    let mut tx = ctx.db.write().await?;
    let webhook = visible(&mut tx, caller, id).await?;
    let newest = changes_get(&mut tx, Kind::Outbox).await?;
    let position = match since {
        Since::Position(position) if (0..=newest).contains(&position) => position,
        Since::Position(position) => {
            return Err(Refusal::new(
                Reason::WebhookInvalid,
                format!("there is no position {position}: the newest is {newest}"),
                "name a position of slipway webhook deliveries, or a time",
            )
            .field("position")
            .into());
        }
        Since::Time(time) => outbox_before(&mut tx, time, newest).await?,
    };
    let events = outbox_count(&mut tx, position).await?;
    webhook_rewind(&mut tx, id, position).await?;
    audit(&mut tx, caller, "ReplayWebhook", &webhook, &format!("{events} events after position {position}"))
        .await?;
    let standing = stand(&mut tx, Webhook { position, ..webhook }).await?;
    tx.commit().await?;
    ctx.courier.wake();
    Ok((standing, events))
}

/// A webhook that the caller may manage.
pub(super) async fn visible(tx: &mut Tx, caller: &TokenCaller, id: &str) -> Result<Webhook> {
    if let Some(webhook) = webhook_get(tx, id).await?
        && (caller.token.role != Role::Client || webhook.scope.as_str() == caller.token.scope)
    {
        return Ok(webhook);
    }
    Err(Refusal::new(
        Reason::WebhookNotFound,
        format!("there is no webhook {}, or not for you", quoted(id)),
        "list what there is: slipway webhook list",
    )
    .field("name")
    .into())
}

/// The secret as receivers are given it; empty for Ed25519.
pub fn secret(webhook: &Webhook) -> String {
    secret_text(webhook).unwrap_or_default()
}

fn scope(caller: &TokenCaller, asked: &str) -> Result<Selector> {
    let of_caller = (caller.token.role == Role::Client).then_some(caller.token.scope.as_str());
    let text = match of_caller {
        Some(own) if asked.trim().is_empty() || asked == own => own,
        Some(_) => {
            return Err(Refusal::new(
                Reason::OutOfScope,
                "a client's webhook has the scope of the client's token, and no other",
                "leave the scope out",
            )
            .field("webhook.scope")
            .into());
        }
        None => asked,
    };
    Selector::parse_scope(text).map_err(|refusal| refusal.field("webhook.scope").into())
}

async fn stand(tx: &mut Tx, webhook: Webhook) -> Result<Standing> {
    let waiting = deliveries_waiting(tx, &webhook.id).await?;
    Ok(Standing { webhook, waiting })
}

async fn write(tx: &mut Tx, webhook: &Webhook) -> Result<()> {
    if webhook_update(tx, webhook).await? { Ok(()) } else { Err(changed_meanwhile(&webhook.id)) }
}

fn changed_meanwhile(id: &str) -> Error {
    Refusal::new(
        Reason::EtagMismatch,
        format!("webhook {id} has changed since it was read"),
        "read it again, and decide again",
    )
    .field("etag")
    .into()
}

/// Who hears of what; an address may hold secrets behind its host, and the audit log is for ever.
fn sentence(webhook: &Webhook) -> String {
    let host = url::Url::parse(&webhook.url).ok().and_then(|url| url.host_str().map(str::to_owned));
    format!(
        "{} at {}, scope {:?}, events {:?}",
        webhook.display_name,
        host.unwrap_or_default(),
        webhook.scope.as_str(),
        webhook.event_types
    )
}

async fn audit(
    tx: &mut Tx,
    caller: &TokenCaller,
    action: &str,
    webhook: &Webhook,
    detail: &str,
) -> Result<()> {
    let resource = format!("webhooks/{}", webhook.id);
    Ok(audit_append(tx, webhook.updated_at, &caller.actor(), action, &resource, detail).await?)
}

#[cfg(test)]
#[path = "webhooks_tests.rs"]
mod tests;
