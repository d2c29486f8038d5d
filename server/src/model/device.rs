//! A device: who it is, what it says of itself, and where its identity stands.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use slipway_trust::{Sha256, Versions};

use super::{filter::Subject, label::Labels, time::Timestamp};

/// The component whose version `version` means in filters: the operating system.
pub const SYSTEM: &str = "system";

/// One Linux machine of the fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// The product line it belongs to; given by its claim.
    pub product: String,
    /// Hardware model; one of those its claim allows.
    pub hardware: String,
    /// Identity state.
    pub state: DeviceState,
    /// The public key that is this device.
    pub spki_sha256: Sha256,
    /// What else there is to say of its identity.
    pub standing: Standing,
    /// Serial of its newest certificate, hex.
    pub certificate_serial: String,
    /// When that certificate ends.
    pub certificate_not_after: Timestamp,
    /// By what right it is a device: `claims/ID`, `authorities/ID` or `keys/SHA-256`.
    pub enrolled_by: String,
    /// What operators say of it.
    pub labels: Labels,
    /// What it said of itself last.
    pub inventory: Inventory,
    /// The signed metadata it held at its last inventory.
    pub have: Versions,
    /// Updates that failed in a row.
    pub failures: u32,
    /// Until when it is offered nothing; only in [`DeviceState::Quarantined`].
    pub quarantined_until: Option<Timestamp>,
    /// When it was registered, or enrolled without that.
    pub created_at: Timestamp,
    /// When this record changed last.
    pub updated_at: Timestamp,
    /// Grows by one with every change of this record.
    pub generation: i64,
}

/// What there is to say of a device's identity beside its key and its state. The default is that of
/// a device of which there is nothing to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// A key that it announced in a renewal and has not used yet. With its first use it takes the
    /// place of the one it has.
    pub next_key: Option<Sha256>,
    /// Whether an expired certificate may be renewed.
    pub renewal: Approval,
    /// When its key was seen in use at two addresses at once; until an operator looked into it.
    pub duplicate_at: Option<Timestamp>,
}

/// An operator's say in the renewal of a certificate that ended too long ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Approval {
    /// None is needed, or none was asked for yet.
    #[default]
    Free,
    /// The device asked, and waits.
    Waiting,
    /// Given, for one renewal.
    Approved,
}

impl Approval {
    /// Every one there is.
    pub const ALL: [Approval; 3] = [Approval::Free, Approval::Waiting, Approval::Approved];

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Approval::Free => "free",
            Approval::Waiting => "waiting",
            Approval::Approved => "approved",
        }
    }

    /// Reads [`Approval::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Approval::ALL.into_iter().find(|approval| approval.as_str() == text)
    }
}

/// A key that was a device's when it was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedKey {
    /// SHA-256 of the public key as DER.
    pub key: Sha256,
    /// The device still waited for an operator's yes: it never was one of the fleet.
    pub was_pending: bool,
}

/// Where a device's identity stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// May do everything a device does.
    Active,
    /// Failed too often: checks in and reports, is offered nothing. Or it was away for too long and
    /// waits for an operator's yes to a new certificate.
    Quarantined,
    /// Every call is refused.
    Revoked,
    /// Enrolled, and waits for an operator's yes: checks in and renews, is offered nothing.
    Pending,
    /// Its key is registered, and it has not enrolled yet: there is no certificate that it could show.
    Registered,
}

impl DeviceState {
    /// Every state there is.
    pub const ALL: [DeviceState; 5] = [
        DeviceState::Active,
        DeviceState::Quarantined,
        DeviceState::Revoked,
        DeviceState::Pending,
        DeviceState::Registered,
    ];

