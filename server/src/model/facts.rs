//! What decisions need to know of a device.

use std::{borrow::Cow, sync::Arc};

use super::{
    condition::Condition,
    device::{Blocked, DataClass, Device, DeviceState},
    filter::Subject,
    time::Timestamp,
    update::{Update, UpdateState},
};

/// The part of a device that is looked at in every check-in. A replica holds one for each device
/// of the fleet, so it is small: words that many devices share are shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Its id.
    pub id: Arc<str>,
    /// Its product.
    pub product: Arc<str>,
    /// Its hardware model.
    pub hardware: Arc<str>,
    /// Its labels, by key.
    pub labels: Box<[(Arc<str>, Arc<str>)]>,
    /// What its system runs; empty when unknown.
    pub version: Arc<str>,
    /// Counter of that release; 0 when unknown.
    pub counter: u64,
    /// Release counter below which it never goes.
    pub floor: u64,
    /// Identity state.
    pub state: DeviceState,
    /// Its key was seen in use at two addresses at once.
    pub is_duplicate: bool,
    /// Until when it is offered nothing.
    pub quarantined_until: Option<Timestamp>,
    /// Why it says that it installs nothing.
    pub blocked: Option<Box<Blocked>>,
    /// Fingerprint of its inventory; 0 before the first one.
    pub inventory_digest: u64,
    /// Data classes its owner allows, as bits.
    consent: u8,
    /// Its signed assignment.
    pub assignment: Option<Signed>,
    /// Generation of its record.
    pub generation: i64,
    /// The update it works on.
    pub active: Option<Box<Active>>,
    /// How the updates ended that it took from rollouts still active.
    pub taken: Box<[Taken]>,
    /// What its living alerts say of it.
    pub conditions: Arc<[Condition]>,
    /// The event of alerts up to which they do.
    pub conditions_at: i64,
}

/// A device's signed assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Its version.
    pub version: u64,
    /// When it is signed anew.
    pub due_at: Timestamp,
}

/// The update a device works on.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// Its id.
    pub update_id: Arc<str>,
    /// The rollout.
    pub rollout_id: Arc<str>,
    /// Version of the release.
    pub version: Arc<str>,
    /// Where it stands.
    pub state: UpdateState,
    /// It brings the device back.
    pub rolls_back: bool,
    /// When it times out.
    pub deadline_at: Timestamp,
}

/// A finished update.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// The rollout.
    pub rollout_id: Arc<str>,
    /// How it ended.
    pub state: UpdateState,
    /// It brought the device back.
    pub rolled_back: bool,
    /// What the device ran before; empty when unknown.
    pub from_version: Arc<str>,
    /// Counter of that; 0 when unknown.
    pub from_counter: u64,
    /// The device works on it no more, by its own word.
    pub settled: bool,
}

impl Facts {
    /// From the record and the updates of the device that are under way or belong to an active
    /// rollout. `share` gives one copy of a word to all devices that use it.
    pub fn new(
        device: &Device,
        updates: &[Update],
        assignment: Option<Signed>,
        mut share: impl FnMut(&str) -> Arc<str>,
    ) -> Self {
        let running = device.running();
        let active = updates.iter().find(|update| !update.state.is_terminal()).map(|update| {
            Box::new(Active {
                update_id: update.id.as_str().into(),
                rollout_id: share(&update.rollout_id),
                version: share(&update.version),
                state: update.state,
                rolls_back: update.rolls_back,
                deadline_at: update.deadline_at.unwrap_or(update.created_at),
            })
        });
        let taken = updates.iter().filter(|update| update.state.is_terminal()).map(|update| Taken {
            rollout_id: share(&update.rollout_id),
            state: update.state,
            rolled_back: update.rolls_back,
            from_version: share(&update.from_version),
            from_counter: update.from_counter,
            settled: update.settled,
        });
        let taken = taken.collect();
        Facts {
            id: device.id.as_str().into(),
            product: share(&device.product),
            hardware: share(&device.hardware),
            labels: device.labels.iter().map(|(key, value)| (share(key), share(value))).collect(),
            version: share(device.version()),
            counter: running.map_or(0, |running| running.counter),
            floor: device.inventory.floor,
            state: device.state,
            is_duplicate: device.standing.duplicate_at.is_some(),
            quarantined_until: device.quarantined_until,
            blocked: device.inventory.blocked.clone().map(Box::new),
            inventory_digest: device.inventory.digest,
            consent: device.inventory.consent.iter().fold(0, |bits, class| bits | bit(*class)),
            assignment,
            generation: device.generation,
            active,
            taken,
            conditions: Arc::default(),
            conditions_at: 0,
        }
    }

    /// With what the living alerts say, up to the event at this position.
    pub fn with_conditions(mut self, at: i64, conditions: impl IntoIterator<Item = Condition>) -> Self {
        self.conditions = conditions.into_iter().collect();
        self.conditions_at = at;
        self
    }

    /// As if nothing were wrong with the device.
    pub fn in_health(&self) -> impl Subject + '_ {
        InHealth(self)
    }

    /// Whether readings of this class may leave the device. Essential ones always may.
    pub fn allows(&self, class: DataClass) -> bool {
        class == DataClass::Essential || self.consent & bit(class) != 0
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(name, _)| **name == *key).map(|(_, value)| &**value)
    }
}

fn bit(class: DataClass) -> u8 {
    match class {
        DataClass::Essential => 1,
        DataClass::Diagnostic => 2,
        DataClass::Usage => 4,
        DataClass::Location => 8,
    }
}

impl Subject for Facts {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        let value = match path {
            "id" => &*self.id,
            "product" => &*self.product,
            "hardware" => &*self.hardware,
            "state" => self.state.as_str(),
            "version" => &*self.version,
            _ => self.label(path.strip_prefix("labels.")?)?,
        };
        Some(Cow::Borrowed(value))
    }

    fn any(&self, path: &str, test: &dyn Fn(&str) -> bool) -> bool {
        self.conditions.iter().any(|condition| condition.any(path, test))
    }
}

struct InHealth<'a>(&'a Facts);

impl Subject for InHealth<'_> {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        self.0.field(path)
    }
}
