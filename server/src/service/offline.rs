//! Devices that fall silent, and come back: told once each, or once for all that fell silent together.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use super::{
    Context, Result,
    alert_book::{AlertBook, circumstances},
    device_cache::DeviceEntry,
    forecasts::append,
};
use crate::{
    model::{
        alert::{Alert, Evidence, Health, Kind, REOPEN_WITHIN, Severity},
        alert_raise::{Raised, clear, raise},
        alert_text::moment,
        circumstances::Circumstances,
        device::DeviceState,
        facts::Facts,
        id,
        outage::{Group, Member, Ongoing, Rule, Settings, Told, judge},
        time::{Timestamp, span_millis},
    },
    store::{
        Tx,
        alerts::{alerts_of_device, alerts_of_several, alerts_offline},
        presence::presence_get,
    },
};

/// The cause of the alert of one device.
pub const CAUSE: &str = "offline";
/// What the evidence measures: how long nothing was heard.
const METRIC: &str = "slipway.silence";
/// Devices told of in one transaction.
const BATCH: usize = 200;

/// When devices count as offline, and who was asked to be left alone.
#[derive(Clone, Debug)]
pub struct Offline {
    settings: Arc<Settings>,
    /// Since when this server listens.
    started_at: Timestamp,
    wake: Arc<Notify>,
    /// Whose alert somebody resolved by hand, with the call that was the last one then: the same
    /// silence is not told again.
    dismissed: Arc<Mutex<HashMap<String, Timestamp>>>,
}

impl Offline {
    /// By these settings, for a server that listens since `started_at`.
    pub fn new(settings: Settings, started_at: Timestamp) -> Self {
        Offline { settings: Arc::new(settings), started_at, wake: Arc::default(), dismissed: Arc::default() }
    }

    /// The settings as times.
    pub fn rule(&self, ctx: &Context) -> Rule {
        self.settings.rule(ctx.check_in_interval)
    }

    /// A device called that was said to be offline. Costs no statement.
    pub fn came_back(&self) {
        self.wake.notify_one();
    }

    /// What the reconciler waits for.
    pub fn woken(&self) -> Arc<Notify> {
        self.wake.clone()
    }
}

/// Tells who fell silent and who is back.
pub async fn reconcile(ctx: &Context) -> Result<()> {
    if ctx.offline.settings.after == 0 {
        return Ok(());
    }
    if ctx.db.is_shared() {
        // Devices call other replicas too.
        ctx.devices.reload_presence(ctx).await?;
    }
    let now = ctx.clock.now();
    let rule = ctx.offline.rule(ctx);
    let mut tx = ctx.db.read().await?;
    let reported = alerts_offline(&mut tx).await?;
    let several = alerts_of_several(&mut tx).await?;
    drop(tx);
    let entries = ctx.devices.all();
    let members: Vec<Member> = entries.iter().filter_map(|entry| member(ctx, entry)).collect();
    let reported: BTreeMap<String, Timestamp> =
        reported.into_iter().map(|silent| (silent.device_id, silent.last_call_at)).collect();
    for entry in &entries {
        entry.watch_for_return(reported.contains_key(entry.id()));
    }
    let ongoing: Vec<Ongoing> = several.iter().filter_map(|alert| ongoing(alert, &members)).collect();
    let told = judge(&rule, &members, &reported, &ongoing, now);
    if told == Told::default() {
        return Ok(());
    }
    tell_groups(ctx, &rule, &told, now).await?;
    for ids in told.back.chunks(BATCH).chain(told.offline.chunks(BATCH)) {
        tell_devices(ctx, &rule, ids, now).await?;
    }
    ctx.suppression.changed();
    Ok(())
}

fn member<'a>(ctx: &Context, entry: &'a DeviceEntry) -> Option<Member<'a>> {
    if !matches!(entry.state(), DeviceState::Active | DeviceState::Quarantined) {
        return None;
    }
    let called_at = entry.called_at();
    let of_label = |key: &String| {
        let value = entry.label(key).filter(|value| !value.is_empty())?;
        Some(Group::Label { key: key.clone(), value: value.to_owned() })
    };
    Some(Member {
        id: entry.id(),
        heard_at: called_at.max(ctx.offline.started_at),
        called_at,
        groups: ctx.offline.settings.group_by.iter().filter_map(of_label).collect(),
    })
}

/// The outage that an alert tells, by the group that has its cause.
fn ongoing(alert: &Alert, members: &[Member]) -> Option<Ongoing> {
    if alert.kind != Kind::Offline {
        return None;
    }
    let is_its = |group: &&Group| group.cause() == alert.cause;
    let group = Some(&Group::Fleet)
        .filter(is_its)
        .or_else(|| members.iter().flat_map(|member| &member.groups).find(is_its))?;
    Some(Ongoing { group: group.clone(), since: Timestamp::from_millis(alert.evidence.at_ms) })
}

async fn tell_groups(ctx: &Context, rule: &Rule, told: &Told, now: Timestamp) -> Result<()> {
    if told.begins.is_empty() && told.ends.is_empty() {
        return Ok(());
    }
    let mut tx = ctx.db.write().await?;
    let around = circumstances(&mut tx, now).await?;
    let alerts = alerts_of_device(&mut tx, "", now.before(REOPEN_WITHIN)).await?;
    let mut book = AlertBook::new(&around, None::<&Facts>, alerts, now);
    for outage in &told.begins {
        let cause = outage.group.cause();
        let selector = outage.group.selector();
        let seen = of_group(rule, outage, &cause, &selector, now);
        if let Some(alert) = raise(book.newest("", &cause), &seen, id::mint(now, ctx.rng.bytes()), now)
            && !book.write(&mut tx, alert).await?
        {
            return Ok(());
        }
    }
    for group in &told.ends {
        let outcome = "Nothing to do any more: they call again.";
        if let Some(alert) = clear(book.newest("", &group.cause()), outcome, now)
            && !book.write(&mut tx, alert).await?
        {
            // Somebody acknowledged it at this moment; the next run sees that.
            return Ok(());
        }
    }
    commit(ctx, tx, book.into_changes()).await
}

