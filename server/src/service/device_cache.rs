//! Devices in memory: a call is authenticated, and a poll decided, without the database.
//!
//! An entry takes about 400 bytes beside the text of its id: words that many devices share
//! (product, hardware, versions, labels) are held once.

use std::{
    collections::{HashMap, HashSet},
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use slipway_trust::{Sha256, Versions};

use super::{
    Context, Result,
    lines::{Line, Lines},
};
use crate::{
    model::{
        condition::Condition,
        device::{Device, DeviceState},
        facts::{Facts, Signed},
        time::Timestamp,
        trust::Assignment,
        update::Update,
    },
    store::{
        Tx,
        assignments::{assignment_get, assignments_page},
        changes::{Kind, changes_get},
        conditions::{conditions_between, conditions_of_device},
        devices::{device_get, device_get_by_key, devices_changed, devices_page},
        presence::presence_page,
        update_lists::{updates_of_device, updates_of_devices},
    },
};

const PAGE: u32 = 1000;
/// Clocks of replicas differ by less, or their certificates would not work either.
const SKEW: Duration = Duration::from_secs(60);

/// Every device, by key and by id.
#[derive(Clone, Debug, Default)]
pub struct DeviceCache(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    maps: RwLock<Maps>,
    /// One copy of each word.
    words: Mutex<HashSet<Arc<str>>>,
    /// When all records were read last; none before the first time.
    read_at: Mutex<Option<Timestamp>>,
}

#[derive(Debug, Default)]
struct Maps {
    by_key: HashMap<Sha256, Arc<DeviceEntry>>,
    by_id: HashMap<Arc<str>, Arc<DeviceEntry>>,
}

/// What is known of one device. Its [`Facts`] are read through it.
#[derive(Debug)]
pub struct DeviceEntry {
    facts: Facts,
    key: Sha256,
    /// Announced, and not used yet.
    next_key: Option<Sha256>,
    live: Arc<Live>,
}

/// What every call changes; outlives the entry, and is lost with the process.
#[derive(Debug)]
struct Live {
    have: Mutex<Versions>,
    /// Milliseconds.
    seen_at: AtomicI64,
    /// It is said to be offline: its next call is news.
    is_missed: AtomicBool,
    lines: Mutex<Lines>,
}

impl Live {
    fn new(device: &Device) -> Self {
        // To enrol is to call: whichever replica the device called, each one expects it from then on.
        Live {
            have: Mutex::new(device.have),
            seen_at: AtomicI64::new(device.created_at.millis()),
            is_missed: AtomicBool::new(false),
            lines: Mutex::default(),
        }
    }
}

impl DeviceEntry {
    /// The device's id.
    pub fn id(&self) -> &str {
        &self.facts.id
    }

    /// Its identity state.
    pub fn state(&self) -> DeviceState {
        self.facts.state
    }

    /// Whether this is the key that the device announced and has not used before.
    pub fn is_announced(&self, key: &Sha256) -> bool {
        self.next_key.as_ref() == Some(key)
    }

    /// Notes a call on a connection; true when somebody else calls with the same key, see
    /// [`Lines::called`].
    pub fn called_on(&self, line: &Arc<Line>) -> bool {
        self.lines().called(line)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.live.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connections that show a key which is not good any more.
    fn close_lines(&self) {
        let is_in = self.state() != DeviceState::Revoked;
        self.lines().close_unless(|key| is_in && (*key == self.key || self.is_announced(key)));
    }

    /// Notes that the device called, and what it said it holds; true when that is news, because it is
    /// said to be offline.
    pub fn called(&self, have: Versions, now: Timestamp) -> bool {
        *self.live.have.lock().unwrap_or_else(PoisonError::into_inner) = have;
        self.live.seen_at.fetch_max(now.millis(), Ordering::Relaxed);
        self.live.is_missed.load(Ordering::Relaxed) && self.live.is_missed.swap(false, Ordering::Relaxed)
    }

    /// When it called last, as far as this replica knows.
    pub fn called_at(&self) -> Timestamp {
        Timestamp::from_millis(self.live.seen_at.load(Ordering::Relaxed))
    }

    /// Whether its next call is news.
    pub fn watch_for_return(&self, is_missed: bool) {
        self.live.is_missed.store(is_missed, Ordering::Relaxed);
    }

    /// The metadata it said it holds: when it called last, or with its last inventory.
    pub fn have(&self) -> Versions {
        *self.live.have.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it called at or after `since`.
    pub fn seen_since(&self, since: Timestamp) -> bool {
        self.live.seen_at.load(Ordering::Relaxed) >= since.millis().max(1)
    }
}

impl Deref for DeviceEntry {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
}

impl DeviceCache {
    /// The device with this key, or that announced it. Asks the store for one that is not in memory: another replica may
    /// have enrolled it, or its record is damaged, which is no reason to tell it that nobody knows it.
    pub async fn find(&self, ctx: &Context, key: &Sha256) -> Result<Option<Arc<DeviceEntry>>> {
        let found = self.read().by_key.get(key).cloned();
        if found.is_some() {
            return Ok(found);
        }
        let mut tx = ctx.db.read().await?;
        match device_get_by_key(&mut tx, key).await? {
            Some(device) => self.take(&mut tx, device).await.map(Some),
            None => Ok(None),
        }
    }

    /// The device with this id.
    pub fn get(&self, id: &str) -> Option<Arc<DeviceEntry>> {
        self.read().by_id.get(id).cloned()
    }

    /// How many devices there are.
    pub fn len(&self) -> usize {
        self.read().by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many devices are in each state.
    pub fn count(&self) -> [(DeviceState, usize); 5] {
        let mut counts = DeviceState::ALL.map(|state| (state, 0));
        for entry in self.read().by_id.values() {
            for (state, count) in &mut counts {
                *count += usize::from(entry.state() == *state);
            }
        }
        counts
    }

    /// Every device, in no order.
    pub fn all(&self) -> Vec<Arc<DeviceEntry>> {
        self.read().by_id.values().cloned().collect()
    }

    /// Takes over one device's record from the store.
    pub async fn refresh(&self, ctx: &Context, id: &str) -> Result<()> {
        let mut tx = ctx.db.read().await?;
        self.reread(&mut tx, id).await.map(drop)
    }

    /// Takes over one device's record as the transaction sees it; none when there is no such device.
    pub async fn reread(&self, tx: &mut Tx, id: &str) -> Result<Option<Arc<DeviceEntry>>> {
        match device_get(tx, id).await? {
            Some(device) => self.take(tx, device).await.map(Some),
            None => Ok(None),
        }
    }

    /// What is decided from, as the transaction sees it: for a write that must not rest on what
    /// another replica may have changed. Leaves the cache as it is.
    pub async fn look(&self, tx: &mut Tx, device: &Device) -> Result<Facts> {
        let updates = updates_of_device(tx, &device.id).await?;
        let assignment = assignment_get(tx, &device.id).await?;
        let (at, conditions) = conditions_of_device(tx, &device.id).await?;
        Ok(self.facts(device, &updates, assignment.as_ref()).with_conditions(at, conditions))
    }

    /// Takes over what changed since the last time; all of them the first time.
    pub async fn reload(&self, ctx: &Context) -> Result<()> {
        let now = ctx.clock.now();
        let before = *self.0.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        match before {
            None => self.load(ctx).await?,
            Some(before) => self.follow(ctx, before.before(SKEW)).await?,
        }
        *self.0.read_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(())
    }

    /// Takes over when devices were last heard of, by any replica.
    pub async fn reload_presence(&self, ctx: &Context) -> Result<()> {
        let mut after = String::new();
        loop {
            let mut tx = ctx.db.read().await?;
            let page = presence_page(&mut tx, &after, PAGE.into()).await?;
            drop(tx);
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.device_id);
            for seen in page {
                if let Some(entry) = self.get(&seen.device_id) {
                    entry.live.seen_at.fetch_max(seen.seen_at.millis(), Ordering::Relaxed);
                }
            }
        }
    }

    async fn load(&self, ctx: &Context) -> Result<()> {
        let mut after = String::new();
        loop {
            let mut tx = ctx.db.read().await?;
            let page = devices_page(&mut tx, &after, PAGE.into()).await?;
            let Some(last) = page.last() else { break };
            let mut updates: HashMap<String, Vec<Update>> = HashMap::new();
            for update in updates_of_devices(&mut tx, &after, &last.id).await? {
                updates.entry(update.device_id.clone()).or_default().push(update);
            }
            let at = changes_get(&mut tx, Kind::AlertEvents).await?;
            let mut conditions: HashMap<String, Vec<Condition>> = HashMap::new();
            for (device_id, condition) in conditions_between(&mut tx, &after, &last.id).await? {
                conditions.entry(device_id).or_default().push(condition);
            }
            // Assignments are of devices, so this page reaches at least as far.
            let assignments: HashMap<String, Assignment> = assignments_page(&mut tx, &after, PAGE)
                .await?
                .into_iter()
                .map(|held| (held.device.clone(), held))
                .collect();
            after.clone_from(&last.id);
            for device in page {
                let updates = updates.remove(&device.id).unwrap_or_default();
                let facts = self.facts(&device, &updates, assignments.get(&device.id));
                let facts = facts.with_conditions(at, conditions.remove(&device.id).unwrap_or_default());
                self.put(facts, &device);
            }
        }
        self.reload_presence(ctx).await
    }

    async fn follow(&self, ctx: &Context, since: Timestamp) -> Result<()> {
        let (mut since, mut after) = (since, String::new());
        loop {
            let mut tx = ctx.db.read().await?;
            let page = devices_changed(&mut tx, since, &after, PAGE.into()).await?;
            let Some(last) = page.last() else { return Ok(()) };
            (since, after) = (last.updated_at, last.id.clone());
            for device in page {
                self.take(&mut tx, device).await?;
            }
        }
    }

    async fn take(&self, tx: &mut Tx, device: Device) -> Result<Arc<DeviceEntry>> {
        let facts = self.look(tx, &device).await?;
        Ok(self.put(facts, &device))
    }

    fn facts(&self, device: &Device, updates: &[Update], assignment: Option<&Assignment>) -> Facts {
        let signed = assignment.map(|held| Signed { version: held.version, due_at: held.due_at() });
        let mut words = self.0.words.lock().unwrap_or_else(PoisonError::into_inner);
        Facts::new(device, updates, signed, |word| match words.get(word) {
            Some(known) => known.clone(),
            None => {
                let new: Arc<str> = word.into();
                words.insert(new.clone());
                new
            }
        })
    }

    fn put(&self, mut facts: Facts, device: &Device) -> Arc<DeviceEntry> {
        let key = device.spki_sha256;
        let mut maps = self.0.maps.write().unwrap_or_else(PoisonError::into_inner);
        let known = maps.by_id.get(&facts.id);
        if let Some(known) = known.filter(|known| known.facts.generation > facts.generation) {
            return known.clone();
        }
        if let Some(known) = known.filter(|known| known.facts.conditions_at > facts.conditions_at) {
            facts.conditions = known.facts.conditions.clone();
            facts.conditions_at = known.facts.conditions_at;
        }
        let live = known.map(|known| known.live.clone()).unwrap_or_else(|| Arc::new(Live::new(device)));
        let next_key = device.standing.next_key;
        let before: Vec<_> =
            known.into_iter().flat_map(|known| [Some(known.key), known.next_key]).flatten().collect();
        let entry = Arc::new(DeviceEntry { facts, key, next_key, live });
        for key in before {
            maps.by_key.remove(&key);
        }
        for key in [Some(key), next_key].into_iter().flatten() {
            maps.by_key.insert(key, entry.clone());
        }
        maps.by_id.insert(entry.facts.id.clone(), entry.clone());
        drop(maps);
        entry.close_lines();
        entry
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Maps> {
        self.0.maps.read().unwrap_or_else(PoisonError::into_inner)
    }
}
