//! What devices say and hear, to and from the wire.

use std::collections::BTreeMap;

use slipway_proto::v1;

use super::{trust, wire};
use crate::{
    limits,
    model::{
        device::{Blocked, Component, DataClass, Inventory},
        refusal::{Reason, Refusal},
        text::visible,
        update::{self, UpdateState},
    },
    service::{
        check_in::{Answer, CheckIn},
        reports::Report,
    },
};

/// One poll. `device_id` is the caller.
pub fn check_in(device_id: &str, request: v1::CheckInRequest) -> Result<CheckIn, Refusal> {
    // A name of another device's update is one this device does not work on.
    let prefix = format!("devices/{device_id}/updates/");
    let update_id = (!request.update.is_empty())
        .then(|| request.update.strip_prefix(&prefix).unwrap_or(&request.update).to_owned());
    Ok(CheckIn {
        have: trust::versions(request.have.as_ref()),
        inventory_digest: request.inventory_digest,
        inventory: request.inventory.map(|sent| inventory(sent, request.inventory_digest)).transpose()?,
        update_id,
    })
}

/// The answer.
pub fn answer(answer: Answer) -> v1::CheckInResponse {
    v1::CheckInResponse {
        trust: answer.trust.map(trust::delta),
        offer: answer.offer.map(|offer| v1::UpdateOffer {
            update: offer.update,
            release: offer.release,
            deadline: Some(wire::timestamp(offer.deadline)),
        }),
        next_check_in: Some(wire::duration(answer.next_check_in)),
        want_inventory: answer.want_inventory,
        cancel_update: answer.cancel_update,
    }
}

/// One step of an update.
pub fn report(request: v1::ReportUpdateRequest) -> Result<Report, Refusal> {
    let state = from_state(request.state()).ok_or_else(|| {
        Refusal::new(
            Reason::ReportInvalid,
            format!("the state {} is none an update can be in", request.state),
            "update the agent; this report will never be taken",
        )
        .field("state")
    })?;
    let reason = request.reason.unwrap_or_default();
    Ok(Report {
        update: request.update,
        sequence: request.sequence,
        state,
        reason: update::Reason { code: reason.code, detail: reason.detail },
        bytes_fetched: request.bytes_fetched,
        bytes_written: request.bytes_written,
        attempt: request.attempt,
    })
}

fn inventory(sent: v1::Inventory, digest: u64) -> Result<Inventory, Refusal> {
    let fits = |what: &str, size: usize, limit: usize| {
        if size <= limit {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::InventoryTooLarge,
            format!("{what} has {size}, more than the {limit} that are kept"),
            "send less: the inventory is for what the device is and runs",
        )
        .field(format!("inventory.{what}")))
    };
    fits("components", sent.components.len(), limits::COMPONENTS)?;
    fits("attributes", sent.attributes.len(), limits::ATTRIBUTES)?;
    fits("consent", sent.consent.len(), limits::ATTRIBUTES)?;
    for (key, value) in &sent.attributes {
        fits("attributes", key.len().max(value.len()), limits::ATTRIBUTE)?;
    }
    for component in &sent.components {
        let texts = [&component.component, &component.version, &component.digest, &component.slot];
        for text in texts {
            fits("components", text.len(), limits::ATTRIBUTE)?;
        }
    }
    fits("agent_version", sent.agent_version.len(), limits::ATTRIBUTE)?;
    fits("boot_id", sent.boot_id.len(), limits::ATTRIBUTE)?;
    if let Some(blocked) = &sent.blocked {
        fits("blocked", blocked.code.len().max(blocked.detail.len()), limits::REASON)?;
    }
    let consent = sent.consent().filter_map(data_class).collect();
    Ok(Inventory {
        digest,
        components: sent.components.into_iter().map(component).collect(),
        agent_version: visible(sent.agent_version),
        boot_id: visible(sent.boot_id),
        attributes: attributes(sent.attributes),
        consent,
        floor: sent.floor,
        blocked: sent
            .blocked
            .map(|blocked| Blocked { code: visible(blocked.code), detail: visible(blocked.detail) }),
    })
}

