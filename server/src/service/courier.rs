//! Brings events to webhooks. What is to be sent stands in the store; nothing is remembered here, so a process that is
//! killed loses nothing and the next one goes on. A receiver may hear an event twice, under one id.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::sync::Notify;

use super::{Context, Result};
use crate::{
    clock::stopwatch,
    model::{
        delivery::{AT_ONCE, Answer, Consequence, Delivery, DeliveryState, Pace, judge},
        event::Event,
        time::Timestamp,
        webhook::Webhook,
    },
    rng::Rng,
    store::{
        Tx,
        audit::audit_append,
        changes::{Kind, changes_get},
        deliveries::{
            deliveries_due, deliveries_hurry, deliveries_waiting, deliveries_waiting_all, delivery_put,
            delivery_update,
        },
        devices::device_get,
        outbox::{outbox_after, outbox_get},
        webhooks::{
            Lease, webhook_disable, webhook_get, webhook_health, webhook_lease, webhook_move,
            webhook_release, webhooks_release_all, webhooks_tally, webhooks_with_work,
        },
    },
    webhook::Outbound,
};

/// Put down for one webhook ahead of what was sent: what is behind a receiver that is away stays one number.
const WINDOW: i64 = 1_000;
/// Events looked at in one transaction.
const FETCH: i64 = 500;
/// How long a process that died keeps others from sending: three attempts of the longest.
const LEASE: Duration = Duration::from_secs(45);

/// What sending takes, beside the store.
#[derive(Clone, Debug)]
pub struct Courier {
    outbound: Outbound,
    owner: Arc<str>,
    wake: Arc<Notify>,
    is_used: Arc<AtomicBool>,
}

impl Courier {
    /// A process that sends for whichever webhook nobody else does.
    pub fn new(outbound: Outbound, rng: &Rng) -> Self {
        let owner = crate::model::id::hex(&rng.bytes::<8>()).into();
        Courier { outbound, owner, wake: Arc::default(), is_used: Arc::default() }
    }

    /// Connections out.
    pub fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// There may be something to send.
    pub fn wake(&self) {
        self.is_used.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// What the reconciler waits for.
    pub fn woken(&self) -> Arc<Notify> {
        self.wake.clone()
    }

    /// Whether this process knows of a webhook. Asking costs nothing.
    pub fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }
}

/// Before the first look: where no other process can be, no lease is anybody's.
pub async fn begin(ctx: &Context) -> Result<()> {
    let mut tx = ctx.db.write().await?;
    let tally = webhooks_tally(&mut tx).await?;
    if !ctx.db.is_shared() {
        webhooks_release_all(&mut tx).await?;
    }
    tx.commit().await?;
    if tally.iter().sum::<i64>() > 0 {
        ctx.courier.wake();
    }
    Ok(())
}

/// Webhooks for which this process could do something now.
pub async fn with_work(ctx: &Context) -> Result<Vec<String>> {
    let mut tx = ctx.db.read().await?;
    Ok(webhooks_with_work(&mut tx, &ctx.courier.owner, ctx.clock.now()).await?)
}

/// Brings the metrics up to date.
pub async fn tally(ctx: &Context) -> Result<()> {
    let mut tx = ctx.db.read().await?;
    let (webhooks, waiting) = (webhooks_tally(&mut tx).await?, deliveries_waiting_all(&mut tx).await?);
    ctx.metrics.webhooks().stand(webhooks, waiting);
    Ok(())
}

/// Sends to one webhook until nothing is due, or another process does it. One that is back from an outage gets the share of
/// this second, and the next one when this is called again.
pub async fn deliver(ctx: &Context, id: &str) -> Result<()> {
    let mut share = None;
    while !ctx.stop.is_raised() {
        match next(ctx, id, &mut share).await? {
            Batch::Idle => break,
            Batch::Again => {}
            Batch::Send(webhook, parcels) => {
                share = share.map(|share| share - i64::try_from(parcels.len()).unwrap_or(i64::MAX));
                let answers = join_all(parcels.iter().map(|(_, event)| attempt(ctx, &webhook, event))).await;
                let deliveries = parcels.into_iter().map(|(delivery, _)| delivery);
                record(ctx, id, deliveries.zip(answers).collect()).await?;
            }
        }
    }
    let mut tx = ctx.db.write().await?;
    webhook_release(&mut tx, id, &ctx.courier.owner).await?;
    tx.commit().await?;
    Ok(())
}

enum Batch {
    /// Nothing is due, or not for this process, or not in this second.
    Idle,
    /// There may be more behind what was looked at.
    Again,
    /// To be sent now: of each subject one.
    Send(Box<Webhook>, Vec<(Delivery, Event)>),
}

