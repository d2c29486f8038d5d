//! Machines that are known by their keys before they enrol.

use std::collections::BTreeSet;

use super::{
    Context, Result,
    claims::{check_hardware_name, check_product_name},
    enroll,
};
use crate::{
    model::{
        device::{Device, DeviceState, Inventory, Standing},
        enrolment::{MAX_REGISTRATIONS, Registration},
        label,
        refusal::{Reason, Refusal},
        time::Timestamp,
    },
    store::{
        StoreError, Tx,
        audit::audit_append,
        devices::{device_get, device_get_by_key, device_insert},
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
}

/// Registers all of them, or none. With `validate_only` everything is checked and nothing is written.
pub async fn import(
    ctx: &Context,
    actor: &str,
    registrations: &[Registration],
    validate_only: bool,
) -> Result<Imported> {
    check(registrations)?;
    if validate_only {
        let mut tx = ctx.db.read().await?;
        return Ok(compare(&mut tx, registrations).await?.0);
    }
    for _ in 0..ROUNDS {
        let now = ctx.clock.now();
        let mut tx = ctx.db.write().await?;
        let (imported, new) = compare(&mut tx, registrations).await?;
        let (Some(first), Some(last)) = (new.first(), new.last()) else { return Ok(imported) };
        let detail = format!("{} registered, {} to {}", new.len(), first.device_id, last.device_id);
        // Before the rows: whoever changes devices takes these locks in this order.
        audit_append(&mut tx, now, actor, "ImportDevices", "devices/-", &detail).await?;
        match insert(&mut tx, &new, now).await {
            Ok(()) => {}
            Err(StoreError::Conflict { .. }) => continue,
            Err(error) => return Err(error.into()),
        }
        tx.commit().await?;
        for registration in new {
            ctx.devices.refresh(ctx, &registration.device_id).await?;
        }
        return Ok(imported);
    }
    let message = "other calls register the same machines at the same time";
    Err(Refusal::new(Reason::EtagMismatch, message, "try again in a moment").into())
}

async fn insert(tx: &mut Tx, new: &[&Registration], now: Timestamp) -> std::result::Result<(), StoreError> {
    for registration in new {
        device_insert(tx, &device(registration, now)).await?;
    }
    Ok(())
}

/// Which of them are new; refused when one is in the way of a device that is there.
async fn compare<'a>(
    tx: &mut Tx,
    registrations: &'a [Registration],
) -> Result<(Imported, Vec<&'a Registration>)> {
    let (mut imported, mut new) = (Imported::default(), Vec::new());
    for (index, registration) in registrations.iter().enumerate() {
        let taken = |what: String| {
            let hint = "correct the line; nothing was registered. slipway device show says what is there";
            Refusal::new(Reason::DeviceExists, what, hint).field(format!("registrations[{index}]"))
        };
        match device_get(tx, &registration.device_id).await? {
            Some(known) if registration.is(&known) => imported.unchanged += 1,
            Some(known) => {
                let what = difference(registration, &known);
                return Err(taken(format!("there is a device {} with another {what}", known.id)).into());
            }
            None => {
                if let Some(other) = device_get_by_key(tx, &registration.key).await? {
                    let what = format!("the key of {} is that of {}", registration.device_id, other.id);
                    return Err(taken(what).into());
                }
                imported.created += 1;
                new.push(registration);
            }
        }
    }
    Ok((imported, new))
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