/// Devices that fell silent or are back: which of both is decided again, in the transaction that writes.
async fn tell_devices(ctx: &Context, rule: &Rule, ids: &[String], now: Timestamp) -> Result<()> {
    let mut tx = ctx.db.write().await?;
    let around = circumstances(&mut tx, now).await?;
    let mut changes = Vec::new();
    for device_id in ids {
        let Some(entry) = ctx.devices.get(device_id) else { continue };
        let stored = presence_get(&mut tx, device_id).await?.map(|seen| seen.seen_at);
        let called_at = entry.called_at().max(stored.unwrap_or(Timestamp::from_millis(0)));
        match step(ctx, &mut tx, &around, rule, &entry, called_at, now).await? {
            Some(changed) => changes.extend(changed),
            None => return Ok(()),
        }
    }
    commit(ctx, tx, changes).await
}

/// None when somebody else changed the alert at the same moment.
async fn step(
    ctx: &Context,
    tx: &mut Tx,
    around: &Circumstances,
    rule: &Rule,
    entry: &DeviceEntry,
    called_at: Timestamp,
    now: Timestamp,
) -> Result<Option<Vec<Alert>>> {
    let alerts = alerts_of_device(tx, entry.id(), now.before(REOPEN_WITHIN)).await?;
    let facts: &Facts = entry;
    let mut book = AlertBook::new(around, Some(facts), alerts, now);
    let current = book.newest("", CAUSE);
    let last = current.map(|alert| Timestamp::from_millis(alert.evidence.at_ms));
    let change = if current.is_some_and(Alert::is_living) {
        let is_back = last.is_some_and(|last| called_at > last);
        clear(current.filter(|_| is_back), "Nothing to do any more: it calls again.", now)
    } else if now.since(called_at.max(ctx.offline.started_at)) <= rule.after {
        None
    } else if last == Some(called_at) || ctx.offline.is_dismissed(entry.id(), called_at) {
        ctx.offline.dismiss(entry.id(), called_at);
        None
    } else {
        raise(current, &of_device(rule, entry, called_at, now), id::mint(now, ctx.rng.bytes()), now)
    };
    if let Some(change) = change {
        let is_over = !change.is_living();
        if !book.write(tx, change).await? {
            return Ok(None);
        }
        entry.watch_for_return(!is_over);
    }
    Ok(Some(book.into_changes()))
}

async fn commit(ctx: &Context, mut tx: Tx, changes: Vec<Alert>) -> Result<()> {
    let position = append(&mut tx, &changes).await?;
    tx.commit().await?;
    if let Some(position) = position {
        ctx.alerts.moved(position);
    }
    Ok(())
}

impl Offline {
    fn is_dismissed(&self, device_id: &str, called_at: Timestamp) -> bool {
        self.dismissed.lock().unwrap_or_else(PoisonError::into_inner).get(device_id) == Some(&called_at)
    }

    fn dismiss(&self, device_id: &str, called_at: Timestamp) {
        let mut dismissed = self.dismissed.lock().unwrap_or_else(PoisonError::into_inner);
        dismissed.insert(device_id.to_owned(), called_at);
    }
}

fn of_device<'a>(rule: &Rule, entry: &'a DeviceEntry, called_at: Timestamp, now: Timestamp) -> Raised<'a> {
    let device = entry.id();
    let summary = if called_at.millis() <= 0 {
        format!("{device} has never called.")
    } else {
        format!(
            "{device} does not call any more; its last call was on {}.",
            moment(called_at.millis(), true, now)
        )
    };
    Raised {
        device_id: device,
        selector: "",
        component: "",
        cause: CAUSE,
        kind: Kind::Offline,
        failure_mode: "",
        severity: Severity::Warning,
        health: Health::Failure,
        summary,
        recommendation: format!("Check power and network of {device}."),
        act_by: None,
        forecast: None,
        evidence: evidence(rule, called_at, now),
    }
}

fn of_group<'a>(
    rule: &Rule,
    outage: &Ongoing,
    cause: &'a str,
    selector: &'a str,
    now: Timestamp,
) -> Raised<'a> {
    let words = outage.group.words();
    let check = match outage.group {
        Group::Fleet => {
            "Check the server's own network first, then what all devices have in common.".to_owned()
        }
        Group::Label { .. } => format!("Check what they have in common first: power and network of {words}."),
    };
    // No number of devices: a client whose device is one of them need not learn how many others there are.
    Raised {
        device_id: "",
        selector,
        component: "",
        cause,
        kind: Kind::Offline,
        failure_mode: "",
        severity: Severity::Critical,
        health: Health::Failure,
        summary: format!(
            "Most devices of {words} stopped calling at about the same time, on {}.",
            moment(outage.since.millis(), true, now)
        ),
        recommendation: check,
        act_by: None,
        forecast: None,
        evidence: evidence(rule, outage.since, now),
    }
}

fn evidence(rule: &Rule, last: Timestamp, now: Timestamp) -> Evidence {
    let seconds = |millis: i64| millis as f64 / 1000.0;
    Evidence {
        metric: METRIC.to_owned(),
        unit: "s".to_owned(),
        value: seconds(span_millis(now.since(last))),
        at_ms: last.millis(),
        limit: seconds(span_millis(rule.after)),
        slope_per_day: 0.0,
        readings: 0,
    }
}

#[cfg(test)]
#[path = "offline_tests.rs"]
mod tests;
