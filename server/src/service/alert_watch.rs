//! Streams of alert changes. A watcher reads the events from the store by position, so a slow one
//! holds up nobody and a returning one misses nothing.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    Context, Result,
    alerts::{Seen, may_know, shown},
    token_cache::TokenCaller,
};
use crate::{
    model::{
        alert::Alert,
        refusal::{Reason, Refusal},
        time::Timestamp,
        token::Role,
    },
    store::{
        Tx,
        alert_events::{alert_events_after, alert_events_oldest},
        alerts::{alert_get, alerts_living},
        changes::changes_all,
        devices::device_get,
    },
};

/// Half of what middle boxes commonly allow a silent connection.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Events or alerts read at once.
const FETCH: i64 = 200;
/// Clocks of replicas differ; a device changed so long before a token was issued is looked at again.
const SKEW: Duration = Duration::from_secs(60);

/// One message of the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The alert; none in a keep-alive.
    pub alert: Option<Alert>,
    /// Where to go on from; empty while the snapshot is not complete, which means from its start.
    pub token: String,
}

/// The stream of one caller.
#[derive(Debug)]
pub struct Watcher {
    ctx: Context,
    caller: Arc<TokenCaller>,
    seen: watch::Receiver<Seen>,
    keep_alive: Interval,
    /// Everything up to here is in `ready` or was delivered.
    position: i64,
    ready: VecDeque<Change>,
    /// The id after which the snapshot goes on; none when it is complete.
    snapshot: Option<String>,
    /// For clients: devices with living alerts that the caller knows of, and the generation of the
    /// device records at which that was so.
    known: HashSet<String>,
    devices: i64,
    /// Alerts that came into the scope and are still to be told, by id: there may be as many as the fleet has.
    entered: VecDeque<String>,
    /// Changes of devices before this were looked at, and what came into the scope by them was told.
    told_until: Timestamp,
    /// Also what is suppressed.
    include_suppressed: bool,
}

/// Starts a stream: after the change that carried `token`, or with what is not resolved.
///
/// Refused with `RESUME_TOKEN_INVALID` or `RESUME_TOKEN_TOO_OLD`.
pub async fn watch(
    ctx: &Context,
    caller: Arc<TokenCaller>,
    token: &str,
    include_suppressed: bool,
) -> Result<Watcher> {
    // Subscribed before the store is read: what comes between the two wakes.
    let seen = ctx.alerts.subscribe();
    let mut tx = ctx.db.read().await?;
    let generations = changes_all(&mut tx).await?;
    let mut keep_alive = interval(KEEP_ALIVE);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    keep_alive.reset();
    let mut watcher = Watcher {
        ctx: ctx.clone(),
        caller,
        seen,
        keep_alive,
        position: generations.alert_events,
        ready: VecDeque::new(),
        snapshot: Some(String::new()),
        known: HashSet::new(),
        devices: generations.devices,
        entered: VecDeque::new(),
        told_until: ctx.clock.now(),
        include_suppressed,
    };
    if !token.is_empty() {
        let (position, issued) = read_token(token)
            .filter(|(position, _)| *position <= generations.alert_events)
            .ok_or_else(|| {
                Refusal::new(
                    Reason::ResumeTokenInvalid,
                    "the resume token is not one of this server",
                    "start without a token: the stream begins with what is not resolved",
                )
                .field("resume_token")
            })?;
        let oldest = alert_events_oldest(&mut tx).await?;
        if position < generations.alert_events && oldest.is_none_or(|oldest| oldest > position + 1) {
            return Err(too_old().into());
        }
        watcher.position = position;
        watcher.snapshot = None;
        watcher.told_until = issued;
        watcher.enter_scope(&mut tx, Some(issued.before(SKEW))).await?;
    }
    Ok(watcher)
}

impl Watcher {
    /// The next message; waits for one. After an error the stream is over.
    pub async fn next(&mut self) -> Result<Change> {
        loop {
            if let Some(Change { alert, token }) = self.ready.pop_front() {
                let alert = alert.map(|alert| shown(&self.ctx, &self.caller, alert));
                return Ok(Change { alert, token });
            }
            let seen = *self.seen.borrow_and_update();
            if self.fill(seen).await? {
                continue;
            }
            tokio::select! {
                changed = self.seen.changed() => {
                    // The feed lives as long as the context that this watcher holds.
                    if changed.is_err() {
                        return Err(super::Error::Internal("the feed of alerts is gone".to_owned()));
                    }
                }
                _ = self.keep_alive.tick() => {
                    self.told_until = self.ctx.clock.now();
                    return Ok(Change { alert: None, token: self.token() });
                }
            }
        }
    }