    /// As it is stored and filtered by.
    pub fn as_str(self) -> &'static str {
        match self {
            DeviceState::Active => "active",
            DeviceState::Quarantined => "quarantined",
            DeviceState::Revoked => "revoked",
            DeviceState::Pending => "pending",
            DeviceState::Registered => "registered",
        }
    }

    /// Reads [`DeviceState::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        DeviceState::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What a device says of itself. Untrusted: never used for scopes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// The device's own fingerprint of this inventory; 0 before the first one.
    pub digest: u64,
    /// What each component runs.
    pub components: Vec<Component>,
    /// Version of the agent.
    pub agent_version: String,
    /// Changes with every boot.
    pub boot_id: String,
    /// Free text by key.
    pub attributes: BTreeMap<String, String>,
    /// Classes of data the owner allows to leave the device.
    pub consent: Vec<DataClass>,
    /// Release counter below which it never goes.
    pub floor: u64,
    /// Why it installs nothing at the moment: code and sentence.
    pub blocked: Option<Blocked>,
}

/// Why a device installs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Stable code.
    pub code: String,
    /// A sentence.
    pub detail: String,
}

/// What one component runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Its name.
    pub component: String,
    /// Version as the publisher wrote it; empty when never updated by Slipway.
    pub version: String,
    /// Release counter of that version; 0 when unknown.
    pub counter: u64,
    /// SHA-256 of the artifact in the running slot, hex; empty when unknown.
    pub digest: String,
    /// The slot it runs from.
    pub slot: String,
}

/// What consent is given or refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataClass {
    /// Needed to update safely: always on.
    Essential,
    /// How the machine is.
    Diagnostic,
    /// How it is used.
    Usage,
    /// Where it is.
    Location,
}

impl DataClass {
    /// Every class.
    pub const ALL: [DataClass; 4] =
        [DataClass::Essential, DataClass::Diagnostic, DataClass::Usage, DataClass::Location];

    /// Its word, in names and files.
    pub fn as_str(self) -> &'static str {
        match self {
            DataClass::Essential => "essential",
            DataClass::Diagnostic => "diagnostic",
            DataClass::Usage => "usage",
            DataClass::Location => "location",
        }
    }

    /// The class of that word.
    pub fn parse(word: &str) -> Option<Self> {
        DataClass::ALL.into_iter().find(|class| class.as_str() == word)
    }
}

impl Device {
    /// What its system component runs; the first component where there is no system; empty when
    /// it never said.
    pub fn version(&self) -> &str {
        self.running().map_or("", |running| running.version.as_str())
    }

    /// The component that releases are compared with: `system`, or the first there is.
    pub fn running(&self) -> Option<&Component> {
        let components = &self.inventory.components;
        components.iter().find(|c| c.component == SYSTEM).or_else(|| components.first())
    }

    /// Whether it ever got a certificate: one that was only registered has none.
    pub fn has_enrolled(&self) -> bool {
        !self.certificate_serial.is_empty()
    }

    /// Ends the quarantine that failed updates brought. One that waits for an operator's yes to its renewal
    /// goes on waiting: nothing that it does is a yes.
    pub fn end_quarantine(&mut self) {
        if self.state == DeviceState::Quarantined && self.standing.renewal != Approval::Waiting {
            self.state = DeviceState::Active;
            self.quarantined_until = None;
        }
    }

    /// Whether nobody changed its record since it was made.
    pub fn is_as_made(&self) -> bool {
        self.updated_at == self.created_at
    }

    /// Changes whenever the record does.
    pub fn etag(&self) -> String {
        format!("{:x}", self.generation)
    }
}

impl Subject for Device {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        match path {
            "id" => Some(self.id.as_str().into()),
            "product" => Some(self.product.as_str().into()),
            "hardware" => Some(self.hardware.as_str().into()),
            "state" => Some(self.state.as_str().into()),
            "version" => Some(self.version().into()),
            _ => {
                let (map, key) = path.split_once('.')?;
                let value = match map {
                    "labels" => self.labels.get(key)?,
                    "attributes" => self.inventory.attributes.get(key)?,
                    _ => return None,
                };
                Some(value.as_str().into())
            }
        }
    }
}
