//! The alerts of one device in the transaction that changes them. Every alert that a finding opens or
//! changes goes through here: it is held against the others, against silences and outages, and written.

use super::Result;
use crate::{
    model::{
        alert::{Alert, Kind},
        circumstances::{Beside, Circumstances, beside},
        filter::Subject,
        fix::MAX_FIXES,
        silence::MAX_SILENCES,
        time::Timestamp,
    },
    store::{
        Tx,
        alerts::{alert_insert, alert_update},
        fixes::fixes_page,
        silences::silences_page,
    },
};

/// One device's alerts, and which of them changed.
pub struct AlertBook<'a, D> {
    circumstances: &'a Circumstances,
    device: Option<&'a D>,
    /// Newest first.
    alerts: Vec<Alert>,
    changes: Vec<Alert>,
    now: Timestamp,
}

impl<'a, D: Subject> AlertBook<'a, D> {
    /// The book of a device with these alerts, newest first: the living ones, and those that can open
    /// again. Without a device: alerts about several.
    pub fn new(
        circumstances: &'a Circumstances,
        device: Option<&'a D>,
        alerts: Vec<Alert>,
        now: Timestamp,
    ) -> Self {
        AlertBook { circumstances, device, alerts, changes: Vec::new(), now }
    }

    /// Goes on at another moment.
    pub fn at(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// The alerts as they are by now, newest first.
    pub fn alerts(&self) -> &[Alert] {
        &self.alerts
    }

    /// The newest alert of a component and cause.
    pub fn newest(&self, component: &str, cause: &str) -> Option<&Alert> {
        self.alerts.iter().find(|alert| alert.component == component && alert.cause == cause)
    }

    /// Writes an alert as a finding leaves it. False when somebody else changed it meanwhile: then
    /// the whole transaction has to begin again.
    pub async fn write(&mut self, tx: &mut Tx, change: Alert) -> Result<bool> {
        let before = self.alerts.iter().find(|alert| alert.id == change.id);
        let opens = change.is_living() && !before.is_some_and(Alert::is_living);
        if opens {
            match beside(&change, &self.alerts, self.now) {
                Beside::Opens => {}
                Beside::IsTold => return Ok(true),
                Beside::Replaces(ended) => {
                    if !self.put(tx, *ended).await? {
                        return Ok(false);
                    }
                }
            }
        }
        let outage = self.alerts.iter().find(|alert| alert.is_living() && alert.kind == Kind::Offline);
        // An outage of several has no part in it: a device of which something is found is heard.
        let outage = outage.map(|alert| alert.id.as_str());
        let change = self.circumstances.dress(change, self.device, outage, opens, self.now);
        self.put(tx, change).await
    }

    /// The alerts that were written, in order; each is an event to append.
    pub fn into_changes(self) -> Vec<Alert> {
        self.changes
    }

    async fn put(&mut self, tx: &mut Tx, change: Alert) -> Result<bool> {
        match self.alerts.iter_mut().find(|alert| alert.id == change.id) {
            Some(known) => {
                if !alert_update(tx, &change).await? {
                    return Ok(false);
                }
                *known = change.clone();
            }
            None => {
                alert_insert(tx, &change).await?;
                self.alerts.insert(0, change.clone());
            }
        }
        self.changes.push(change);
        Ok(true)
    }
}

/// What stands around an alert that is written now.
pub async fn circumstances(tx: &mut Tx, now: Timestamp) -> Result<Circumstances> {
    let most = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let silences = silences_page(tx, "", now, most(MAX_SILENCES)).await?;
    let fixes = fixes_page(tx, "", most(MAX_FIXES)).await?;
    Ok(Circumstances { silences, fixes, outages: Vec::new() })
}
