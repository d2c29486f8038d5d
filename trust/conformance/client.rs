//! The client workflow: what is asked for, in the order of the specification, and what is kept of it.

use slipway_trust::{Change, Date, Error, Lookup, Stored, TARGETS, Target, TrustedSet, limits};

use crate::http::{get, quote};
use crate::store::Store;
use crate::{Failure, absent};

/// A set of trusted metadata with its folder and its source.
pub struct Client {
    set: TrustedSet,
    store: Store,
    url: String,
    now: Date,
}

/// Offers bytes of one role to the set.
type Offer<'a> = &'a dyn Fn(&mut TrustedSet, &[u8]) -> Result<Change, Error>;

impl Client {
    /// From what is stored. `now` is when the whole run happens.
    pub fn open(store: Store, url: &str, now: Date) -> Result<Self, Failure> {
        let root = store.read("root")?.ok_or_else(|| absent("the initial root"))?;
        let [timestamp, snapshot, targets] =
            [store.read("timestamp")?, store.read("snapshot")?, store.read(TARGETS)?];
        let stored = Stored {
            timestamp: timestamp.as_deref(),
            snapshot: snapshot.as_deref(),
            targets: targets.as_deref(),
            ..Stored::default()
        };
        let (set, left_out) = TrustedSet::load(&root, stored, "")?;
        for error in left_out {
            eprintln!("not taken from the store: {error}");
        }
        Ok(Self { set, store, url: url.trim_end_matches('/').to_owned(), now })
    }

    /// Whether files other than the timestamp have their versions in their names.
    pub fn consistent_snapshot(&self) -> bool {
        self.set.root().body.consistent_snapshot
    }

    /// Roots until there is no next, then timestamp, snapshot, targets.
    pub fn refresh(&mut self) -> Result<(), Failure> {
        self.refresh_root()?;
        let now = self.now;
        let timestamp = self.fetch("timestamp", None, limits::TIMESTAMP_BYTES)?;
        if self.set.update_timestamp(&timestamp, now)? == Change::Accepted {
            self.store.write("timestamp", &timestamp)?;
        }
        let snapshot = self.set.timestamp().map(|held| held.body.snapshot.version);
        self.obtain("snapshot", snapshot, limits::SNAPSHOT_BYTES, &|set, bytes| {
            set.update_snapshot(bytes, now)
        })?;
        let targets = self.listed(TARGETS);
        self.obtain(TARGETS, targets, limits::TARGETS_BYTES, &|set, bytes| set.update_targets(bytes, now))
    }

    fn refresh_root(&mut self) -> Result<(), Failure> {
        for _ in 0..limits::ROOTS_IN_CHAIN {
            let next = self.set.root().body.version + 1;
            let Some(bytes) = get(&format!("{}/{next}.root.json", self.url), limits::ROOT_BYTES)? else {
                break;
            };
            let step = self.set.update_root(&bytes)?;
            self.store.write("root", &bytes)?;
            for role in step.dropped {
                self.store.remove(&role)?;
            }
        }
        Ok(self.set.finish_root(self.now)?)
    }

    /// Searches the delegations, fetching those that the search has to look into.
    pub fn find(&mut self, path: &str) -> Result<Target, Failure> {
        loop {
            let (delegator, role) = match self.set.find(path)? {
                Lookup::Found { target, .. } => return Ok(target.clone()),
                Lookup::NotFound => return Err(absent(&format!("the target {path}"))),
                Lookup::Needs { delegator, role } => (delegator.to_owned(), role.to_owned()),
            };
            let (listed, now) = (self.listed(&role), self.now);
            self.obtain(&role, listed, limits::TARGETS_BYTES, &|set, bytes| {
                set.update_delegated(&delegator, &role, bytes, now)
            })?;
        }
    }

    /// The version that the snapshot lists for a role.
    fn listed(&self, role: &str) -> Option<u64> {
        self.set.snapshot().and_then(|held| held.body.meta.get(role)).map(|listed| listed.version)
    }

    /// What is stored of `role`, if it is still the one that is vouched for; else what the source has.
    fn obtain(
        &mut self,
        role: &str,
        version: Option<u64>,
        limit: usize,
        offer: Offer<'_>,
    ) -> Result<(), Failure> {
        if let Some(stored) = self.store.read(role)?
            && offer(&mut self.set, &stored).is_ok()
        {
            return Ok(());
        }
        let bytes = self.fetch(role, version, limit)?;
        offer(&mut self.set, &bytes)?;
        Ok(self.store.write(role, &bytes)?)
    }

    fn fetch(&self, role: &str, version: Option<u64>, limit: usize) -> Result<Vec<u8>, Failure> {
        let name = match version.filter(|_| self.consistent_snapshot()) {
            Some(version) => format!("{version}.{}", quote(role)),
            None => quote(role),
        };
        get(&format!("{}/{name}.json", self.url), limit)?.ok_or_else(|| absent(&name))
    }
}
