//! The rollouts that are not over, in memory: what polls are decided from.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use slipway_trust::{ReleaseEntry, Version};

use super::{Context, Result};
use crate::{
    model::{
        admission::{ActiveRollout, Target},
        rollout::{Rollout, RolloutState},
        selector::Selector,
        time::Timestamp,
        wave::Counts,
    },
    store::rollouts::rollouts_active,
};

/// A snapshot that is replaced as a whole.
pub type Snapshot = Arc<Vec<Arc<ActiveRollout>>>;

/// The rollouts that are not over. Cheap to clone; all clones see the same.
#[derive(Clone, Debug, Default)]
pub struct ActiveRollouts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    snapshot: RwLock<Snapshot>,
    /// The store has something newer.
    stale: AtomicBool,
    /// No update times out before this, in milliseconds.
    next_deadline: AtomicI64,
}

impl Default for Shared {
    fn default() -> Self {
        // Nothing was read yet: all of it is due.
        Shared {
            snapshot: RwLock::default(),
            stale: AtomicBool::new(true),
            next_deadline: AtomicI64::new(i64::MIN),
        }
    }
}

impl ActiveRollouts {
    /// What is known now.
    pub fn snapshot(&self) -> Snapshot {
        self.0.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over what the store has.
    pub async fn reload(&self, ctx: &Context) -> Result<()> {
        self.0.stale.store(false, Ordering::SeqCst);
        let loaded = load(ctx).await.inspect_err(|_| self.mark_stale())?;
        *self.0.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        Ok(())
    }

    /// The next look has to be at the store.
    pub fn mark_stale(&self) {
        self.0.stale.store(true, Ordering::SeqCst);
    }

    /// Whether the store has something newer.
    pub fn is_stale(&self) -> bool {
        self.0.stale.load(Ordering::SeqCst)
    }

    /// Follows what this process just wrote about a wave, so that the next poll already counts it.
    pub fn count(&self, rollout_id: &str, wave: u32, change: impl FnOnce(&mut Counts)) {
        self.mark_stale();
        let mut snapshot = self.0.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        let rollouts = Arc::make_mut(&mut *snapshot);
        let active = rollouts.iter_mut().find(|active| *active.id == *rollout_id);
        let Some(active) = active.map(Arc::make_mut) else { return };
        if let Some(wave) = active.rollout.waves.iter_mut().find(|known| known.number == wave) {
            change(&mut wave.counts);
        }
    }

    /// An update times out at `deadline` unless it ends before.
    pub fn expect_by(&self, deadline: Timestamp) {
        self.0.next_deadline.fetch_min(deadline.millis(), Ordering::SeqCst);
    }

    /// The earliest deadline is known; none when nothing is under way.
    pub fn next_deadline_is(&self, deadline: Option<Timestamp>) {
        self.0.next_deadline.store(deadline.map_or(i64::MAX, Timestamp::millis), Ordering::SeqCst);
    }

    /// Whether an update may have timed out.
    pub fn is_deadline_due(&self, now: Timestamp) -> bool {
        self.0.next_deadline.load(Ordering::SeqCst) <= now.millis()
    }
}

async fn load(ctx: &Context) -> Result<Vec<Arc<ActiveRollout>>> {
    let mut tx = ctx.db.read().await?;
    let rollouts = rollouts_active(&mut tx).await?;
    drop(tx);
    Ok(rollouts.into_iter().filter_map(|rollout| activate(ctx, rollout)).map(Arc::new).collect())
}

/// The rollout with what the publishers signed of its release; none, and a line in the log, when
/// that cannot be had: then it offers nothing.
pub fn activate(ctx: &Context, rollout: Rollout) -> Option<ActiveRollout> {
    let set = ctx.trust.current();
    let version: Option<Version> = rollout.version.parse().ok();
    let release =
        set.as_ref().zip(version).and_then(|(set, version)| set.release(&rollout.product, &version));
    let Some(release) = release.map(target) else {
        let release = rollout.release();
        tracing::warn!(
            rollout = rollout.id,
            release,
            "the release is not in the signed metadata; nothing is offered"
        );
        return None;
    };
    let selector = match Selector::parse_stored_rollout(&rollout.selector) {
        Ok(selector) => selector,
        Err(refusal) => {
            tracing::error!(rollout = rollout.id, %refusal, "a stored selector cannot be read; nothing is offered");
            return None;
        }
    };
    let others: Arc<[Target]> = match (&set, rollout.state) {
        (Some(set), RolloutState::RollingBack) => {
            let others =
                set.releases(&rollout.product).iter().filter(|entry| entry.counter != release.counter);
            others.map(target).collect()
        }
        _ => Arc::from([]),
    };
    Some(ActiveRollout { id: rollout.id.as_str().into(), selector, release, others, rollout })
}

fn target(entry: &ReleaseEntry) -> Target {
    Target {
        version: entry.version.as_str().into(),
        counter: entry.counter,
        min_from: entry.min_from,
        hardware: entry.hardware.clone().into(),
    }
}
