//! Keeps the flags of living alerts in step with silences, outages and fixes that come and go.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{Context, Result, alert_book::circumstances, forecasts::append};
use crate::{
    model::{
        alert::{Alert, Kind},
        circumstances::{Circumstances, Outage},
        selector::Selector,
        time::Timestamp,
    },
    store::{
        alerts::{alert_update, alerts_living, alerts_of_several, alerts_offline},
        changes::changes_all,
    },
};

/// Alerts looked at in one transaction.
const FETCH: i64 = 500;
/// What devices run and are labelled with changes all the time; for their sake alone every living
/// alert is looked at this often at most.
const FOR_DEVICES: Duration = Duration::from_secs(60);

/// Wakes the reconciler, and what it saw last.
#[derive(Clone, Debug, Default)]
pub struct Suppression {
    wake: Arc<Notify>,
    seen: Arc<Mutex<Option<Seen>>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Seen {
    silences: Vec<String>,
    outages: Vec<String>,
    limits: i64,
    devices: i64,
    at: Timestamp,
}

impl Suppression {
    /// A silence or an outage came or went.
    pub fn changed(&self) {
        self.wake.notify_one();
    }

    /// What the reconciler waits for.
    pub fn woken(&self) -> Arc<Notify> {
        self.wake.clone()
    }
}

/// Brings every living alert up to date, if anything changed that they depend on.
pub async fn reconcile(ctx: &Context) -> Result<()> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.read().await?;
    let mut around = circumstances(&mut tx, now).await?;
    around.outages = outages(ctx, &alerts_of_several(&mut tx).await?);
    let generations = changes_all(&mut tx).await?;
    let silent = alerts_offline(&mut tx).await?;
    let silent: BTreeMap<String, String> =
        silent.into_iter().map(|silent| (silent.device_id, silent.alert_id)).collect();
    drop(tx);
    let outages = around.outages.iter().map(|outage| &outage.alert_id).chain(silent.values());
    let mut seen = Seen {
        silences: around.silences.iter().map(|silence| silence.id.clone()).collect(),
        outages: outages.cloned().collect(),
        limits: generations.limits,
        devices: generations.devices,
        at: now,
    };
    let before = ctx.suppression.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(before) = before {
        let is_time = now.since(before.at) >= FOR_DEVICES || now < before.at;
        if !is_time {
            // Not looked at for their sake: the next run has to know that they changed.
            (seen.devices, seen.at) = (before.devices, before.at);
        }
        if (&before.silences, &before.outages, before.limits, before.devices)
            == (&seen.silences, &seen.outages, seen.limits, seen.devices)
        {
            return Ok(());
        }
    }
    if revise_all(ctx, &around, &silent, now).await? {
        // Only now: what was left to others is looked at again.
        *ctx.suppression.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
    Ok(())
}

/// The outages of several devices that go on.
fn outages(ctx: &Context, of_several: &[Alert]) -> Vec<Outage> {
    let outage = |alert: &Alert| match Selector::parse(&alert.selector) {
        Ok(selector) => {
            let since = Timestamp::from_millis(alert.evidence.at_ms);
            let silent_since = ctx.offline.rule(ctx).silent_since(since);
            Some(Outage { alert_id: alert.id.clone(), selector, silent_since })
        }
        Err(refusal) => {
            tracing::error!(alert = alert.id, %refusal, "an outage whose selector cannot be read explains nothing");
            None
        }
    };
    of_several.iter().filter(|alert| alert.kind == Kind::Offline).filter_map(outage).collect()
}

/// False when somebody else changed an alert at the same moment, which has to be looked at again.
async fn revise_all(
    ctx: &Context,
    around: &Circumstances,
    silent: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<bool> {
    let (mut after, mut is_complete) = (String::new(), true);
    loop {
        let mut tx = ctx.db.read().await?;
        let page = alerts_living(&mut tx, &after, FETCH).await?;
        drop(tx);
        let Some(last) = page.last() else { return Ok(is_complete) };
        after.clone_from(&last.id);
        let revised = page.iter().filter_map(|alert| {
            let device = ctx.devices.get(&alert.device_id);
            let facts = device.as_deref().map(Deref::deref);
            let of_several =
                || device.as_deref().and_then(|device| around.outage_of(&**device, device.called_at()));
            let outage = silent.get(&alert.device_id).map(String::as_str).or_else(of_several);
            around.revise(alert, facts, outage, now)
        });
        let changes: Vec<Alert> = revised.collect();
        if changes.is_empty() {
            continue;
        }
        let mut tx = ctx.db.write().await?;
        let mut written = Vec::new();
        for change in changes {
            match alert_update(&mut tx, &change).await? {
                true => written.push(change),
                false => is_complete = false,
            }
        }
        let position = append(&mut tx, &written).await?;
        tx.commit().await?;
        if let Some(position) = position {
            ctx.alerts.moved(position);
        }
    }
}
