//! The rights by which machines become devices, beside claims: keys that were registered before, and
//! manufacturers' certificates.

use slipway_trust::Sha256;

use super::{
    device::{Device, DeviceState},
    label::Labels,
    refusal::{Reason, Refusal},
    text::quoted,
    time::Timestamp,
};

/// Most registrations in one request: with their keys they are a third of the largest message.
pub const MAX_REGISTRATIONS: usize = 1000;
/// Most authorities: at an enrolment by a manufacturer's certificate each of them may be tried.
pub const MAX_AUTHORITIES: usize = 100;

/// A machine that is to be a device, known by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its id.
    pub device_id: String,
    /// SHA-256 of its public key as DER.
    pub key: Sha256,
    /// The product it will belong to.
    pub product: String,
    /// Its hardware model.
    pub hardware: String,
    /// Labels it starts with.
    pub labels: Labels,
}

impl Registration {
    /// The right by which it will be a device.
    pub fn right(&self) -> String {
        by_key(&self.key)
    }

    /// Whether `device` is this machine, registered or enrolled since. Its key may have been renewed.
    pub fn is(&self, device: &Device) -> bool {
        let same_key = device.spki_sha256 == self.key || device.enrolled_by == self.right();
        same_key
            && device.id == self.device_id
            && device.product == self.product
            && device.hardware == self.hardware
    }
}

/// The right of a registered key, as records name it.
pub fn by_key(key: &Sha256) -> String {
    format!("keys/{key}")
}

/// A manufacturer's authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its id.
    pub id: String,
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// The product its machines will belong to.
    pub product: String,
    /// Hardware models that may enrol; empty means any.
    pub hardware: Vec<String>,
    /// Labels its devices start with.
    pub labels: Labels,
    /// Whether its devices wait for an operator's yes.
    pub approve: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}

impl Authority {
    /// Whether a machine of this hardware may enrol.
    pub fn admits(&self, hardware: &str) -> Result<(), Refusal> {
        if self.hardware.is_empty() {
            if slipway_trust::plain_name(hardware) {
                return Ok(());
            }
            let message = format!("{} cannot be the name of a hardware model", quoted(hardware));
            return Err(Refusal::new(Reason::HardwareUnknown, message, "check --hardware").field("hardware"));
        }
        if self.hardware.iter().any(|model| model == hardware) {
            return Ok(());
        }
        Err(other_hardware(&format!("the authority {}", self.id), &self.hardware.join(", "), hardware))
    }

    /// Whether it is the same but for who made it and when.
    pub fn is_same(&self, other: &Authority) -> bool {
        let other =
            Authority { created_at: self.created_at, created_by: self.created_by.clone(), ..other.clone() };
        *self == other
    }
}

/// What a new device starts with, by whichever right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The right, as the record of the device names it.
    pub by: String,
    /// The product.
    pub product: String,
    /// Labels.
    pub labels: Labels,
    /// Whether it waits for an operator's yes.
    pub approve: bool,
}

impl Grant {
    /// The state it starts in.
    pub fn state(&self) -> DeviceState {
        if self.approve { DeviceState::Pending } else { DeviceState::Active }
    }
}

/// Refuses a machine that expects to belong to another product; one that expects nothing is content.
pub fn check_product(expected: &str, is: &str) -> Result<(), Refusal> {
    if expected.is_empty() || expected == is {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::ProductMismatch,
        format!("the machine expects to be of product {}, and is registered for {is}", quoted(expected)),
        format!("give it a claim file for product {is}; nothing was spent"),
    )
    .field("product"))
}

/// The refusal for hardware that `what` is not for.
pub fn other_hardware(what: &str, wanted: &str, hardware: &str) -> Refusal {
    Refusal::new(
        Reason::HardwareUnknown,
        format!("{what} is for {wanted}, not for {}", quoted(hardware)),
        "check --hardware, or ask for one that names this hardware model",
    )
    .field("hardware")
}

/// Whether an operator's yes to the device changes anything. Refused for a device that it cannot help.
pub fn needs_approval(device: &Device) -> Result<bool, Refusal> {
    let refuse = |what: &str, hint: &str| {
        let message = format!("{} {what}", device.id);
        Err(Refusal::new(Reason::DeviceStateRefused, message, hint).field("name"))
    };
    match device.state {
        DeviceState::Pending => Ok(true),
        DeviceState::Active | DeviceState::Quarantined => Ok(false),
        DeviceState::Revoked => {
            refuse("is revoked", "a revoked device does not come back; enrol it under a new key and a new id")
        }
        DeviceState::Registered => refuse(
            "is registered and has not enrolled yet",
            "it needs no approval: it is let in when it enrols with its registered key",
        ),
    }
}
