//! Machines that are known by their keys before they enrol.

use std::collections::BTreeSet;

use super::{
    Context, Result,
    claims::{check_hardware_name, check_product_name},
    enroll,
};
use crate::{
    model::{
        device::{Device, DeviceState, Inventory, RevokedKey, Standing},
        enrolment::{MAX_REGISTRATIONS, Registration},
        label,
        refusal::{Reason, Refusal},
        time::Timestamp,
    },
    store::{
        StoreError, Tx,
        audit::audit_append,
        devices::{device_get, device_get_by_key, device_insert, device_register_again},
        revoked_keys::revoked_keys,
    },
};

/// Another call may register the same machines at the same time; the one that loses looks again.
const ROUNDS: usize = 3;

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Machines that were not known before.
    pub created: u32,
    /// Devices that are there already.
    pub unchanged: u32,
    /// Devices that have not enrolled, and of which something was wrong.
    pub corrected: u32,
    /// How many of `unchanged` are revoked.
    pub revoked: u32,
}

/// What one registration asks to be written.
#[derive(Debug)]
enum Change {
    /// A device that is not there.
    New(Device),
    /// One that is there, and is registered with another product, hardware or labels; with what was wrong.
    Correct(Device, String),
    /// One that was revoked before it was of the fleet, and is registered anew with another key.
    Anew(Device),
}

impl Change {
    fn device(&self) -> &Device {
        let (Change::New(device) | Change::Correct(device, _) | Change::Anew(device)) = self;
        device
    }
}

/// Registers or corrects all of them, or none. With `validate_only` everything is checked and nothing is written.
pub async fn import(
    ctx: &Context,
    actor: &str,
    registrations: &[Registration],
    validate_only: bool,
) -> Result<Imported> {
    check(registrations)?;
    if validate_only {
        let mut tx = ctx.db.read().await?;
        return Ok(compare(&mut tx, registrations, ctx.clock.now()).await?.0);
    }
    for _ in 0..ROUNDS {
        let now = ctx.clock.now();
        let mut tx = ctx.db.write().await?;
        let (imported, mut changes) = compare(&mut tx, registrations, now).await?;
        if changes.is_empty() {
            return Ok(imported);
        }
        // Before the rows: whoever changes devices takes these locks in this order.
        append(&mut tx, actor, &changes, now).await?;
        match write(&mut tx, &mut changes, now).await {
            Ok(true) => {}
            Ok(false) | Err(StoreError::Conflict { .. }) => continue,
            Err(error) => return Err(error.into()),
        }
        tx.commit().await?;
        for change in changes {
            ctx.devices.refresh(ctx, &change.device().id).await?;
        }
        return Ok(imported);
    }
    let message = "other calls register the same machines at the same time";
    Err(Refusal::new(Reason::EtagMismatch, message, "try again in a moment").into())
}

/// Each device that was there gets an entry of its own, those that were not have one together.
async fn append(tx: &mut Tx, actor: &str, changes: &[Change], now: Timestamp) -> Result<()> {
    let new = || changes.iter().filter(|change| matches!(change, Change::New(_))).map(Change::device);
    if let (Some(first), Some(last)) = (new().next(), new().next_back()) {
        let detail = format!("{} registered, {} to {}", new().count(), first.id, last.id);
        audit_append(tx, now, actor, "ImportDevices", "devices/-", &detail).await?;
    }
    for change in changes {
        let detail = match change {
            Change::New(_) => continue,
            Change::Correct(_, what) => format!("corrected: {what}"),
            Change::Anew(device) => format!(
                "registered anew: key {}, product {}, hardware {}",
                device.spki_sha256, device.product, device.hardware
            ),
        };
        let name = format!("devices/{}", change.device().id);
        audit_append(tx, now, actor, "ImportDevices", &name, &detail).await?;
    }
    Ok(())
}

