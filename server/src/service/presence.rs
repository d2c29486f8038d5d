//! When devices were last heard of, gathered in memory and written in batches.
//!
//! It is the one thing that may be lost in a crash: the next check-in brings it back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Context, Result};
use crate::{
    model::time::Timestamp,
    store::presence::{Seen, presence_record},
};

/// Rows in one transaction: a few milliseconds during which nobody else writes on SQLite.
const BATCH: usize = 500;
/// What a device may be late before it counts as absent, beside one whole interval.
const LATE: Duration = Duration::from_secs(60);

/// Contacts that are not written yet, the newest of each device.
#[derive(Clone, Debug, Default)]
pub struct Presence(Arc<Mutex<HashMap<Arc<str>, Contact>>>);

/// One contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// When.
    pub seen_at: Timestamp,
    /// When the device was told to call again.
    pub next_check_in_at: Timestamp,
}

impl Contact {
    /// Whether the device has missed at most one check-in since.
    pub fn is_online(self, now: Timestamp) -> bool {
        let interval = self.next_check_in_at.since(self.seen_at);
        now <= self.next_check_in_at.after(interval + LATE)
    }
}

impl From<&Seen> for Contact {
    fn from(seen: &Seen) -> Self {
        Contact { seen_at: seen.seen_at, next_check_in_at: seen.next_check_in_at }
    }
}

impl Presence {
    /// A device called. Costs no statement.
    pub fn saw(&self, device_id: &Arc<str>, contact: Contact) {
        self.waiting().insert(device_id.clone(), contact);
    }

    /// The newest contact of a device that is not written yet.
    pub fn get(&self, device_id: &str) -> Option<Contact> {
        self.waiting().get(device_id).copied()
    }

    /// Writes what is waiting. What cannot be written waits for the next time.
    pub async fn flush(&self, ctx: &Context) -> Result<()> {
        let mut all: Vec<(Arc<str>, Contact)> =
            self.waiting().iter().map(|(id, contact)| (id.clone(), *contact)).collect();
        // Two replicas lock rows in the same order.
        all.sort_by(|a, b| a.0.cmp(&b.0));
        for batch in all.chunks(BATCH) {
            let rows: Vec<Seen> = batch
                .iter()
                .map(|(id, contact)| Seen {
                    device_id: id.to_string(),
                    seen_at: contact.seen_at,
                    next_check_in_at: contact.next_check_in_at,
                })
                .collect();
            let mut tx = ctx.db.write().await?;
            presence_record(&mut tx, &rows).await?;
            tx.commit().await?;
            let mut waiting = self.waiting();
            for (id, contact) in batch {
                if waiting.get(id) == Some(contact) {
                    waiting.remove(id);
                }
            }
        }
        Ok(())
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Contact>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::presence::presence_get;

    #[tokio::test]
    async fn contacts_are_written_once() {
        let ctx = Context::for_test().await;
        let id: Arc<str> = "pump-1".into();
        let now = ctx.clock.now();
        let contact =
            |at: Timestamp| Contact { seen_at: at, next_check_in_at: at.after(Duration::from_secs(60)) };
        ctx.presence.saw(&id, contact(now));
        ctx.presence.saw(&id, contact(now.after(Duration::from_secs(1))));
        ctx.presence.flush(&ctx).await.unwrap();
        let before = ctx.db.statements();
        ctx.presence.flush(&ctx).await.unwrap();
        assert_eq!(ctx.db.statements(), before);
        let mut tx = ctx.db.read().await.unwrap();
        let row = presence_get(&mut tx, "pump-1").await.unwrap().unwrap();
        assert_eq!(row.seen_at, now.after(Duration::from_secs(1)));
        assert!(Contact::from(&row).is_online(now.after(Duration::from_secs(180))));
        assert!(!Contact::from(&row).is_online(now.after(Duration::from_secs(200))));
    }
}
