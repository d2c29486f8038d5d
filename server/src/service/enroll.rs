//! A right and a signing request become a device with a certificate.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{
    Context, Error, Result,
    enroll_rights::{self, Identified},
    renew::{self, Call},
    tally::Tally,
};
use crate::{
    limits,
    model::{
        device::{Approval, Device, DeviceState, Inventory, Standing},
        enrolment::{Grant, check_product, other_hardware},
        id,
        refusal::{Reason, Refusal},
        renewal::{Asked, decide},
        text::quoted,
        time::Timestamp,
    },
    pki::{Issued, RequestedKey, read_request},
    store::{
        StoreError, Tx,
        audit::audit_append,
        devices::{device_get, device_get_by_key, device_insert, device_update},
    },
};

/// Two calls of the same device may meet; the one that loses looks again and finds itself enrolled.
const ROUNDS: usize = 3;
/// A new device checks in within this time; the spread keeps a production line from coming at once.
const FIRST_CHECK_IN: Duration = Duration::from_secs(2);

/// From which networks claims came lately that nobody made.
pub type Guesses = Tally<IpAddr>;

/// What a device sends.
#[derive(Clone, Debug)]
pub struct Enrollment {
    /// Why it may.
    pub right: Right,
    /// The id it wants; may be empty where the right says it.
    pub device_id: String,
    /// PKCS#10, DER.
    pub csr: Vec<u8>,
    /// Its hardware model.
    pub hardware: String,
    /// The product it expects to belong to; empty for any.
    pub product: String,
    /// What it says of itself.
    pub attributes: BTreeMap<String, String>,
}

/// By what right a machine asks to be a device.
#[derive(Clone, Debug)]
pub enum Right {
    /// Its key is registered.
    Key,
    /// It has the text of a claim.
    Claim(String),
    /// It has a manufacturer's certificate.
    Manufacturer(Shown),
}

/// A manufacturer's certificate, and that its key is there.
#[derive(Clone, Debug)]
pub struct Shown {
    /// DER, the machine's first.
    pub chain: Vec<Vec<u8>>,
    /// The challenge.
    pub nonce: Vec<u8>,
    /// Over it and the request.
    pub signature: Vec<u8>,
}

/// What it gets.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// The device.
    pub device: Device,
    /// Its certificate.
    pub certificate: Issued,
    /// When to check in first.
    pub next_check_in: Duration,
}

/// Enrols a device that calls from `from`, an address or the network of one. The same key, id and right
/// again give a certificate again and spend nothing.
pub async fn enroll(ctx: &Context, asked: &Enrollment, from: IpAddr) -> Result<Enrolled> {
    let who = enroll_rights::identify(ctx, asked, from).await?;
    if ctx.trust.newest_root(&ctx.db).await?.is_none() {
        return Err(Refusal::new(
            Reason::TrustNotInitialized,
            "this server has no root of trust yet, and a device would have nothing to pin",
            "run slipway trust init, then make a new claim",
        )
        .into());
    }
    for _ in 0..ROUNDS {
        let now = ctx.clock.now();
        let certificate = ctx
            .pki
            .issue_device(&who.id, &who.key, ctx.rng.bytes(), now)
            .map_err(|error| Error::Internal(crate::chain::chain(&error)))?;
        let mut tx = ctx.db.write().await?;
        let (device, refusal) = match admit(ctx, &mut tx, asked, &who, &certificate, now).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) | Err(Error::Store(StoreError::Conflict { .. })) => continue,
            Err(error) => return Err(error),
        };
        tx.commit().await?;
        ctx.devices.refresh(ctx, &device.id).await?;
        if let Some(refusal) = refusal {
            return Err(refusal.into());
        }
        let next_check_in = FIRST_CHECK_IN.mul_f64(ctx.rng.unit());
        return Ok(Enrolled { device, certificate, next_check_in });
    }
    // Whoever wins every round has this id or this key by now.
    let message = "other calls take this id or this key at the same time".to_owned();
    Err(exists(message, "try again in a moment").into())
}

