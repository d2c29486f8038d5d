//! A new certificate for a device of the fleet, however long ago the old one ended.

use std::{sync::Arc, time::Duration};

use slipway_trust::Sha256;

use super::{Context, Error, Result, device_cache::DeviceEntry, enroll, tally::Tally};
use crate::{
    limits,
    model::{
        device::{Approval, Device, DeviceState},
        id,
        refusal::{Reason, Refusal},
        renewal::{Asked, decide, refused},
        time::Timestamp,
    },
    pki::{Issued, RequestedKey},
    proof::{is_signed, renewal_message},
    store::{
        StoreError, Tx,
        audit::audit_append,
        devices::{device_get, device_get_by_key, device_update},
    },
};

/// Two calls of the same device may meet; the one that loses looks again.
const ROUNDS: usize = 3;

/// What a device asks for.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// Which device.
    pub device_id: String,
    /// PKCS#10, DER.
    pub csr: Vec<u8>,
    /// That it is this device.
    pub proof: Proof,
}

/// How a device shows that it is the one.
#[derive(Clone, Debug)]
pub enum Proof {
    /// By its certificate, which has this key.
    Certificate(Sha256),
    /// By a signature.
    Signature {
        /// The challenge.
        nonce: Vec<u8>,
        /// Over it and the request.
        signature: Vec<u8>,
        /// The public key that signed, DER; empty for the one in the request.
        signer: Vec<u8>,
    },
}

/// How often each device got another certificate lately, by the call that it made.
pub type Renewals = Tally<(Call, String)>;

/// By which call a device gets another certificate. Each is counted by itself: whoever has one signing request
/// of a device can repeat its enrolment, and shall not use up its renewals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// It renews.
    Renew,
    /// It enrols as before.
    Enroll,
}

/// Counts one more of a device that proved who it is, or says when the next one is taken.
pub(super) fn count(
    renewals: &Renewals,
    call: Call,
    device_id: &str,
    now: Timestamp,
) -> std::result::Result<(), Refusal> {
    let what = match call {
        Call::Renew => "renewed its certificate",
        Call::Enroll => "enrolled",
    };
    renewals.count((call, device_id.to_owned()), now).map_err(|pause| {
        Refusal::new(
            Reason::RateLimited,
            format!("{device_id} {what} {} times within the hour", limits::RENEWALS),
            "wait; if the device cannot keep its certificate, look for what is wrong with its disk",
        )
        .retry_after(pause)
    })
}

/// What a device has to sign, or a machine that enrols as one. The answer for a device that is not there is
/// of the same form.
pub async fn challenge(ctx: &Context, device_id: &str) -> Result<(Vec<u8>, Duration)> {
    enroll::check_id(device_id)?;
    let mut tx = ctx.db.read().await?;
    let known = device_get(&mut tx, device_id).await?;
    drop(tx);
    let serial = known.map(|device| device.certificate_serial).unwrap_or_default();
    let nonce = ctx.pki.challenger().challenge(device_id, &serial, ctx.rng.bytes(), ctx.clock.now());
    Ok((nonce, limits::CHALLENGE))
}

/// Issues a certificate to a device that proves who it is.
pub async fn renew(ctx: &Context, asked: &Renewal) -> Result<Issued> {
    if !id::is_device_id(&asked.device_id) {
        return Err(refused("it names no device").into());
    }
    let (wanted, proved) = match &asked.proof {
        Proof::Certificate(key) => (enroll::read_csr(&asked.csr, &asked.device_id)?, *key),
        Proof::Signature { nonce, signature, signer } => {
            let mut tx = ctx.db.read().await?;
            let known = device_get(&mut tx, &asked.device_id).await?;
            drop(tx);
            check_nonce(ctx, nonce, &asked.device_id, known.as_ref())?;
            let wanted = enroll::read_csr(&asked.csr, &asked.device_id)?;
            let signer = if signer.is_empty() { wanted.spki_der() } else { signer.clone() };
            let proved = Sha256::of(&signer);
            let is_its_own = known.is_some_and(|device| is_key_of(&device, &proved));
            // A device names the generation of the authority that it knows.
            let is_for =
                |server: &Sha256| is_signed(&signer, &renewal_message(server, nonce, &asked.csr), signature);
            if !is_its_own || !ctx.pki.server_ids().iter().any(is_for) {
                return Err(refused("the signature is not by a key of this device").into());
            }
            (wanted, proved)
        }
    };
    // Only who proved that he is the device counts against it.
    count(&ctx.renewals, Call::Renew, &asked.device_id, ctx.clock.now())?;
    for _ in 0..ROUNDS {
        match attempt(ctx, asked, &wanted, proved).await {
            Ok(Some(issued)) => {
                ctx.devices.refresh(ctx, &asked.device_id).await?;
                return Ok(issued);
            }
            Ok(None) => {}
            // Another device took the key between the look and the write.
            Err(Error::Store(StoreError::Conflict { .. })) => {
                return Err(enroll::key_taken().into());
            }
            Err(error) => return Err(error),
        }
    }
    let hint = "try again in a moment";
    let message = format!("the record of {} changes faster than it can be written", asked.device_id);
    Err(Refusal::new(Reason::EtagMismatch, message, hint).into())
}

