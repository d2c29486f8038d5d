//! What people do with alerts. Everything is bounded by the caller's scope: an alert of a device
//! outside of it does not exist for him.

use std::{ops::Deref as _, sync::Arc};

use tokio::sync::{Notify, watch};

use super::{Context, Error, Result, device_cache::DeviceEntry, token_cache::TokenCaller};
use crate::{
    model::{
        alert::{Alert, AlertState, Kind, SOMEBODY_ELSE, Severity},
        filter::{Field, Filter},
        note,
        page::Page,
        refusal::{Reason, Refusal},
        selector::Selector,
        text::quoted,
        time::Timestamp,
        token::Role,
    },
    store::{
        Tx,
        alert_events::alert_event_append,
        alerts::{Lives, alert_get, alert_update, alerts_page, alerts_resolved_count},
        audit::audit_append,
        changes::Generations,
        devices::device_get,
        inbox::inbox_lock,
        series::series_delete,
        tracks::track_delete,
        wear::wear_part_delete,
    },
};

/// What alerts may be filtered by.
pub const FILTER_FIELDS: &[Field] = &[
    Field::words("state", AlertState::words),
    Field::text("device"),
    Field::text("component"),
    Field::words("kind", Kind::words),
    Field::words("severity", Severity::words),
    Field::text("metric"),
    Field::text("failure_mode"),
    Field::text("suppressed_by"),
];
/// Alerts looked at for one page; a filter that few pass answers with a short page and a token.
const SCAN: usize = 5_000;
/// Alerts fetched at once.
const FETCH: i64 = 500;
/// Resolved alerts are counted so far: nobody asks which of the many there are.
const COUNTED: i64 = 1_001;

/// Wakes the watchers of alerts. It only wakes: what there is to see stands in the store.
#[derive(Clone, Debug)]
pub struct AlertFeed {
    seen: Arc<watch::Sender<Seen>>,
    moves: Arc<Notify>,
}

/// How far the store is known to have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Newest position of an event.
    pub events: i64,
    /// Generation of the device records, on which scopes depend.
    pub devices: i64,
}

impl Default for AlertFeed {
    fn default() -> Self {
        AlertFeed { seen: Arc::new(watch::Sender::new(Seen::default())), moves: Arc::default() }
    }
}

impl AlertFeed {
    /// An event with this position was committed here.
    pub fn moved(&self, position: i64) {
        self.advance(Seen { events: position, devices: 0 });
        self.moves.notify_one();
    }

    /// Woken after each event that is committed here.
    pub fn moves(&self) -> Arc<Notify> {
        self.moves.clone()
    }

    /// The store has come so far, by whichever replica.
    pub fn seen(&self, generations: &Generations) {
        self.advance(Seen { events: generations.alert_events, devices: generations.devices });
    }

    /// Whether anybody watches.
    pub fn is_watched(&self) -> bool {
        self.seen.receiver_count() > 0
    }

