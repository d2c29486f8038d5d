//! `slipway device`: the machines of the fleet.

use slipway_proto::v1;

use crate::{
    args::{Connection, DeviceCommand, ListArgs},
    commands::{device_import, explain, labels, listed, pages},
    connect::Api,
    error::Failure,
    human, names,
    output::{Console, columns, facts},
};

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: DeviceCommand, connection: &Connection, console: &Console) -> Result<(), Failure> {
    let api = Api::open(connection, console).await?;
    let now = console.clock.now();
    match command {
        DeviceCommand::List(args) => list(args, &api, console).await,
        DeviceCommand::Show { device } => {
            let request = v1::GetDeviceRequest { name: names::full("devices", &device) };
            let device = api.fleet().get_device(request).await?.into_inner();
            console.show("Device", &device, |device| render(device, now))
        }
        DeviceCommand::Label { device, set, remove } => {
            let device = label(&device, set, remove, &api).await?;
            console.say(&format!(
                "labels of {}: {}",
                names::short(&device.name),
                or_none(labels(&device.labels))
            ));
            Ok(())
        }
        DeviceCommand::Explain { device } => {
            let request = v1::ExplainDeviceRequest { name: names::full("devices", &device) };
            let answer = api.fleet().explain_device(request).await?.into_inner();
            console.show("ExplainDeviceResponse", &answer, |answer| explain::render(answer, now))
        }
        DeviceCommand::Import(args) => device_import::run(args, &api, console).await,
        DeviceCommand::Approve { devices } => {
            for device in devices {
                let request = v1::ApproveDeviceRequest {
                    name: names::full("devices", &device),
                    ..v1::ApproveDeviceRequest::default()
                };
                let device = api.fleet().approve_device(request).await?.into_inner();
                console.say(&format!("{} is {}", names::short(&device.name), state(&device)));
            }
            Ok(())
        }
        DeviceCommand::Revoke { device, reason } => {
            let request = v1::RevokeDeviceRequest { name: names::full("devices", &device), reason };
            let device = api.fleet().revoke_device(request).await?.into_inner();
            console.say(&format!(
                "{} is revoked: its calls are refused from now on",
                names::short(&device.name)
            ));
            Ok(())
        }
        DeviceCommand::Unquarantine { device } => {
            let request = v1::ClearQuarantineRequest { name: names::full("devices", &device) };
            let device = api.fleet().clear_quarantine(request).await?.into_inner();
            let then = match device.state() {
                v1::DeviceState::Revoked => "is revoked and stays so",
                v1::DeviceState::Pending => "is pending and stays so: slipway device approve lets it in",
                v1::DeviceState::Registered => "is registered and has not enrolled yet",
                _ => "may be offered updates, and renew its certificate if it waits for that",
            };
            console.say(&format!("{} {then}", names::short(&device.name)));
            Ok(())
        }
        DeviceCommand::Updates { device, list } => updates(device, list, &api, console).await,
    }
}

async fn list(args: ListArgs, api: &Api, console: &Console) -> Result<(), Failure> {
    let devices = pages(console, args.extent.max, |page_size, page_token| {
        let (mut fleet, filter) = (api.fleet(), args.filter.clone());
        async move {
            let request = v1::ListDevicesRequest { page_size, page_token, filter };
            let page = fleet.list_devices(request).await?.into_inner();
            Ok((page.devices, page.next_page_token))
        }
    })
    .await?;
    console.show_all("Device", &devices, |devices| render_list(devices, console.clock.now()))
}

async fn label(
    device: &str,
    set: Vec<(String, String)>,
    remove: Vec<String>,
    api: &Api,
) -> Result<v1::Device, Failure> {
    let paths = set.iter().map(|(key, _)| key).chain(&remove).map(|key| format!("labels.{key}")).collect();
    let device = v1::Device {
        name: names::full("devices", device),
        labels: set.into_iter().collect(),
        ..v1::Device::default()
    };
    let request =
        v1::UpdateDeviceRequest { device: Some(device), update_mask: Some(prost_types::FieldMask { paths }) };
    Ok(api.fleet().update_device(request).await?.into_inner())
}

async fn updates(
    device: Option<String>,
    args: ListArgs,
    api: &Api,
    console: &Console,
) -> Result<(), Failure> {
    let parent = names::full("devices", device.as_deref().unwrap_or("-"));
    let updates = pages(console, args.extent.max, |page_size, page_token| {
        let (mut fleet, parent, filter) = (api.fleet(), parent.clone(), args.filter.clone());
        async move {
            let request = v1::ListUpdatesRequest { parent, page_size, page_token, filter };
            let page = fleet.list_updates(request).await?.into_inner();
            Ok((page.updates, page.next_page_token))
        }
    })
    .await?;
    console.show_all("Update", &updates, |updates| render_updates(updates, console.clock.now()))
}