/// What is to be sent next; `share` is what is left of this second's, for a webhook that has one.
async fn next(ctx: &Context, id: &str, share: &mut Option<i64>) -> Result<Batch> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    let lease = Lease { owner: &ctx.courier.owner, now, until: now.after(LEASE) };
    if !webhook_lease(&mut tx, id, lease).await? {
        return Ok(Batch::Idle);
    }
    let Some(webhook) = webhook_get(&mut tx, id).await? else { return Ok(Batch::Idle) };
    if webhook.by_client && !ctx.tokens.has_client(webhook.scope.as_str(), now) {
        // Whose right has ended is told nothing more. What happens waits for a new token with the same scope.
        return Ok(Batch::Idle);
    }
    let at_once = match (webhook.health.pace(now), *share) {
        (_, Some(left)) if left <= 0 => return Ok(Batch::Idle),
        (Pace::Probe, _) => 1,
        (_, Some(left)) => left.min(AT_ONCE),
        (Pace::Rest, None) => return Ok(Batch::Idle),
        (Pace::Share(all), None) => {
            *share = Some(all);
            all.min(AT_ONCE)
        }
        (Pace::Full, None) => AT_ONCE,
    };
    let Some(is_more) = look(&mut tx, &webhook, now).await? else { return Ok(Batch::Again) };
    let due = deliveries_due(&mut tx, id, now, at_once).await?;
    let is_more = is_more || !due.is_empty();
    let mut parcels = Vec::with_capacity(due.len());
    for delivery in due {
        match outbox_get(&mut tx, delivery.position).await? {
            Some(event) if hears(&mut tx, &webhook, &event).await? => {
                parcels.push((delivery, shown(ctx, &webhook, event)));
            }
            _ => {
                let dropped = Delivery { state: DeliveryState::Dropped, ..delivery };
                delivery_update(&mut tx, &dropped, dropped.attempts).await?;
            }
        }
    }
    tx.commit().await?;
    Ok(match (parcels.is_empty(), is_more) {
        (false, _) => Batch::Send(Box::new(webhook), parcels),
        (true, true) => Batch::Again,
        (true, false) => Batch::Idle,
    })
}

/// Puts down what follows the webhook's position, as far as there is room. Whether there may be more; none when somebody
/// moved the position at the same moment.
async fn look(tx: &mut Tx, webhook: &Webhook, now: Timestamp) -> Result<Option<bool>> {
    let room = FETCH.min(WINDOW - deliveries_waiting(tx, &webhook.id).await?);
    if room <= 0 {
        return Ok(Some(false));
    }
    // Asked first: whatever has a position up to this one can be seen by the next statement.
    let newest = changes_get(tx, Kind::Outbox).await?;
    let events = outbox_after(tx, webhook.position, room).await?;
    let is_more = i64::try_from(events.len()).unwrap_or(i64::MAX) == room;
    let last = events.last().map_or(webhook.position, |event| event.position);
    let position = if is_more { last } else { last.max(newest) };
    if position != webhook.position && !webhook_move(tx, &webhook.id, webhook.position, position).await? {
        return Ok(None);
    }
    for event in &events {
        if hears(tx, webhook, event).await? {
            delivery_put(tx, &webhook.id, event, now).await?;
        }
    }
    Ok(Some(is_more))
}

/// By the labels that the device has now.
async fn hears(tx: &mut Tx, webhook: &Webhook, event: &Event) -> Result<bool> {
    let is_asked = !webhook.scope.is_empty() && !event.device_id.is_empty();
    let device = if is_asked { device_get(tx, &event.device_id).await? } else { None };
    Ok(webhook.hears(event, device.as_ref()))
}

/// The event as whoever hears it may read it: who took care is told to those who have the same scope, or none.
fn shown(ctx: &Context, webhook: &Webhook, event: Event) -> Event {
    let scope = webhook.scope.as_str();
    match event.acknowledged_by() {
        Some(by) if !scope.is_empty() && !ctx.tokens.is_client_of(&by, scope) => event.by_somebody_else(),
        _ => event,
    }
}

async fn attempt(ctx: &Context, webhook: &Webhook, event: &Event) -> Answer {
    let started = stopwatch();
    let answer = ctx.courier.outbound.post(webhook, event, ctx.clock.now()).await;
    ctx.metrics.webhooks().attempt(answer.is_taken(), started.elapsed());
    if !answer.is_taken() {
        tracing::info!(
            webhook = webhook.id,
            event = event.id,
            error = answer.error,
            "a webhook did not take an event"
        );
    }
    answer
}

/// Writes what came of a batch, and what follows from it.
async fn record(ctx: &Context, id: &str, answers: Vec<(Delivery, Answer)>) -> Result<()> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    // Deleted meanwhile, with its deliveries.
    let Some(webhook) = webhook_get(&mut tx, id).await? else { return Ok(()) };
    let (mut health, mut has_recovered, mut disable, mut given_up) =
        (webhook.health, false, None, Vec::new());
    for (delivery, answer) in answers {
        let (next, after, consequence) = judge(&delivery, health, &answer, now, ctx.rng.unit());
        if !delivery_update(&mut tx, &next, delivery.attempts).await? {
            // To be sent afresh, or no more: this attempt does not count.
            continue;
        }
        health = after;
        match consequence {
            Consequence::None => {}
            Consequence::Recovered => has_recovered = true,
            Consequence::Disable(reason) => disable = Some(reason),
        }
        if next.state == DeliveryState::Failed {
            given_up.push(next);
        }
    }
    webhook_health(&mut tx, id, health).await?;
    if has_recovered {
        deliveries_hurry(&mut tx, id, now, false).await?;
    }
    let mut is_disabled = false;
    if let Some(reason) = &disable {
        is_disabled = webhook_disable(&mut tx, id, reason, now).await?;
        if is_disabled {
            audit_append(&mut tx, now, "server", "DisableWebhook", &format!("webhooks/{id}"), reason).await?;
        }
    }
    tx.commit().await?;
    for delivery in given_up {
        ctx.metrics.webhooks().given_up();
        tracing::warn!(
            webhook = id,
            position = delivery.position,
            error = delivery.error,
            "an event was given up: the webhook takes others, and not this one"
        );
    }
    if is_disabled {
        ctx.metrics.webhooks().disabled();
        tracing::warn!(
            webhook = id,
            reason = disable.unwrap_or_default(),
            "a webhook was disabled; slipway webhook enable goes on with what waits"
        );
    }
    Ok(())
}

#[cfg(test)]
#[path = "courier_tests.rs"]
mod tests;