    /// Told whenever the store has moved.
    pub fn subscribe(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    fn advance(&self, to: Seen) {
        self.seen.send_if_modified(|seen| {
            let next = Seen { events: seen.events.max(to.events), devices: seen.devices.max(to.devices) };
            std::mem::replace(seen, next) != next
        });
    }
}

/// Whether the caller may know of this alert now. One about several devices that fell silent is told to
/// a client that has one of them; findings about cohorts are the manufacturer's own.
pub async fn may_know(ctx: &Context, tx: &mut Tx, caller: &TokenCaller, alert: &Alert) -> Result<bool> {
    if !alert.device_id.is_empty() || caller.token.role != Role::Client {
        return is_visible(tx, caller, &alert.device_id).await;
    }
    let Ok(selector) = Selector::parse(&alert.selector) else { return Ok(false) };
    let has_one =
        || ctx.devices.all().iter().any(|entry| selector.matches(&***entry) && caller.may_see(&***entry));
    Ok(alert.kind == Kind::Offline && has_one())
}

/// Whether the caller may know of alerts of this device now.
pub async fn is_visible(tx: &mut Tx, caller: &TokenCaller, device_id: &str) -> Result<bool> {
    if caller.token.role != Role::Client {
        return Ok(true);
    }
    let device = device_get(tx, device_id).await?;
    Ok(device.is_some_and(|device| caller.may_see(&device)))
}

/// The alert as this caller may read it. Names of tokens are the operators' own: a client reads those of its own scope, and of
/// everybody else only that it was somebody else.
pub fn shown(ctx: &Context, caller: &TokenCaller, mut alert: Alert) -> Alert {
    if caller.token.role == Role::Client
        && !alert.acknowledged_by.is_empty()
        && alert.acknowledged_by != caller.actor()
        && !ctx.tokens.is_client_of(&alert.acknowledged_by, &caller.token.scope)
    {
        SOMEBODY_ELSE.clone_into(&mut alert.acknowledged_by);
        // A note on what befell several devices may name whose they are.
        if alert.device_id.is_empty() {
            alert.note.clear();
        }
    }
    alert
}

/// A client decides about what is its own as a whole: an outage may be of its devices and of others', whom it would be taken
/// from.
fn check_whole(ctx: &Context, caller: &TokenCaller, alert: &Alert) -> Result<()> {
    if caller.token.role != Role::Client || !alert.device_id.is_empty() {
        return Ok(());
    }
    let selector = Selector::parse(&alert.selector)?;
    let of_others = |entry: &DeviceEntry| selector.matches(entry.deref()) && !caller.may_see(entry.deref());
    if !ctx.devices.all().iter().any(|entry| of_others(entry)) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::OutOfScope,
        format!("alert {} is also about devices outside the scope of this token", alert.id),
        "only an operator may acknowledge or resolve it; it resolves by itself when its devices call again",
    )
    .field("name")
    .into())
}

/// One page of alerts.
#[derive(Clone, Debug)]
pub struct Alerts {
    /// Last changed first.
    pub alerts: Vec<Alert>,
    /// Token of the next page; empty on the last.
    pub next: String,
    /// How many resolved ones were left out; none where that is not known at a glance.
    pub resolved: Option<i64>,
}

/// One page of the alerts that pass the filter; with `living_only` without what is resolved, unless the filter asks for
/// a state itself.
pub async fn list(
    ctx: &Context,
    caller: &TokenCaller,
    page: &Page,
    filter: &Filter,
    living_only: bool,
) -> Result<Alerts> {
    let lives = if living_only && !filter.asks("state") { Lives::Living } else { Lives::Any };
    let mut tx = ctx.db.read().await?;
    let is_whole = page.after.is_none() && filter.is_empty() && caller.token.role != Role::Client;
    let resolved = match lives {
        Lives::Living if is_whole => Some(alerts_resolved_count(&mut tx, COUNTED).await?),
        _ => None,
    };
    let (mut before, mut before_id) = match &page.after {
        None => (Timestamp::from_millis(i64::MAX), String::new()),
        Some(cursor) => place(cursor)?,
    };
    let (mut alerts, mut scanned) = (Vec::new(), 0);
    loop {
        let batch = alerts_page(&mut tx, lives, before, &before_id, FETCH).await?;
        let is_last = i64::try_from(batch.len()).unwrap_or(i64::MAX) < FETCH;
        for alert in batch {
            scanned += 1;
            before = alert.updated_at;
            before_id.clone_from(&alert.id);
            if filter.matches(&alert) && may_know(ctx, &mut tx, caller, &alert).await? {
                alerts.push(shown(ctx, caller, alert));
            }
            if alerts.len() == page.size || scanned == SCAN {
                let next = page.next(&format!("{}/{before_id}", before.millis()));
                return Ok(Alerts { alerts, next, resolved });
            }
        }
        if is_last {
            return Ok(Alerts { alerts, next: String::new(), resolved });
        }
    }
}

fn place(cursor: &str) -> Result<(Timestamp, String)> {
    let place = cursor
        .split_once('/')
        .and_then(|(millis, id)| Some((Timestamp::from_millis(millis.parse().ok()?), id.to_owned())));
    place.ok_or_else(|| {
        Refusal::new(
            Reason::PageTokenInvalid,
            "the page token does not belong to this list",
            "pass next_page_token of the previous answer unchanged, or start without one",
        )
        .field("page_token")
        .into()
    })
}

