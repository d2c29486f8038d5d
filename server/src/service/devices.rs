//! Devices as operators see and change them.

use std::{borrow::Cow, collections::HashMap, net::IpAddr};

use super::{Context, Result, presence::Contact, token_cache::TokenCaller};
use crate::{
    limits,
    model::{
        alert::Severity,
        condition::{Gravest, Living},
        device::{Approval, Device, DeviceState, RevokedKey},
        enrolment::needs_approval,
        filter::{Field, Filter, Subject},
        label::{self, Labels},
        page::Page,
        refusal::{Reason, Refusal},
        text::shown,
        time::Timestamp,
        token::Role,
    },
    store::{
        Tx,
        audit::audit_append,
        conditions::living_of_devices,
        devices::{device_get, device_update, devices_count, devices_page},
        presence::{presence_between, presence_get},
        revoked_keys::revoked_key_put,
    },
};

/// What devices can be filtered by, with what a rollout may select by.
const FIELDS: &[Field] = &[
    Field::text("id"),
    Field::text("product"),
    Field::text("hardware"),
    Field::words("state", || DeviceState::ALL.map(DeviceState::as_str).to_vec()),
    Field::version("version"),
    Field::text("labels."),
    Field::words("online", || vec!["true", "false"]),
    Field::set("alerts.kind"),
    Field::set("alerts.failure_mode"),
    Field::set_of("alerts.severity", Severity::words),
    Field::set("alerts.component"),
    // The last: what a client is not shown.
    Field::text("attributes."),
];

/// What this caller may filter by: of what it is not shown, a filter would tell it.
pub fn fields(caller: &TokenCaller) -> &'static [Field] {
    match (caller.token.role, FIELDS) {
        (Role::Client, [shown @ .., _]) => shown,
        _ => FIELDS,
    }
}

/// Rows read at once while a filter is applied.
const CHUNK: i64 = 500;
/// A change without an etag is tried again when the device's record changed under it.
const ROUNDS: usize = 5;

/// A device and its last contact.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Its record.
    pub device: Device,
    /// When it called last, if it ever did.
    pub contact: Option<Contact>,
    /// It missed no check-in lately.
    pub is_online: bool,
    /// Its living alerts.
    pub living: Vec<Living>,
}

impl Seen {
    /// What its living alerts come to; none when nothing is wrong.
    pub fn gravest(&self) -> Option<Gravest> {
        Gravest::of(&self.living)
    }
}

/// One page of devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Devices {
    /// In the order of their ids.
    pub devices: Vec<Seen>,
    /// Token of the next page; empty on the last.
    pub next: String,
    /// How many match in all.
    pub total: i64,
}

/// What an operator changes.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelChange {
    /// The whole map.
    All(Labels),
    /// Some keys; none removes one.
    Some(Vec<(String, Option<String>)>),
}

/// One device.
pub async fn get(ctx: &Context, id: &str) -> Result<Seen> {
    let mut tx = ctx.db.read().await?;
    let device = device_get(&mut tx, id).await?.ok_or_else(|| not_found(id))?;
    let written = presence_get(&mut tx, id).await?;
    let living = living_of_devices(&mut tx, &[id]).await?;
    let living = living.into_iter().map(|(_, one)| one).collect();
    Ok(seen(ctx, device, written.as_ref().map(Contact::from), living))
}

/// The devices that the caller may see and that match `filter`, by id.
///
/// With a filter or a scope every device is looked at, for the total: the whole fleet passes through memory
/// in pieces. Else only the page is read.
pub async fn list(ctx: &Context, page: &Page, filter: &Filter, caller: &TokenCaller) -> Result<Devices> {
    let after = page.after.clone().unwrap_or_default();
    // Not whether the scope is empty: one that cannot be read is, and selects nothing.
    if filter.is_empty() && !caller.token.role.has_scope() {
        let mut devices = chunk(ctx, &after, page.probe()).await?;
        let mut tx = ctx.db.read().await?;
        let total = devices_count(&mut tx).await?;
        let next = page.cut(&mut devices, |seen| seen.device.id.clone());
        return Ok(Devices { devices, next, total });
    }
    let (mut devices, mut total, mut from) = (Vec::new(), 0, String::new());
    loop {
        let found = chunk(ctx, &from, CHUNK).await?;
        let Some(last) = found.last() else { break };
        from.clone_from(&last.device.id);
        for seen in found {
            if !caller.may_see(&seen.device) || !filter.matches(&seen) {
                continue;
            }
            total += 1;
            if seen.device.id > after && devices.len() <= page.size {
                devices.push(seen);
            }
        }
    }
    let next = page.cut(&mut devices, |seen| seen.device.id.clone());
    Ok(Devices { devices, next, total })
}