fn render_list(devices: &[v1::Device], now: i64) -> String {
    let rows: Vec<_> = devices
        .iter()
        .map(|device| {
            vec![
                names::short(&device.name).to_owned(),
                device.product.clone(),
                device.hardware.clone(),
                state(device),
                versions(device),
                format!(
                    "{} ({})",
                    if device.online { "online" } else { "offline" },
                    human::maybe_relative(device.last_seen_time.as_ref(), now)
                ),
                labels(&device.labels),
            ]
        })
        .collect();
    let header = ["ID", "PRODUCT", "HARDWARE", "STATE", "RUNS", "SEEN", "LABELS"];
    listed(rows.len(), "no devices", columns(&header, &rows))
}

/// One device, name and value below each other.
pub fn render(device: &v1::Device, now: i64) -> String {
    let consent: Vec<String> =
        device.consent().map(|class| human::enum_words(class.as_str_name(), "DATA_CLASS_")).collect();
    let mut rows = vec![
        ("device", names::short(&device.name).to_owned()),
        ("product", device.product.clone()),
        ("hardware", device.hardware.clone()),
        ("state", state(device)),
    ];
    rows.extend(device.components.iter().map(|component| ("runs", component_words(component))));
    let floor = if device.floor == 0 { String::new() } else { format!("release counter {}", device.floor) };
    rows.extend([
        ("floor", floor),
        ("blocked", device.blocked.as_ref().map(reason_words).unwrap_or_default()),
        ("labels", labels(&device.labels)),
        ("seen", human::maybe_moment(device.last_seen_time.as_ref(), now)),
        ("online", if device.online { "yes".into() } else { "no".into() }),
        created(device, now),
        ("certificate", ends(device.certificate_expire_time.as_ref(), now)),
        ("duplicate", duplicate(device, now)),
        ("agent", device.agent_version.clone()),
        ("consent", or_none(consent.join(", "))),
        ("says", labels(&device.attributes)),
    ]);
    facts(&rows)
}

/// When it came in, and by what right.
fn created(device: &v1::Device, now: i64) -> (&'static str, String) {
    let what = match device.state() {
        v1::DeviceState::Registered => "registered",
        _ => "enrolled",
    };
    let moment = human::maybe_moment(device.create_time.as_ref(), now);
    match device.enrolled_by.as_str() {
        "" => (what, moment),
        by => (what, format!("{moment}, by {by}")),
    }
}

fn ends(time: Option<&prost_types::Timestamp>, now: i64) -> String {
    time.map(|time| format!("ends {}", human::moment(time, now))).unwrap_or_default()
}

/// What is to be said of a key that was seen in two places; empty when it was not.
pub fn duplicate(device: &v1::Device, now: i64) -> String {
    let Some(time) = &device.duplicate_identity_time else { return String::new() };
    format!("its key was in use at two addresses at once, {}", human::moment(time, now))
}

/// `active`, or with the end of a quarantine.
pub fn state(device: &v1::Device) -> String {
    let words = human::enum_words(device.state().as_str_name(), "DEVICE_STATE_");
    match &device.quarantined_until {
        Some(until) if device.state() == v1::DeviceState::Quarantined => {
            format!("{words} until {}", human::absolute(until))
        }
        _ if device.renewal_waits => format!("{words}, waits for a yes to renew its certificate"),
        _ => words,
    }
}

fn versions(device: &v1::Device) -> String {
    let runs: Vec<String> = device
        .components
        .iter()
        .map(|c| format!("{} {}", c.component, if c.version.is_empty() { "?" } else { &c.version }))
        .collect();
    runs.join(", ")
}

/// `system 2.0.0 (counter 2, slot b)`.
pub fn component_words(component: &v1::InstalledComponent) -> String {
    let mut facts = Vec::new();
    if component.counter > 0 {
        facts.push(format!("counter {}", component.counter));
    }
    if !component.slot.is_empty() {
        facts.push(format!("slot {}", component.slot));
    }
    let version =
        if component.version.is_empty() { "never updated by Slipway" } else { component.version.as_str() };
    match facts.is_empty() {
        true => format!("{} {version}", component.component),
        false => format!("{} {version} ({})", component.component, facts.join(", ")),
    }
}

/// `HEALTH_CHECK_FAILED: the health command exited with 1`.
pub fn reason_words(reason: &v1::Reason) -> String {
    match (reason.code.as_str(), reason.detail.as_str()) {
        ("", detail) => detail.to_owned(),
        (code, "") => code.to_owned(),
        (code, detail) => format!("{code}: {detail}"),
    }
}

/// The state of an update in words.
pub fn update_state(state: v1::UpdateState) -> String {
    human::enum_words(state.as_str_name(), "UPDATE_STATE_")
}