/// One alert.
pub async fn get(ctx: &Context, caller: &TokenCaller, id: &str) -> Result<Alert> {
    let mut tx = ctx.db.read().await?;
    Ok(shown(ctx, caller, visible(ctx, &mut tx, caller, id).await?))
}

/// Somebody takes care.
pub async fn acknowledge(
    ctx: &Context,
    caller: &TokenCaller,
    id: &str,
    etag: &str,
    note: &str,
) -> Result<Alert> {
    note::check(note)?;
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    let alert = visible(ctx, &mut tx, caller, id).await?;
    check_whole(ctx, caller, &alert)?;
    check_etag(&alert, etag)?;
    // Who took it before stands in the refusal.
    shown(ctx, caller, alert.clone()).acknowledge(&caller.actor(), now)?;
    let taken = alert.acknowledge(&caller.actor(), now)?.map(|next| next.noted(note));
    match taken.or_else(|| alert.noted_anew(note, now)) {
        Some(next) => change(ctx, tx, caller, "AcknowledgeAlert", next).await,
        None => Ok(shown(ctx, caller, alert)),
    }
}

/// Somebody says that the cause is gone. What was learned of the series goes with it: the part is
/// another one now, or was put right, and its trend starts afresh.
pub async fn resolve(ctx: &Context, caller: &TokenCaller, id: &str, etag: &str, note: &str) -> Result<Alert> {
    note::check(note)?;
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    // Else a chunk under way would put the old state of the series back.
    inbox_lock(&mut tx).await?;
    let alert = visible(ctx, &mut tx, caller, id).await?;
    check_whole(ctx, caller, &alert)?;
    check_etag(&alert, etag)?;
    let next = alert.resolve(now)?.noted(note);
    // What is usual for a series stays so, whatever an anomaly came to; and silence is of no series.
    if next.is_of_limit() {
        let (device_id, component, metric) = (&next.device_id, &next.component, &next.evidence.metric);
        series_delete(&mut tx, device_id, component, metric).await?;
        track_delete(&mut tx, device_id, component, metric).await?;
    } else if let Some(model) = next.wear_model() {
        wear_part_delete(&mut tx, &next.device_id, model).await?;
    }
    change(ctx, tx, caller, "ResolveAlert", next).await
}

async fn visible(ctx: &Context, tx: &mut Tx, caller: &TokenCaller, id: &str) -> Result<Alert> {
    if let Some(alert) = alert_get(tx, id).await?
        && may_know(ctx, tx, caller, &alert).await?
    {
        return Ok(alert);
    }
    Err(Refusal::new(
        Reason::AlertNotFound,
        format!("there is no alert {}, or not for you", quoted(id)),
        "list what there is: slipway alert list",
    )
    .field("name")
    .into())
}

fn check_etag(alert: &Alert, etag: &str) -> Result<()> {
    if etag.is_empty() || etag == alert.etag() {
        return Ok(());
    }
    Err(changed_meanwhile(&alert.id))
}

fn changed_meanwhile(id: &str) -> Error {
    Refusal::new(
        Reason::EtagMismatch,
        format!("alert {id} has changed since it was read"),
        "read it again, and decide again",
    )
    .field("etag")
    .into()
}

async fn change(ctx: &Context, mut tx: Tx, caller: &TokenCaller, action: &str, next: Alert) -> Result<Alert> {
    if !alert_update(&mut tx, &next).await? {
        return Err(changed_meanwhile(&next.id));
    }
    let resource = format!("alerts/{}", next.id);
    audit_append(&mut tx, next.updated_at, &caller.actor(), action, &resource, &detail(&next)).await?;
    let position = alert_event_append(&mut tx, &next).await?;
    tx.commit().await?;
    ctx.alerts.moved(position);
    Ok(shown(ctx, caller, next))
}

/// What the audit log says of an alert. Nothing can be taken from that log, and its readers may not be those of the
/// readings: never a sentence of the alert, which holds some, nor what a device says of its parts.
fn detail(alert: &Alert) -> String {
    let what = format!("{} {}", alert.severity.as_str(), alert.kind.as_str());
    match alert.device_id.as_str() {
        "" => what,
        device => format!("{what} of devices/{device}"),
    }
}

#[cfg(test)]
#[path = "alerts_tests.rs"]
mod tests;