/// Changes labels; `etag`, when not empty, has to be the record's present one.
pub async fn set_labels(
    ctx: &Context,
    actor: &str,
    id: &str,
    change: &LabelChange,
    etag: &str,
) -> Result<Seen> {
    change_record(ctx, actor, id, "UpdateDevice", |device| {
        check_etag(device, etag, "device.etag")?;
        let labels = changed(&device.labels, change);
        label::check(&labels, "device.labels")?;
        if labels == device.labels {
            return Ok(None);
        }
        device.labels = labels;
        Ok(Some(format!("{:?}", device.labels)))
    })
    .await
}

/// Revokes a device's identity; every later call of it is refused.
pub async fn revoke(ctx: &Context, actor: &str, id: &str, reason: &str) -> Result<Seen> {
    let reason: String = reason.chars().take(limits::REASON).collect();
    change_record(ctx, actor, id, "RevokeDevice", |device| {
        if device.state == DeviceState::Revoked {
            return Ok(None);
        }
        device.state = DeviceState::Revoked;
        device.quarantined_until = None;
        Ok(Some(reason.clone()))
    })
    .await
}

/// Marks a device whose key was seen in use at two addresses at once. It goes on being served: which of
/// the two is the right one, an operator has to find out.
pub async fn flag_duplicate(ctx: &Context, id: &str, also_from: IpAddr) -> Result<()> {
    let now = ctx.clock.now();
    let flagged = change_record(ctx, "server", id, "DuplicateIdentity", |device| {
        if device.standing.duplicate_at.is_some() {
            return Ok(None);
        }
        device.standing.duplicate_at = Some(now);
        Ok(Some(format!("still in use from {also_from} after it called from another address")))
    });
    flagged.await?;
    tracing::warn!(device = id, from = %also_from, "the key of a device is in use at two addresses");
    Ok(())
}

/// Takes a device back into good standing: ends its quarantine, says yes to the renewal that it waits
/// for, and drops the mark of a duplicate. One of which there is nothing to say stays as it is; one that has
/// no standing to come back to is refused with `DEVICE_STATE`.
pub async fn clear_quarantine(ctx: &Context, actor: &str, id: &str) -> Result<Seen> {
    change_record(ctx, actor, id, "ClearQuarantine", |device| {
        let mut what = Vec::new();
        if device.standing.duplicate_at.take().is_some() {
            what.push("mark of a duplicate dropped");
        }
        if device.state == DeviceState::Quarantined {
            device.state = DeviceState::Active;
            device.failures = 0;
            device.quarantined_until = None;
            what.push("quarantine ended");
        }
        // Whatever became of its state since it asked.
        if device.state != DeviceState::Revoked && device.standing.renewal == Approval::Waiting {
            device.standing.renewal = Approval::Approved;
            what.push("renewal approved");
        }
        if what.is_empty() {
            check_is_in_the_fleet(device)?;
        }
        Ok((!what.is_empty()).then(|| what.join(", ")))
    })
    .await
}

/// Refuses one that has another word to wait for than the end of a quarantine, or none.
fn check_is_in_the_fleet(device: &Device) -> std::result::Result<(), Refusal> {
    let id = &device.id;
    let (what, hint) = match device.state {
        DeviceState::Active | DeviceState::Quarantined => return Ok(()),
        DeviceState::Pending => (
            "waits for an operator's yes, not for the end of a quarantine",
            format!("slipway device approve {id}"),
        ),
        DeviceState::Registered => (
            "is registered and has not enrolled yet: it has no quarantine",
            "it is let in when it enrols with its registered key".to_owned(),
        ),
        DeviceState::Revoked => (
            "is revoked",
            "a revoked device does not come back; enrol it under a new key and a new id".to_owned(),
        ),
    };
    Err(Refusal::new(Reason::DeviceStateRefused, format!("{id} {what}"), hint).field("name"))
}

/// Says yes to a device that enrolled pending; `etag`, when not empty, has to be the record's present one.
pub async fn approve(ctx: &Context, actor: &str, id: &str, etag: &str) -> Result<Seen> {
    let seen = change_record(ctx, actor, id, "ApproveDevice", |device| {
        if !needs_approval(device)? {
            return Ok(None);
        }
        check_etag(device, etag, "etag")?;
        device.state = DeviceState::Active;
        if device.standing.renewal == Approval::Waiting {
            device.standing.renewal = Approval::Approved;
        }
        Ok(Some(format!("key {}, by {}", device.spki_sha256, device.enrolled_by)))
    })
    .await?;
    // Its product may have a rollout that waits for devices.
    ctx.wake.rollouts();
    Ok(seen)
}

