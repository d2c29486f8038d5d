//! The signed files in force, in memory, verified: what every poll is answered from.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use slipway_trust::{ReleaseEntry, Version, Versions};

use super::{
    Error, Result,
    online_keys::OnlineKeys,
    trust_keys::KeyRing,
    trust_set::{TrustSet, foreign_role},
};
use crate::{
    chain::chain,
    model::{
        refusal::{Reason, Refusal},
        time::Timestamp,
        trust::{Assignment, Delta},
    },
    observe::Metrics,
    store::{Db, metadata},
};

/// The present trust and the keys to sign with. Cheap to clone; all clones see the same.
#[derive(Clone, Debug)]
pub struct Trust {
    keys: KeyRing,
    metrics: Metrics,
    state: Arc<RwLock<State>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    current: Option<Arc<TrustSet>>,
    /// For readers who began with the timestamp before this one.
    previous: Option<Arc<TrustSet>>,
    /// Why what is stored now is not served.
    alarm: Option<Arc<str>>,
}

impl Trust {
    /// Nothing loaded yet. Stored documents that are not what was signed are counted in `metrics`.
    pub fn new(keys: impl Into<KeyRing>, metrics: &Metrics) -> Self {
        Trust { keys: keys.into(), metrics: metrics.clone(), state: Arc::default() }
    }

    /// Loads what is stored, verifies it as a device would, and serves it from now on.
    ///
    /// What does not verify is not served: it is logged as an error and counted, what was verified before
    /// stays in force, and nothing can be published until an operator restored the database.
    pub async fn refresh(&self, db: &Db) -> Result<()> {
        let mut tx = db.read().await?;
        let rows = metadata::metadata_current(&mut tx).await?;
        let timestamps = metadata::metadata_timestamps(&mut tx).await?;
        drop(tx);
        let verified = TrustSet::verify(rows, timestamps);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match verified {
            Ok(found) => {
                state.alarm = None;
                state.install(found.map(Arc::new), &self.keys);
            }
            Err(error) => {
                let error = chain(&error);
                self.metrics.forged();
                tracing::error!(
                    error,
                    "signed metadata in the database was changed: not served, nothing is published"
                );
                state.alarm = Some(error.into());
            }
        }
        Ok(())
    }

    /// The server's own keys, those in use.
    pub fn keys(&self) -> OnlineKeys {
        self.keys.in_use()
    }

    /// All of the server's own keys, those that wait for a root to name them among them.
    pub fn ring(&self) -> &KeyRing {
        &self.keys
    }

    /// What is in force; none before the first root, or when nothing stored verified.
    pub fn current(&self) -> Option<Arc<TrustSet>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).current.clone()
    }

    /// Why what is stored now is not served; none while all is well.
    pub fn alarm(&self) -> Option<Arc<str>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).alarm.clone()
    }

    /// What is in force, or the refusal that says why there is nothing to build on; before it says
    /// that there is no root it looks into the store, where another replica may just have put one.
    pub async fn require_now(&self, db: &Db) -> Result<Arc<TrustSet>> {
        self.look(db).await?;
        self.require()
    }

    /// The newest root, for a claim to pin; looks as [`Trust::require_now`] does.
    pub async fn newest_root(&self, db: &Db) -> Result<Option<Bytes>> {
        self.look(db).await?;
        Ok(self.current().and_then(|set| set.roots().last().cloned()))
    }

    /// Reads the store when nothing is in force here.
    async fn look(&self, db: &Db) -> Result<()> {
        if self.current().is_some() { Ok(()) } else { self.refresh(db).await }
    }

    /// What is in force in memory, or the refusal that says why there is nothing to build on.
    pub fn require(&self) -> Result<Arc<TrustSet>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(alarm) = state.alarm {
            return Err(Error::Internal(format!("the stored metadata is not trusted: {alarm}")));
        }
        state.current.ok_or_else(|| {
            Refusal::new(
                Reason::TrustNotInitialized,
                "the server has no root of trust yet",
                "run `slipway trust init --keys DIR` first",
            )
            .into()
        })
    }

    /// What an up-to-date device of the product holds, its assignment apart; all 0 before the first root.
    pub fn versions(&self, product: &str) -> Versions {
        self.current().map(|set| set.versions(product)).unwrap_or_default()
    }

    /// A release as its publishers signed it: the only source of its hardware, order and floor.
    pub fn release(&self, product: &str, version: &Version) -> Option<ReleaseEntry> {
        self.current()?.release(product, version).cloned()
    }

    /// What a device lacks; none when nothing is new. Reads memory only, signs nothing.
    ///
    /// `assignment` is the device's newest one; it is verified before it is handed out.
    pub fn delta_for(
        &self,
        have: &Versions,
        product: &str,
        assignment: Option<&Assignment>,
        now: Timestamp,
    ) -> Option<Delta> {
        let set = self.current()?;
        let assignment = assignment.filter(|held| held.version > have.assignment);
        let assignment = assignment.and_then(|held| match set.check_assignment(held) {
            Ok(()) => Some(held.bytes.clone()),
            Err(error) => {
                self.metrics.forged();
                tracing::error!(device = %held.device, %error, "a stored assignment does not verify: not served");
                None
            }
        });
        let delta = set.delta(have, product, assignment, now);
        (!delta.is_empty()).then_some(delta)
    }

    /// A metadata file by the name that TUF clients ask for, such as `3.root.json` or `timestamp.json`.
    pub fn metadata_file(&self, name: &str) -> Option<Bytes> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner).clone();
        let current = state.current?;
        if name == "timestamp.json" {
            return current.file("timestamp").map(|file| file.bytes.clone());
        }
        let (version, role) = name.strip_suffix(".json")?.split_once('.')?;
        let version: u64 = version.parse().ok()?;
        if role == "root" {
            let index = usize::try_from(version.checked_sub(1)?).ok()?;
            return current.roots().get(index).cloned();
        }
        [Some(current), state.previous].into_iter().flatten().find_map(|set| {
            set.file(role).filter(|file| file.version == version).map(|file| file.bytes.clone())
        })
    }
}

impl State {
    fn install(&mut self, found: Option<Arc<TrustSet>>, ring: &KeyRing) {
        let newest = |set: &Option<Arc<TrustSet>>| set.as_ref().map_or(0, |set| set.version("timestamp"));
        // Two refreshes may overlap; the later state wins whoever ends first.
        if newest(&found) <= newest(&self.current) && self.current.is_some() {
            return;
        }
        let foreign = found.as_ref().and_then(|set| {
            let (root, targets) = (&set.trusted.root().body, set.trusted.targets().map(|held| &held.body));
            ring.follow(root, targets);
            foreign_role(root, targets, &ring.in_use())
        });
        if let Some(role) = foreign {
            tracing::error!(
                role,
                "the root of trust names another key than this server's: copy keys/ from the server that signed; \
                 devices are served, nothing can be signed"
            );
        }
        self.previous = std::mem::replace(&mut self.current, found);
    }
}

#[cfg(test)]
mod tests;
