//! Devices and claims, to and from the wire.

use slipway_proto::v1;

use super::{alert_wire, wire};
use crate::{
    model::{
        claim::Claim,
        condition::Gravest,
        device::{Approval, Blocked, Component, DataClass, DeviceState},
        label,
        refusal::{Reason, Refusal},
        text::quoted,
        token::Role,
    },
    service::{
        devices::{LabelChange, Seen},
        token_cache::TokenCaller,
    },
};

/// A device.
pub fn device(seen: &Seen) -> v1::Device {
    let device = &seen.device;
    let inventory = &device.inventory;
    let state = match device.state {
        DeviceState::Active => v1::DeviceState::Active,
        DeviceState::Quarantined => v1::DeviceState::Quarantined,
        DeviceState::Revoked => v1::DeviceState::Revoked,
        DeviceState::Pending => v1::DeviceState::Pending,
        DeviceState::Registered => v1::DeviceState::Registered,
    };
    v1::Device {
        name: format!("devices/{}", device.id),
        product: device.product.clone(),
        hardware: device.hardware.clone(),
        state: state.into(),
        labels: device.labels.clone().into_iter().collect(),
        attributes: inventory.attributes.clone().into_iter().collect(),
        components: inventory.components.iter().map(component).collect(),
        agent_version: inventory.agent_version.clone(),
        last_seen_time: seen.contact.map(|contact| wire::timestamp(contact.seen_at)),
        create_time: Some(wire::timestamp(device.created_at)),
        certificate_expire_time: (device.state != DeviceState::Registered)
            .then(|| wire::timestamp(device.certificate_not_after)),
        consent: inventory.consent.iter().map(|class| data_class(*class).into()).collect(),
        online: seen.is_online,
        quarantined_until: device.quarantined_until.map(wire::timestamp),
        floor: inventory.floor,
        blocked: inventory.blocked.as_ref().map(blocked),
        etag: device.etag(),
        renewal_waits: device.standing.renewal == Approval::Waiting,
        duplicate_identity_time: device.standing.duplicate_at.map(wire::timestamp),
        enrolled_by: device.enrolled_by.clone(),
        alerts: seen.gravest().map(standing),
    }
}

/// The device as this caller may read it. A client is shown what it needs to tell its machines apart and to help with
/// them; how a device got in, its signed state and what it says of itself are between it and who runs the fleet.
pub fn device_for(caller: &TokenCaller, seen: &Seen) -> v1::Device {
    let whole = device(seen);
    if caller.token.role != Role::Client {
        return whole;
    }
    let installed = |component: v1::InstalledComponent| v1::InstalledComponent {
        component: component.component,
        version: component.version,
        ..Default::default()
    };
    v1::Device {
        name: whole.name,
        product: whole.product,
        hardware: whole.hardware,
        state: whole.state,
        labels: whole.labels,
        components: whole.components.into_iter().map(installed).collect(),
        last_seen_time: whole.last_seen_time,
        online: whole.online,
        alerts: whole.alerts,
        ..Default::default()
    }
}

fn standing(gravest: Gravest) -> v1::DeviceAlerts {
    v1::DeviceAlerts {
        count: u32::try_from(gravest.count).unwrap_or(u32::MAX),
        severity: alert_wire::severity(gravest.severity).into(),
        health: alert_wire::health(gravest.health).into(),
        suppressed: gravest.is_suppressed,
    }
}

/// A claim, without its text.
pub fn claim(claim: &Claim) -> v1::Claim {
    v1::Claim {
        name: format!("claims/{}", claim.id),
        product: claim.product.clone(),
        hardware: claim.hardware.clone(),
        labels: claim.labels.clone().into_iter().collect(),
        uses: claim.uses,
        used: claim.used,
        device_id: claim.device_id.clone(),
        expire_time: Some(wire::timestamp(claim.expires_at)),
        create_time: Some(wire::timestamp(claim.created_at)),
        revoked: claim.revoked_at.is_some(),
        device_id_pattern: claim.device_id_pattern.clone(),
        approve: claim.approve,
    }
}

/// What a field mask and a device mean as a change of labels.
pub fn label_change(mask: &prost_types::FieldMask, device: &v1::Device) -> Result<LabelChange, Refusal> {
    let invalid = |message: String| {
        Refusal::new(
            Reason::FieldMaskInvalid,
            message,
            "name `labels` for the whole map, or `labels.KEY` for each key to set or remove",
        )
        .field("update_mask")
    };
    if mask.paths.is_empty() {
        return Err(invalid("the update mask names no field".to_owned()));
    }
    if mask.paths.iter().any(|path| path == "labels") {
        return match mask.paths.as_slice() {
            [_] => Ok(LabelChange::All(device.labels.clone().into_iter().collect())),
            _ => Err(invalid("the update mask names the whole map and single keys".to_owned())),
        };
    }
    let change = |path: &String| {
        let key = path
            .strip_prefix("labels.")
            .ok_or_else(|| invalid(format!("the field {} cannot be changed", quoted(path))))?;
        label::check_key(key).map_err(|refusal| refusal.field("update_mask"))?;
        Ok((key.to_owned(), device.labels.get(key).cloned()))
    };
    mask.paths.iter().map(change).collect::<Result<_, _>>().map(LabelChange::Some)
}

fn component(component: &Component) -> v1::InstalledComponent {
    v1::InstalledComponent {
        component: component.component.clone(),
        version: component.version.clone(),
        counter: component.counter,
        digest: component.digest.clone(),
        slot: component.slot.clone(),
    }
}

fn blocked(blocked: &Blocked) -> v1::Reason {
    v1::Reason { code: blocked.code.clone(), detail: blocked.detail.clone() }
}

fn data_class(class: DataClass) -> v1::DataClass {
    match class {
        DataClass::Essential => v1::DataClass::Essential,
        DataClass::Diagnostic => v1::DataClass::Diagnostic,
        DataClass::Usage => v1::DataClass::Usage,
        DataClass::Location => v1::DataClass::Location,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(paths: &[&str]) -> Result<LabelChange, Reason> {
        let mask = prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
        let labels = [("site".to_owned(), "north".to_owned())].into();
        label_change(&mask, &v1::Device { labels, ..v1::Device::default() }).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn masks() {
        let labels = [("site".to_owned(), "north".to_owned())].into();
        assert_eq!(change(&["labels"]), Ok(LabelChange::All(labels)));
        let some = vec![("site".to_owned(), Some("north".to_owned())), ("cell".to_owned(), None)];
        assert_eq!(change(&["labels.site", "labels.cell"]), Ok(LabelChange::Some(some)));
        for bad in [&[][..], &["state"], &["labels", "labels.site"], &["*"]] {
            assert_eq!(change(bad), Err(Reason::FieldMaskInvalid), "{bad:?}");
        }
        assert_eq!(change(&["labels."]), Err(Reason::LabelInvalid));
    }
}
