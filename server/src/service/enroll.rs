//! A claim and a signing request become a device with a certificate.

use std::{collections::BTreeMap, time::Duration};

use super::{Context, Error, Result};
use crate::{
    limits,
    model::{
        claim::Claim,
        device::{Device, DeviceState, Inventory, Standing},
        id,
        refusal::{Reason, Refusal},
        renewal::{Asked, decide},
        text::quoted,
        time::Timestamp,
        token,
    },
    pki::{Issued, RequestedKey, read_request},
    store::{
        StoreError, Tx,
        audit::audit_append,
        claims::{claim_get, claim_spend},
        devices::{device_get, device_get_by_key, device_insert, device_update},
    },
};

/// Two calls of the same device may meet; the one that loses looks again and finds itself enrolled.
const ROUNDS: usize = 3;
/// A new device checks in within this time; the spread keeps a production line from coming at once.
const FIRST_CHECK_IN: Duration = Duration::from_secs(2);

/// What a device sends.
#[derive(Clone, Debug)]
pub struct Enrollment {
    /// The claim's text.
    pub claim: String,
    /// The id it wants.
    pub device_id: String,
    /// PKCS#10, DER.
    pub csr: Vec<u8>,
    /// Its hardware model.
    pub hardware: String,
    /// What it says of itself.
    pub attributes: BTreeMap<String, String>,
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

/// Enrols a device. The same key, id and claim again give a certificate again and spend nothing.
pub async fn enroll(ctx: &Context, asked: &Enrollment) -> Result<Enrolled> {
    // A stranger learns nothing, and costs neither a signature nor the writer's turn.
    let mut tx = ctx.db.read().await?;
    find_claim(&mut tx, &asked.claim).await?;
    drop(tx);
    let key = check(asked)?;
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
            .issue_device(&asked.device_id, &key, ctx.rng.bytes(), now)
            .map_err(|error| Error::Internal(crate::chain::chain(&error)))?;
        let mut tx = ctx.db.write().await?;
        let device = match admit(ctx, &mut tx, asked, &key, &certificate, now).await {
            Ok(Some(device)) => device,
            Ok(None) | Err(Error::Store(StoreError::Conflict { .. })) => continue,
            Err(error) => return Err(error),
        };
        tx.commit().await?;
        ctx.devices.refresh(ctx, &device.id).await?;
        let next_check_in = FIRST_CHECK_IN.mul_f64(ctx.rng.unit());
        return Ok(Enrolled { device, certificate, next_check_in });
    }
    // Whoever wins every round has this id or this key by now.
    Err(exists(&asked.device_id).into())
}

/// The device's row, new or as it is; none when another call changed it meanwhile.
async fn admit(
    ctx: &Context,
    tx: &mut Tx,
    asked: &Enrollment,
    key: &RequestedKey,
    certificate: &Issued,
    now: Timestamp,
) -> Result<Option<Device>> {
    let claim = find_claim(tx, &asked.claim).await?;
    if let Some(mut device) = device_get(tx, &asked.device_id).await? {
        if device.spki_sha256 != key.spki_sha256 || device.claim_id != claim.id {
            return Err(exists(&asked.device_id).into());
        }
        // No way around what a renewal would be refused for.
        let question = Asked { proved: key.spki_sha256, wanted: key.spki_sha256 };
        decide(&device, &question, ctx.renew_after_expiry, now)?;
        device.certificate_serial.clone_from(&certificate.serial);
        device.certificate_not_after = certificate.not_after;
        return Ok(device_update(tx, &mut device, now).await?.then_some(device));
    }
    if device_get_by_key(tx, &key.spki_sha256).await?.is_some() {
        return Err(exists(&asked.device_id).into());
    }
    claim.admits(&asked.device_id, &asked.hardware, now)?;
    claim.check_uses()?;
    if !claim_spend(tx, &claim.id, now).await? {
        return Err(Claim { used: claim.uses, ..claim }.check_uses().err().map_or_else(
            || Error::Internal("a claim with uses left could not be spent".to_owned()),
            Error::from,
        ));
    }
    let device = Device {
        id: asked.device_id.clone(),
        product: claim.product,
        hardware: asked.hardware.clone(),
        state: DeviceState::Active,
        spki_sha256: key.spki_sha256,
        standing: Standing::default(),
        certificate_serial: certificate.serial.clone(),
        certificate_not_after: certificate.not_after,
        claim_id: claim.id,
        labels: claim.labels,
        inventory: Inventory { attributes: asked.attributes.clone(), ..Inventory::default() },
        have: slipway_trust::Versions::default(),
        failures: 0,
        quarantined_until: None,
        created_at: now,
        updated_at: now,
        generation: 1,
    };
    // Before the row: whoever changes a device takes these locks in this order.
    let actor = format!("claims/{}", device.claim_id);
    let detail = format!("key {}", device.spki_sha256);
    audit_append(tx, now, &actor, "Enroll", &format!("devices/{}", device.id), &detail).await?;
    device_insert(tx, &device).await.map_err(|error| match error {
        // The id is free, so the key is not, or somebody took the id just now: look again.
        StoreError::Conflict { .. } => Error::Store(error),
        other => Error::from(other),
    })?;
    Ok(Some(device))
}

async fn find_claim(tx: &mut Tx, text: &str) -> Result<Claim> {
    let unknown = || {
        Refusal::new(
            Reason::ClaimUnknown,
            "the server does not know this claim",
            "check that the claim file was copied whole and is for this server; ask for a new one: \
             slipway claim create",
        )
        .field("claim_token")
    };
    let (id, secret) = token::read_claim(text.trim()).ok_or_else(unknown)?;
    let claim = claim_get(tx, id).await?.ok_or_else(unknown)?;
    if token::same(&claim.secret_sha256, &secret) { Ok(claim) } else { Err(unknown().into()) }
}

fn check(asked: &Enrollment) -> std::result::Result<RequestedKey, Refusal> {
    check_id(&asked.device_id)?;
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

/// The refusal for an id or a key that is taken.
pub(super) fn exists(device_id: &str) -> Refusal {
    Refusal::new(
        Reason::DeviceExists,
        format!("there is a device {device_id} with another key or claim, or another device with this key"),
        "choose another --device-id; to enrol this machine anew, remove its state directory and use a new id",
    )
    .field("device_id")
}

#[cfg(test)]
#[path = "enroll_tests.rs"]
mod tests;