/// The device of an update's name, `devices/{id}/updates/{id}`.
pub fn device_of(update: &v1::Update) -> &str {
    update.name.split('/').nth(1).unwrap_or_default()
}

fn render_updates(updates: &[v1::Update], now: i64) -> String {
    let rows: Vec<_> = updates
        .iter()
        .map(|update| {
            vec![
                device_of(update).to_owned(),
                names::short(&update.release).to_owned(),
                update.from_version.clone(),
                update_state(update.state()),
                human::maybe_relative(update.update_time.as_ref(), now),
                human::bytes(update.bytes_fetched),
                format!("{} wave {}", names::short(&update.rollout), update.wave),
                update.reason.as_ref().map(reason_words).unwrap_or_default(),
            ]
        })
        .collect();
    let header = ["DEVICE", "RELEASE", "FROM", "STATE", "CHANGED", "FETCHED", "ROLLOUT", "REASON"];
    listed(rows.len(), "no updates", columns(&header, &rows))
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_356_185_000;

    /// A device with everything that a person wants to see.
    pub(crate) fn pump() -> v1::Device {
        v1::Device {
            name: "devices/pump-01".into(),
            product: "pump".into(),
            hardware: "gw-a".into(),
            state: v1::DeviceState::Active.into(),
            labels: [("site".to_owned(), "north".to_owned()), ("ring".to_owned(), "canary".to_owned())]
                .into(),
            components: vec![v1::InstalledComponent {
                component: "system".into(),
                version: "1.0.0".into(),
                counter: 1,
                slot: "a".into(),
                ..v1::InstalledComponent::default()
            }],
            agent_version: "0.1.0".into(),
            last_seen_time: Some(human::timestamp(NOW - 12_000)),
            create_time: Some(human::timestamp(NOW - 86_400_000)),
            consent: vec![v1::DataClass::Essential.into(), v1::DataClass::Diagnostic.into()],
            online: true,
            ..v1::Device::default()
        }
    }

    #[test]
    fn a_device_in_full() {
        assert_eq!(
            render(&pump(), NOW),
            "device    pump-01\n\
             product   pump\n\
             hardware  gw-a\n\
             state     active\n\
             runs      system 1.0.0 (counter 1, slot a)\n\
             labels    ring=canary, site=north\n\
             seen      2026-11-22 14:02:53Z (12s ago)\n\
             online    yes\n\
             enrolled  2026-11-21 14:03:05Z (1d ago)\n\
             agent     0.1.0\n\
             consent   essential, diagnostic\n"
        );
    }

    #[test]
    fn a_device_that_needs_somebody() {
        let late = v1::Device {
            state: v1::DeviceState::Quarantined.into(),
            renewal_waits: true,
            duplicate_identity_time: Some(human::timestamp(NOW - 60_000)),
            ..pump()
        };
        let text = render(&late, NOW);
        assert!(text.contains("quarantined, waits for a yes to renew its certificate\n"), "{text}");
        let line = "duplicate  its key was in use at two addresses at once, 2026-11-22 14:02:05Z (1m ago)\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn devices_as_a_table() {
        let quarantined = v1::Device {
            name: "devices/pump-02".into(),
            state: v1::DeviceState::Quarantined.into(),
            quarantined_until: Some(human::timestamp(NOW + 3_600_000)),
            online: false,
            labels: Default::default(),
            ..pump()
        };
        assert_eq!(
            render_list(&[pump(), quarantined], NOW),
            "ID       PRODUCT  HARDWARE  STATE                                   RUNS          SEEN               LABELS\n\
             pump-01  pump     gw-a      active                                  system 1.0.0  online (12s ago)   ring=canary, site=north\n\
             pump-02  pump     gw-a      quarantined until 2026-11-22 15:03:05Z  system 1.0.0  offline (12s ago)\n"
        );
    }

    #[test]
    fn updates_as_a_table() {
        let update = v1::Update {
            name: "devices/pump-01/updates/u1".into(),
            rollout: "rollouts/r1".into(),
            wave: 1,
            release: "releases/pump/2.1.0".into(),
            from_version: "2.0.0".into(),
            state: v1::UpdateState::RolledBack.into(),
            reason: Some(v1::Reason { code: "HEALTH_CHECK_FAILED".into(), detail: "exit code 1".into() }),
            bytes_fetched: 3 << 20,
            update_time: Some(human::timestamp(NOW - 60_000)),
            ..v1::Update::default()
        };
        assert_eq!(
            render_updates(&[update], NOW),
            "DEVICE   RELEASE     FROM   STATE        CHANGED  FETCHED  ROLLOUT    REASON\n\
             pump-01  pump/2.1.0  2.0.0  rolled back  1m ago   3.0 MiB  r1 wave 1  HEALTH_CHECK_FAILED: exit code 1\n"
        );
    }
}
