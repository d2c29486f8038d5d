//! Watching a rollout: as it is now, and again after each change, until it is over.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Context, Result,
    prospects::{Census, census},
    rollouts::not_found,
};
use crate::{
    model::{rollout::Rollout, time::Timestamp, update::Update},
    store::{rollouts::rollout_get, update_lists::updates_changed},
};

/// Updates in one message.
const UPDATES: usize = 100;
/// Updates looked at for one message: the newest of them are told.
const LOOKED_AT: i64 = 1_000;
/// Changes that come faster are one message: nobody reads more than four a second.
const GATHER: Duration = Duration::from_millis(250);
/// Another replica's changes come without a signal.
const LOOK_ANYWAY: Duration = Duration::from_secs(2);

/// One who watches a rollout.
#[derive(Debug)]
pub struct Watcher {
    ctx: Context,
    rollout_id: String,
    signal: watch::Receiver<()>,
    last: Option<Rollout>,
    /// The newest change of an update that was told, and those that changed in that millisecond.
    told: (Timestamp, Vec<(String, i64)>),
    is_over: bool,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Change {
    /// The rollout now.
    pub rollout: Rollout,
    /// Who takes part in it, as the inventory is now.
    pub census: Census,
    /// Updates that changed since the last message.
    pub updates: Vec<Update>,
}

impl Watcher {
    /// Starts to watch; the first message is the present state.
    pub fn new(ctx: &Context, rollout_id: String) -> Self {
        Watcher {
            signal: ctx.wake.watch(),
            ctx: ctx.clone(),
            rollout_id,
            last: None,
            told: (Timestamp::from_millis(0), Vec::new()),
            is_over: false,
        }
    }

    /// The next change; none after the one that brought a terminal state.
    pub async fn next(&mut self) -> Result<Option<Change>> {
        while !self.is_over {
            if self.last.is_some() {
                // The end of the signal is the end of the server, which ends the stream.
                let _ = timeout(LOOK_ANYWAY, self.signal.changed()).await;
                sleep(GATHER).await;
            }
            self.signal.mark_unchanged();
            if let Some(change) = self.look().await? {
                return Ok(Some(change));
            }
        }
        Ok(None)
    }

    async fn look(&mut self) -> Result<Option<Change>> {
        let mut tx = self.ctx.db.read().await?;
        let rollout = rollout_get(&mut tx, &self.rollout_id).await?;
        let rollout = rollout.ok_or_else(|| not_found(&format!("rollouts/{}", self.rollout_id)))?;
        let mut updates = updates_changed(&mut tx, &self.rollout_id, self.told.0, LOOKED_AT).await?;
        drop(tx);
        if let Some(newest) = updates.last().map(|update| update.updated_at) {
            let marks = updates.iter().filter(|update| update.updated_at == newest);
            let marks: Vec<_> = marks.map(|update| (update.id.clone(), update.generation)).collect();
            let before = std::mem::replace(&mut self.told, (newest, marks));
            updates.retain(|update| {
                update.updated_at != before.0
                    || !before
                        .1
                        .iter()
                        .any(|(id, generation)| *id == update.id && *generation == update.generation)
            });
        }
        updates.drain(..updates.len().saturating_sub(UPDATES));
        if updates.is_empty() && self.last.as_ref() == Some(&rollout) {
            return Ok(None);
        }
        self.is_over = rollout.state.is_terminal();
        let census = census(&self.ctx, &rollout);
        self.last = Some(rollout.clone());
        Ok(Some(Change { rollout, census, updates }))
    }
}