/// A device's row to be committed, and the refusal that its caller hears all the same.
type Outcome = (Device, Option<Refusal>);

/// The device's row, new or as it is; none when another call changed it meanwhile.
async fn admit(
    ctx: &Context,
    tx: &mut Tx,
    asked: &Enrollment,
    who: &Identified,
    certificate: &Issued,
    now: Timestamp,
) -> Result<Option<Outcome>> {
    let known = device_get(tx, &who.id).await?;
    // As the transaction sees it: it may be spent or removed by now.
    let right = enroll_rights::right(ctx, tx, asked, who, known.as_ref()).await?;
    if let Some(device) = known {
        if device.spki_sha256 != who.key.spki_sha256 {
            let message = format!("there is a device {} with another key", who.id);
            return Err(
                exists(message, "choose another --device-id; if it is this machine, remove its state directory and use a new id").into()
            );
        }
        check_product(&asked.product, &device.product)?;
        return match device.state {
            DeviceState::Registered => let_in(tx, device, asked, certificate, now).await,
            _ if device.enrolled_by != right.name() => Err(exists(
                format!("the device {} enrolled by another right", who.id),
                "use what it enrolled with; to enrol this machine anew, remove its state directory and use a new id",
            )
            .into()),
            _ => issue_again(ctx, tx, device, certificate, now).await,
        };
    }
    if device_get_by_key(tx, &who.key.spki_sha256).await?.is_some() {
        return Err(key_taken().into());
    }
    let grant = right.spend(tx, asked, who, now).await?;
    let device = new_device(asked, who, grant, certificate, now);
    // Before the row: whoever changes a device takes these locks in this order.
    append(tx, &device, now).await?;
    // The id is free; a conflict is the key, or somebody who took the id just now: look again.
    device_insert(tx, &device).await?;
    Ok(Some((device, None)))
}

/// The first certificate of a device that was registered.
async fn let_in(
    tx: &mut Tx,
    mut device: Device,
    asked: &Enrollment,
    certificate: &Issued,
    now: Timestamp,
) -> Result<Option<Outcome>> {
    if asked.hardware != device.hardware {
        return Err(
            other_hardware(&format!("the device {}", device.id), &device.hardware, &asked.hardware).into()
        );
    }
    device.state = DeviceState::Active;
    device.inventory.attributes = asked.attributes.clone();
    device.certificate_serial.clone_from(&certificate.serial);
    device.certificate_not_after = certificate.not_after;
    append(tx, &device, now).await?;
    Ok(device_update(tx, &mut device, now).await?.then_some((device, None)))
}

/// The call was made before: another certificate for the same key, by the rules of a renewal.
async fn issue_again(
    ctx: &Context,
    tx: &mut Tx,
    mut device: Device,
    certificate: &Issued,
    now: Timestamp,
) -> Result<Option<Outcome>> {
    renew::count(&ctx.renewals, Call::Enroll, &device.id, now)?;
    let question = Asked { proved: device.spki_sha256, wanted: device.spki_sha256 };
    match decide(&device, &question, ctx.renew_after_expiry, now) {
        Ok(_) => {}
        Err(refusal) if refusal.reason == Reason::RenewalNeedsApproval => {
            let is_written = renew::wait_for_yes(tx, &mut device, &refusal, now).await?;
            return Ok(is_written.then_some((device, Some(refusal))));
        }
        Err(refusal) => return Err(refusal.into()),
    }
    device.standing.renewal = Approval::Free;
    device.certificate_serial.clone_from(&certificate.serial);
    device.certificate_not_after = certificate.not_after;
    let (name, detail) = (format!("devices/{}", device.id), format!("again: serial {}", certificate.serial));
    audit_append(tx, now, &device.enrolled_by, "Enroll", &name, &detail).await?;
    Ok(device_update(tx, &mut device, now).await?.then_some((device, None)))
}