    /// Reads on; true when there may be more, or something is ready.
    async fn fill(&mut self, seen: Seen) -> Result<bool> {
        let ctx = self.ctx.clone();
        let now = ctx.clock.now();
        let mut tx = ctx.db.read().await?;
        if let Some(after) = self.snapshot.take() {
            self.snapshot_page(&mut tx, &after).await?;
            return Ok(true);
        }
        if !self.entered.is_empty() {
            self.entered_page(&mut tx).await?;
            return Ok(true);
        }
        if self.is_scoped() && seen.devices > self.devices {
            self.devices = seen.devices;
            self.enter_scope(&mut tx, None).await?;
            if !self.entered.is_empty() {
                return Ok(true);
            }
        }
        self.told_until = now;
        let events = alert_events_after(&mut tx, self.position, FETCH).await?;
        if events.first().is_some_and(|first| first.position != self.position + 1) {
            // Pruned under a reader who took weeks.
            return Err(too_old().into());
        }
        let more = !events.is_empty();
        for event in events {
            self.position = event.position;
            if !self.hears(&event.alert) {
                continue;
            }
            let device_id = &event.alert.device_id;
            if may_know(&ctx, &mut tx, &self.caller, &event.alert).await? {
                self.known.insert(device_id.clone());
                let token = self.token();
                self.ready.push_back(Change { alert: Some(event.alert), token });
            } else {
                self.known.remove(device_id);
            }
        }
        Ok(more || !self.ready.is_empty())
    }

    async fn snapshot_page(&mut self, tx: &mut Tx, after: &str) -> Result<()> {
        let page = alerts_living(tx, after, FETCH).await?;
        let is_last = i64::try_from(page.len()).unwrap_or(i64::MAX) < FETCH;
        let last = page.last().map(|alert| alert.id.clone());
        for alert in page {
            if self.hears(&alert) && may_know(&self.ctx, tx, &self.caller, &alert).await? {
                self.known.insert(alert.device_id.clone());
                self.ready.push_back(Change { alert: Some(alert), token: String::new() });
            }
        }
        if is_last {
            self.ready.push_back(Change { alert: None, token: self.token() });
        } else {
            self.snapshot = last;
        }
        Ok(())
    }

    /// Living alerts of devices that came into the scope since the last look are news; what left it
    /// is forgotten. With `changed_since` those of devices changed since then are news, whatever is
    /// known: nobody watched meanwhile.
    async fn enter_scope(&mut self, tx: &mut Tx, changed_since: Option<Timestamp>) -> Result<()> {
        if !self.is_scoped() {
            return Ok(());
        }
        let mut looked: HashMap<String, (bool, bool)> = HashMap::new();
        let mut known = HashSet::new();
        let mut after = String::new();
        loop {
            let page = alerts_living(tx, &after, FETCH).await?;
            let is_last = i64::try_from(page.len()).unwrap_or(i64::MAX) < FETCH;
            for alert in page {
                after.clone_from(&alert.id);
                let id = &alert.device_id;
                if !looked.contains_key(id) {
                    let device = device_get(tx, id).await?;
                    let visible = device.as_ref().is_some_and(|device| self.caller.may_see(device));
                    let news = match changed_since {
                        Some(since) => device.is_some_and(|device| device.updated_at >= since),
                        None => !self.known.contains(id),
                    };
                    looked.insert(id.clone(), (visible, news));
                }
                let (visible, news) = looked.get(id).copied().unwrap_or_default();
                if visible {
                    known.insert(id.clone());
                }
                if visible && news && self.hears(&alert) {
                    self.entered.push_back(alert.id);
                }
            }
            if is_last {
                break;
            }
        }
        self.known = known;
        Ok(())
    }

    /// The next of the alerts that came into the scope, as they are now. What ended meanwhile is told by its events.
    async fn entered_page(&mut self, tx: &mut Tx) -> Result<()> {
        // Cut off before the last of them, the watcher comes back to all.
        let token = self.token();
        for _ in 0..FETCH {
            let Some(id) = self.entered.pop_front() else { break };
            if let Some(alert) = alert_get(tx, &id).await?
                && alert.is_living()
                && self.hears(&alert)
                && may_know(&self.ctx, tx, &self.caller, &alert).await?
            {
                self.ready.push_back(Change { alert: Some(alert), token: token.clone() });
            }
        }
        Ok(())
    }

    /// Whether it wakes this watcher. The end of an alert that he was told of is not suppressed.
    fn hears(&self, alert: &Alert) -> bool {
        self.include_suppressed || alert.suppressed_by.is_empty()
    }

    fn is_scoped(&self) -> bool {
        self.caller.token.role == Role::Client
    }

    fn token(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("1.{}.{}", self.position, self.told_until.millis()))
    }
}

/// Looks whether other replicas appended events or changed devices. Cheap, and only while
/// somebody watches.
pub async fn poll(ctx: &Context) -> Result<()> {
    if ctx.alerts.is_watched() {
        let mut tx = ctx.db.read().await?;
        ctx.alerts.seen(&changes_all(&mut tx).await?);
    }
    Ok(())
}

fn read_token(token: &str) -> Option<(i64, Timestamp)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (position, issued) = text.strip_prefix("1.")?.split_once('.')?;
    let position: i64 = position.parse().ok()?;
    (position >= 0).then_some((position, Timestamp::from_millis(issued.parse().ok()?)))
}

fn too_old() -> Refusal {
    Refusal::new(
        Reason::ResumeTokenTooOld,
        "what followed this resume token has been deleted",
        "start without a token: the stream begins with what is not resolved",
    )
    .field("resume_token")
}

#[cfg(test)]
#[path = "alert_watch_tests.rs"]
mod tests;