/// The first call with an announced key: from now on it is the device's, and the one before is refused.
/// None when the key is no longer announced.
pub async fn promote(ctx: &Context, device_id: &str, key: &Sha256) -> Result<Option<Arc<DeviceEntry>>> {
    for _ in 0..ROUNDS {
        let now = ctx.clock.now();
        let mut tx = ctx.db.write().await?;
        let Some(mut device) = device_get(&mut tx, device_id).await? else { return Ok(None) };
        if device.standing.next_key == Some(*key) {
            let detail = format!("from key {} to key {key}", device.spki_sha256);
            device.spki_sha256 = *key;
            device.standing.next_key = None;
            let name = format!("devices/{device_id}");
            audit_append(&mut tx, now, &name, "ChangeKey", &name, &detail).await?;
            if !device_update(&mut tx, &mut device, now).await? {
                continue;
            }
            tx.commit().await?;
        } else if device.spki_sha256 != *key {
            return Ok(None);
        }
        ctx.devices.refresh(ctx, device_id).await?;
        return Ok(ctx.devices.get(device_id));
    }
    Ok(None)
}

/// One try; none when somebody else changed the record meanwhile.
async fn attempt(
    ctx: &Context,
    asked: &Renewal,
    wanted: &RequestedKey,
    proved: Sha256,
) -> Result<Option<Issued>> {
    let now = ctx.clock.now();
    let issued = ctx
        .pki
        .issue_device(&asked.device_id, wanted, ctx.rng.bytes(), now)
        .map_err(|error| Error::Internal(crate::chain::chain(&error)))?;
    let mut tx = ctx.db.write().await?;
    let Some(mut device) = device_get(&mut tx, &asked.device_id).await? else {
        return Err(refused("there is no such device").into());
    };
    if let Proof::Signature { nonce, .. } = &asked.proof {
        // Once more: another call may have spent it.
        check_nonce(ctx, nonce, &device.id, Some(&device))?;
    }
    let name = format!("devices/{}", device.id);
    let question = Asked { proved, wanted: wanted.spki_sha256 };
    let keys = match decide(&device, &question, ctx.renew_after_expiry, now) {
        Ok(keys) => keys,
        Err(refusal) if refusal.reason == Reason::RenewalNeedsApproval => {
            if !wait_for_yes(&mut tx, &mut device, &refusal, now).await? {
                return Ok(None);
            }
            tx.commit().await?;
            ctx.devices.refresh(ctx, &device.id).await?;
            return Err(refusal.into());
        }
        Err(refusal) => return Err(refusal.into()),
    };
    check_free(&mut tx, &device, &wanted.spki_sha256).await?;
    let detail = detail(&device, asked, &issued, keys.next.as_ref(), now);
    device.spki_sha256 = keys.current;
    device.standing.next_key = keys.next;
    device.standing.renewal = Approval::Free;
    device.certificate_serial.clone_from(&issued.serial);
    device.certificate_not_after = issued.not_after;
    audit_append(&mut tx, now, &name, "Renew", &name, &detail).await?;
    if !device_update(&mut tx, &mut device, now).await? {
        return Ok(None);
    }
    tx.commit().await?;
    Ok(Some(issued))
}

/// From now on the device waits for an operator's yes, if it does not already. False when somebody else changed
/// the record meanwhile.
pub(super) async fn wait_for_yes(
    tx: &mut Tx,
    device: &mut Device,
    refusal: &Refusal,
    now: Timestamp,
) -> Result<bool> {
    if device.standing.renewal == Approval::Waiting {
        return Ok(true);
    }
    device.standing.renewal = Approval::Waiting;
    // One that was never approved goes on waiting for that.
    if device.state != DeviceState::Pending {
        device.state = DeviceState::Quarantined;
    }
    device.quarantined_until = None;
    let name = format!("devices/{}", device.id);
    audit_append(tx, now, &name, "AskRenewal", &name, &refusal.message).await?;
    Ok(device_update(tx, device, now).await?)
}

/// What the audit log has beside who and when.
fn detail(
    device: &Device,
    asked: &Renewal,
    issued: &Issued,
    next: Option<&Sha256>,
    now: Timestamp,
) -> String {
    let how = match asked.proof {
        Proof::Certificate(_) => "by its certificate",
        Proof::Signature { .. } => "by a signature",
    };
    let late = now.since(device.certificate_not_after).as_secs() / 86_400;
    let late = if late > 0 { format!(", {late} days after its end") } else { String::new() };
    let key = next.map(|key| format!(", announces key {key}")).unwrap_or_default();
    format!("{how}{late}: serial {}{key}", issued.serial)
}

/// Whether the challenge is for that device, and was not spent since it was given out.
pub(super) fn is_open(ctx: &Context, nonce: &[u8], device_id: &str, known: Option<&Device>) -> bool {
    let serial = known.map_or("", |device| device.certificate_serial.as_str());
    ctx.pki.challenger().is_good(nonce, device_id, serial, ctx.clock.now())
}

fn check_nonce(
    ctx: &Context,
    nonce: &[u8],
    device_id: &str,
    known: Option<&Device>,
) -> std::result::Result<(), Refusal> {
    if is_open(ctx, nonce, device_id, known) {
        return Ok(());
    }
    Err(refused("the challenge is not one of this server for this device, or it is spent or too old"))
}

fn is_key_of(device: &Device, key: &Sha256) -> bool {
    device.spki_sha256 == *key || device.standing.next_key == Some(*key)
}

/// A key is one device's, whether it is used or announced.
async fn check_free(tx: &mut Tx, device: &Device, key: &Sha256) -> Result<()> {
    match device_get_by_key(tx, key).await? {
        Some(other) if other.id != device.id => Err(enroll::key_taken().into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "renew_tests.rs"]
mod tests;