fn check_etag(device: &Device, etag: &str, field: &str) -> std::result::Result<(), Refusal> {
    if etag.is_empty() || etag == device.etag() {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::EtagMismatch,
        format!("the device {} was changed since it was read", device.id),
        "read it again and repeat the change",
    )
    .field(field))
}

/// Reads, changes and writes a record, with its audit entry; `change` returns its detail, or none
/// when there is nothing to change.
async fn change_record(
    ctx: &Context,
    actor: &str,
    id: &str,
    action: &str,
    change: impl Fn(&mut Device) -> std::result::Result<Option<String>, Refusal>,
) -> Result<Seen> {
    for _ in 0..ROUNDS {
        let now = ctx.clock.now();
        let mut tx = ctx.db.write().await?;
        let mut device = device_get(&mut tx, id).await?.ok_or_else(|| not_found(id))?;
        let before = device.state;
        let Some(detail) = change(&mut device)? else { return get(ctx, id).await };
        audit_append(&mut tx, now, actor, action, &format!("devices/{id}"), &detail).await?;
        if device_update(&mut tx, &mut device, now).await? {
            if device.state == DeviceState::Revoked && before != DeviceState::Revoked {
                remember(&mut tx, &device, before, now).await?;
            }
            tx.commit().await?;
            ctx.devices.refresh(ctx, id).await?;
            return get(ctx, id).await;
        }
    }
    Err(Refusal::new(
        Reason::EtagMismatch,
        format!("the record of {id} changes faster than it can be written"),
        "try again in a moment",
    )
    .into())
}

/// A registration that comes later shall not make the device of one of these keys again.
async fn remember(tx: &mut Tx, device: &Device, before: DeviceState, now: Timestamp) -> Result<()> {
    let was_pending = before == DeviceState::Pending;
    for key in [Some(device.spki_sha256), device.standing.next_key].into_iter().flatten() {
        revoked_key_put(tx, &device.id, &RevokedKey { key, was_pending }, now).await?;
    }
    Ok(())
}

fn changed(labels: &Labels, change: &LabelChange) -> Labels {
    match change {
        LabelChange::All(labels) => labels.clone(),
        LabelChange::Some(keys) => {
            let mut labels = labels.clone();
            for (key, value) in keys {
                match value {
                    Some(value) => drop(labels.insert(key.clone(), value.clone())),
                    None => drop(labels.remove(key)),
                }
            }
            labels
        }
    }
}

async fn chunk(ctx: &Context, after: &str, limit: i64) -> Result<Vec<Seen>> {
    let mut tx = ctx.db.read().await?;
    let devices = devices_page(&mut tx, after, limit).await?;
    let Some(last) = devices.last() else { return Ok(Vec::new()) };
    let contacts: HashMap<String, Contact> = presence_between(&mut tx, after, &last.id)
        .await?
        .iter()
        .map(|seen| (seen.device_id.clone(), Contact::from(seen)))
        .collect();
    let ids: Vec<&str> = devices.iter().map(|device| device.id.as_str()).collect();
    let mut living: HashMap<String, Vec<Living>> = HashMap::new();
    for (device_id, one) in living_of_devices(&mut tx, &ids).await? {
        living.entry(device_id).or_default().push(one);
    }
    let with_contact = |device: Device| {
        let written = contacts.get(&device.id).copied();
        let living = living.remove(&device.id).unwrap_or_default();
        seen(ctx, device, written, living)
    };
    Ok(devices.into_iter().map(with_contact).collect())
}

fn seen(ctx: &Context, device: Device, written: Option<Contact>, living: Vec<Living>) -> Seen {
    let waiting = ctx.presence.get(&device.id);
    let contact = [written, waiting].into_iter().flatten().max_by_key(|contact| contact.seen_at);
    let is_online = device.state != DeviceState::Revoked
        && contact.is_some_and(|contact| contact.is_online(ctx.clock.now()));
    Seen { device, contact, is_online, living }
}

/// The refusal for a device that is not there, or not for this caller.
pub fn not_found(id: &str) -> Refusal {
    Refusal::new(
        Reason::DeviceNotFound,
        format!("there is no device {}", shown(id)),
        "slipway device list shows those there are",
    )
    .field("name")
}

impl Subject for Seen {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        match path {
            "online" => Some(if self.is_online { "true" } else { "false" }.into()),
            _ => self.device.field(path),
        }
    }

    fn any(&self, path: &str, test: &dyn Fn(&str) -> bool) -> bool {
        self.living.iter().any(|one| one.condition.any(path, test))
    }
}

#[cfg(test)]
#[path = "devices_tests.rs"]
mod tests;