/// False when another call was faster.
async fn write(tx: &mut Tx, changes: &mut [Change], now: Timestamp) -> std::result::Result<bool, StoreError> {
    for change in changes {
        match change {
            Change::New(device) => device_insert(tx, device).await?,
            Change::Correct(device, _) | Change::Anew(device) => {
                if !device_register_again(tx, device, now).await? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// What is to be written for them; refused when one is in the way of a device that is there.
async fn compare(
    tx: &mut Tx,
    registrations: &[Registration],
    now: Timestamp,
) -> Result<(Imported, Vec<Change>)> {
    let (mut imported, mut changes) = (Imported::default(), Vec::new());
    for (index, registration) in registrations.iter().enumerate() {
        let refused = |refusal: Refusal| refusal.field(format!("registrations[{index}]"));
        let known = device_get(tx, &registration.device_id).await?;
        let is_revoked = known.as_ref().is_some_and(|known| known.state == DeviceState::Revoked);
        let revoked = match &known {
            Some(known) => revoked_keys(tx, &known.id).await?,
            None => Vec::new(),
        };
        let Some(change) = change(registration, known, &revoked, now).map_err(refused)? else {
            imported.unchanged += 1;
            imported.revoked += u32::from(is_revoked);
            continue;
        };
        match &change {
            Change::New(_) | Change::Anew(_) => imported.created += 1,
            Change::Correct(..) => imported.corrected += 1,
        }
        let holder = device_get_by_key(tx, &registration.key).await?;
        if let Some(other) = holder.filter(|other| other.id != registration.device_id) {
            let message = format!("the key of {} is that of {}", registration.device_id, other.id);
            let hint = "correct the line, or give this machine a key of its own: remove its state directory";
            return Err(refused(taken(message, hint)).into());
        }
        changes.push(change);
    }
    Ok((imported, changes))
}

/// What one of them means for the device of its id, of which these keys were `revoked`; none when there is
/// nothing to do.
fn change(
    registration: &Registration,
    known: Option<Device>,
    revoked: &[RevokedKey],
    now: Timestamp,
) -> std::result::Result<Option<Change>, Refusal> {
    let Some(known) = known else { return Ok(Some(Change::New(device(registration, now)))) };
    let id = &known.id;
    if known.state == DeviceState::Registered && known.spki_sha256 == registration.key {
        return Ok(correct(registration, known, now));
    }
    // A line sends its files again and again, old ones too: that takes no revoke back, and is not refused for
    // one.
    let is_revoked = known.state == DeviceState::Revoked;
    let was_of_the_fleet = known.has_enrolled()
        && !revoked.iter().any(|revoked| revoked.key == known.spki_sha256 && revoked.was_pending);
    let is_revoked_key = revoked.iter().any(|revoked| revoked.key == registration.key);
    if registration.is(&known) || (is_revoked && is_revoked_key && !was_of_the_fleet) {
        return Ok(None);
    }
    if is_revoked && !was_of_the_fleet {
        let generation = known.generation;
        return Ok(Some(Change::Anew(Device { generation, ..device(registration, now) })));
    }
    if is_revoked {
        let message = format!("the device {id} had enrolled, and is revoked");
        let hint = "a revoked device does not come back: give the machine a new key and a new id";
        return Err(taken(message, hint));
    }
    if known.has_enrolled() {
        let what = difference(registration, &known);
        let message = format!("there is a device {id} with another {what}, and it has enrolled");
        let hint = "an import does not change a device that has enrolled: correct the line, or revoke the \
                    device and register the machine with a new key and a new id";
        return Err(taken(message, hint));
    }
    if is_revoked_key {
        let message = format!("the key of {id} was revoked, and it has another one");
        let hint = "a revoked key does not come back: correct the line, or give the machine a new key";
        return Err(taken(message, hint));
    }
    let message = format!("there is a device {id} with another key");
    let hint = format!("correct the line; if it is right, slipway device revoke {id} and import it again");
    Err(taken(message, &hint))
}

/// The device as the line has it. Labels that somebody changed since it was registered stay.
fn correct(registration: &Registration, known: Device, now: Timestamp) -> Option<Change> {
    let mut device = known.clone();
    device.product.clone_from(&registration.product);
    device.hardware.clone_from(&registration.hardware);
    if known.is_as_made() {
        device.labels.clone_from(&registration.labels);
    }
    if device == known {
        return None;
    }
    if known.is_as_made() {
        // It stays one whose labels are those of the file.
        device.created_at = now;
    }
    let pairs =
        [("product", &device.product, &known.product), ("hardware", &device.hardware, &known.hardware)];
    let mut what: Vec<_> = pairs
        .into_iter()
        .filter(|(_, is, was)| is != was)
        .map(|(field, is, was)| format!("{field} {is} instead of {was}"))
        .collect();
    if device.labels != known.labels {
        what.push(format!("labels {:?} instead of {:?}", device.labels, known.labels));
    }
    Some(Change::Correct(device, what.join(", ")))
}

fn taken(message: String, hint: &str) -> Refusal {
    Refusal::new(Reason::DeviceExists, message, format!("{hint}; nothing was registered"))
}

fn difference(registration: &Registration, known: &Device) -> &'static str {
    if registration.product != known.product {
        "product"
    } else if registration.hardware != known.hardware {
        "hardware model"
    } else {
        "key"
    }
}

fn check(registrations: &[Registration]) -> std::result::Result<(), Refusal> {
    let invalid = |field: String, message: String, hint: &str| {
        Err(Refusal::new(Reason::RegistrationInvalid, message, hint).field(field))
    };
    if !(1..=MAX_REGISTRATIONS).contains(&registrations.len()) {
        let message = format!("{} registrations at once are not possible", registrations.len());
        return invalid("registrations".to_owned(), message, "send 1 to 1,000 in a request");
    }
    let (mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for (index, one) in registrations.iter().enumerate() {
        let field = |name: &str| format!("registrations[{index}].{name}");
        if let Err(refusal) = enroll::check_id(&one.device_id) {
            return invalid(field("device_id"), refusal.message, &refusal.hint);
        }
        if let Err((message, hint)) = check_product_name(&one.product) {
            return invalid(field("product"), message, hint);
        }
        if let Err((message, hint)) = check_hardware_name(&one.hardware) {
            return invalid(field("hardware"), message, hint);
        }
        label::check(&one.labels, &field("labels"))?;
        if !ids.insert(&one.device_id) {
            let message = format!("the device {} is registered twice", one.device_id);
            return invalid(field("device_id"), message, "give every machine an id of its own");
        }
        if !keys.insert(one.key) {
            let message = format!("the key of {} is another machine's too", one.device_id);
            return invalid(field("key"), message, "give every machine a key of its own");
        }
    }
    Ok(())
}

fn device(registration: &Registration, now: Timestamp) -> Device {
    Device {
        id: registration.device_id.clone(),
        product: registration.product.clone(),
        hardware: registration.hardware.clone(),
        state: DeviceState::Registered,
        spki_sha256: registration.key,
        standing: Standing::default(),
        certificate_serial: String::new(),
        certificate_not_after: now,
        enrolled_by: registration.right(),
        labels: registration.labels.clone(),
        inventory: Inventory::default(),
        have: slipway_trust::Versions::default(),
        failures: 0,
        quarantined_until: None,
        created_at: now,
        updated_at: now,
        generation: 1,
    }
}