/// What a device says of itself, key by key.
pub fn attributes(sent: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    sent.into_iter().map(|(key, value)| (visible(key), visible(value))).collect()
}

fn component(sent: v1::InstalledComponent) -> Component {
    Component {
        component: visible(sent.component),
        version: visible(sent.version),
        counter: sent.counter,
        digest: visible(sent.digest),
        slot: visible(sent.slot),
    }
}

fn data_class(class: v1::DataClass) -> Option<DataClass> {
    match class {
        v1::DataClass::Essential => Some(DataClass::Essential),
        v1::DataClass::Diagnostic => Some(DataClass::Diagnostic),
        v1::DataClass::Usage => Some(DataClass::Usage),
        v1::DataClass::Location => Some(DataClass::Location),
        v1::DataClass::Unspecified => None,
    }
}

fn from_state(state: v1::UpdateState) -> Option<UpdateState> {
    match state {
        v1::UpdateState::Unspecified => None,
        v1::UpdateState::Offered => Some(UpdateState::Offered),
        v1::UpdateState::Downloading => Some(UpdateState::Downloading),
        v1::UpdateState::Staged => Some(UpdateState::Staged),
        v1::UpdateState::Trial => Some(UpdateState::Trial),
        v1::UpdateState::Succeeded => Some(UpdateState::Succeeded),
        v1::UpdateState::Failed => Some(UpdateState::Failed),
        v1::UpdateState::RolledBack => Some(UpdateState::RolledBack),
        v1::UpdateState::TimedOut => Some(UpdateState::TimedOut),
        v1::UpdateState::Rejected => Some(UpdateState::Rejected),
        v1::UpdateState::Cancelled => Some(UpdateState::Cancelled),
        v1::UpdateState::Superseded => Some(UpdateState::Superseded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_beyond_its_limits_is_refused_by_field() {
        let refused = |change: fn(&mut v1::Inventory)| {
            let mut sent = v1::Inventory::default();
            change(&mut sent);
            inventory(sent, 1).err().and_then(|refusal| refusal.field)
        };
        assert_eq!(refused(|_| {}), None);
        assert_eq!(
            refused(|i| i.components = vec![Default::default(); 33]).as_deref(),
            Some("inventory.components")
        );
        assert_eq!(refused(|i| i.boot_id = "x".repeat(257)).as_deref(), Some("inventory.boot_id"));
        let long = |i: &mut v1::Inventory| drop(i.attributes.insert("a".to_owned(), "x".repeat(257)));
        assert_eq!(refused(long).as_deref(), Some("inventory.attributes"));
    }

    #[test]
    fn nothing_hidden_is_kept_of_what_a_device_says() {
        let evil = || "x\nstate  active".to_owned();
        let installed = v1::InstalledComponent {
            component: evil(),
            version: evil(),
            digest: evil(),
            slot: evil(),
            ..Default::default()
        };
        let sent = v1::Inventory {
            components: vec![installed],
            agent_version: evil(),
            boot_id: evil(),
            attributes: [(evil(), evil())].into(),
            blocked: Some(v1::Reason { code: evil(), detail: evil() }),
            ..Default::default()
        };
        let kept = format!("{:?}", inventory(sent, 1).unwrap());
        assert!(!kept.contains("\\n") && kept.matches("x\u{fffd}state").count() == 10, "{kept}");
    }

    #[test]
    fn an_update_of_another_device_is_not_worked_on() {
        let asked = |update: &str| {
            let request = v1::CheckInRequest { update: update.to_owned(), ..Default::default() };
            check_in("a", request).map(|call| call.update_id).unwrap_or_default()
        };
        assert_eq!(asked(""), None);
        assert_eq!(asked("devices/a/updates/u").as_deref(), Some("u"));
        assert_eq!(asked("devices/b/updates/u").as_deref(), Some("devices/b/updates/u"));
    }
}