fn new_device(
    asked: &Enrollment,
    who: &Identified,
    grant: Grant,
    certificate: &Issued,
    now: Timestamp,
) -> Device {
    Device {
        id: who.id.clone(),
        state: grant.state(),
        product: grant.product,
        hardware: asked.hardware.clone(),
        spki_sha256: who.key.spki_sha256,
        standing: Standing::default(),
        certificate_serial: certificate.serial.clone(),
        certificate_not_after: certificate.not_after,
        enrolled_by: grant.by,
        labels: grant.labels,
        inventory: Inventory { attributes: asked.attributes.clone(), ..Inventory::default() },
        have: slipway_trust::Versions::default(),
        failures: 0,
        quarantined_until: None,
        created_at: now,
        updated_at: now,
        generation: 1,
    }
}

async fn append(tx: &mut Tx, device: &Device, now: Timestamp) -> Result<()> {
    let detail = format!("key {}, {}", device.spki_sha256, device.state.as_str());
    let name = format!("devices/{}", device.id);
    Ok(audit_append(tx, now, &device.enrolled_by, "Enroll", &name, &detail).await?)
}

/// What can be said of a request whatever its right: the key it is for.
pub(super) fn check(asked: &Enrollment) -> std::result::Result<RequestedKey, Refusal> {
    if !asked.device_id.is_empty() || matches!(asked.right, Right::Claim(_)) {
        check_id(&asked.device_id)?;
    }
    let key = read_csr(&asked.csr, &asked.device_id)?;
    let attributes = &asked.attributes;
    let too_long =
        |(key, value): (&String, &String)| key.len() > limits::ATTRIBUTE || value.len() > limits::ATTRIBUTE;
    if attributes.len() > limits::ATTRIBUTES || attributes.iter().any(too_long) {
        return Err(Refusal::new(
            Reason::InventoryTooLarge,
            format!("{} attributes, or one of them, are too much", attributes.len()),
            "send at most 64 attributes with keys and values of at most 256 bytes",
        )
        .field("attributes"));
    }
    Ok(key)
}

/// Whether a device can have this id.
pub(super) fn check_id(device_id: &str) -> std::result::Result<(), Refusal> {
    if id::is_device_id(device_id) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::DeviceIdInvalid,
        format!("{} cannot be the id of a device", quoted(device_id)),
        "use 1 to 63 of a-z, 0-9, '-', '_' and '.', the first a letter or digit",
    )
    .field("device_id"))
}

/// The key of a signing request for that device.
pub(super) fn read_csr(der: &[u8], device_id: &str) -> std::result::Result<RequestedKey, Refusal> {
    let csr = |message: String, hint: &str| Refusal::new(Reason::CsrInvalid, message, hint).field("csr_der");
    if der.len() > limits::CSR {
        let message = format!("a signing request of {} bytes is too long", der.len());
        return Err(csr(message, "send a PKCS#10 request with a P-256 key and nothing else"));
    }
    let key = read_request(der).map_err(|error| {
        csr(
            format!("the signing request cannot be used: {error}"),
            "make a P-256 key on the device and sign the request with it",
        )
    })?;
    if key.common_name != device_id {
        return Err(Refusal::new(
            Reason::CsrForAnotherId,
            format!(
                "the signing request names {}, and the call names {}",
                quoted(&key.common_name),
                quoted(device_id)
            ),
            "use the device id as common name of the request",
        )
        .field("csr_der"));
    }
    Ok(key)
}

/// The refusal for a key that is taken. Who is told has proved that the key is his; which device has it, he
/// may not know.
pub(super) fn key_taken() -> Refusal {
    exists(
        "this key belongs to another device".to_owned(),
        "give the id that this machine enrolled with; to enrol it anew, remove its state directory, with the key \
         in it, and use a new id",
    )
    .field("csr_der")
}

fn exists(message: String, hint: &str) -> Refusal {
    Refusal::new(Reason::DeviceExists, message, hint).field("device_id")
}

#[cfg(test)]
#[path = "enroll_tests.rs"]
mod tests;
