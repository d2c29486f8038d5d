//! `slipway device`: the machines of the fleet.

use slipway_proto::v1;

use crate::{
    args::{Connection, DeviceCommand, ListArgs},
    commands::{device_import, device_privacy, explain, labels, listed, pages},
    connect::Api,
    error::Failure,
    human, names,
    output::{Console, columns, facts, one_line},
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
            let ended = ended_without(&answer, &api).await?;
            console
                .show("ExplainDeviceResponse", &answer, |answer| explain::render(answer, ended.as_ref(), now))
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
        DeviceCommand::Export { device, out } => device_privacy::export(&device, &out, &api, console).await,
        DeviceCommand::Erase { device, class, yes } => {
            device_privacy::erase(&device, class, yes, &api, console).await
        }
        DeviceCommand::Updates { device, list } => updates(device, list, &api, console).await,
    }
}

/// The last rollout of the device's product that ended well, if it did so without the device and no other is under way.
async fn ended_without(
    answer: &v1::ExplainDeviceResponse,
    api: &Api,
) -> Result<Option<v1::Rollout>, Failure> {
    let Some(device) = answer.device.as_ref().filter(|_| answer.verdicts.is_empty()) else { return Ok(None) };
    let request = v1::ListRolloutsRequest {
        page_size: 1,
        filter: format!("product = \"{}\" AND state = succeeded", device.product),
        ..v1::ListRolloutsRequest::default()
    };
    let last = api.rollouts().list_rollouts(request).await?.into_inner().rollouts.into_iter().next();
    Ok(last.filter(|rollout| explain::is_without(rollout, answer)))
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
                alerts(device),
                labels(&device.labels),
            ]
        })
        .collect();
    let header = ["ID", "PRODUCT", "HARDWARE", "STATE", "RUNS", "SEEN", "ALERTS", "LABELS"];
    listed(rows.len(), "no devices", columns(&header, &rows))
}

/// How many living alerts and how grave: `2, critical`; with a `*`, as in lists of alerts, when the gravest wakes nobody.
fn alerts(device: &v1::Device) -> String {
    let Some(alerts) = &device.alerts else { return String::new() };
    let severity = human::enum_words(alerts.severity().as_str_name(), "ALERT_SEVERITY_");
    format!("{}, {severity}{}", alerts.count, if alerts.suppressed { "*" } else { "" })
}

/// The same with the status of NE 107: `2, critical (out of specification)`.
fn alerts_in_full(device: &v1::Device) -> String {
    let Some(found) = &device.alerts else { return String::new() };
    let health = human::enum_words(found.health().as_str_name(), "ALERT_HEALTH_");
    format!("{} ({health})", alerts(device))
}

/// One device, name and value below each other.
pub fn render(device: &v1::Device, now: i64) -> String {
    let consent: Vec<String> =
        device.consent().map(|class| human::enum_words(class.as_str_name(), "DATA_CLASS_")).collect();
    // A client is told neither when a device came in nor what its owner allows.
    let is_whole = device.create_time.is_some();
    let consent_words = if is_whole { or_none(consent.join(", ")) } else { String::new() };
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
        ("alerts", alerts_in_full(device)),
        created(device, now),
        ("certificate", ends(device.certificate_expire_time.as_ref(), now)),
        ("duplicate", duplicate(device, now)),
        ("agent", device.agent_version.clone()),
        ("consent", consent_words),
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
    let Some(time) = &device.create_time else { return (what, String::new()) };
    let moment = human::moment(time, now);
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

/// `system 2.0.0 (counter 2, slot b)`, or `system as delivered (slot a), not updated by Slipway yet`.
pub fn component_words(component: &v1::InstalledComponent) -> String {
    let mut facts = Vec::new();
    if component.counter > 0 {
        facts.push(format!("counter {}", component.counter));
    }
    if !component.slot.is_empty() {
        facts.push(format!("slot {}", component.slot));
    }
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
    one_line(&match (component.component.as_str(), component.version.as_str()) {
        (name, "") => format!("{name} as delivered{facts}, not updated by Slipway yet"),
        (name, version) => format!("{name} {version}{facts}"),
    })
}

/// `HEALTH_CHECK_FAILED: the health command exited with 1`.
pub fn reason_words(reason: &v1::Reason) -> String {
    match (reason.code.as_str(), reason.detail.as_str()) {
        ("", detail) => one_line(detail),
        (code, "") => one_line(code),
        (code, detail) => one_line(&format!("{code}: {detail}")),
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

/// Says how many devices a selector matches now: one with a typing error is a good one that matches nobody.
/// That it cannot be asked is no failure of what was done.
pub async fn say_matches(selector: &str, api: &Api, console: &Console) {
    if selector.is_empty() {
        return;
    }
    let request = v1::ListDevicesRequest {
        page_size: 1,
        filter: selector.to_owned(),
        ..v1::ListDevicesRequest::default()
    };
    let Ok(page) = api.fleet().list_devices(request).await else { return };
    console.say(&match page.into_inner().total_size {
        0 => format!("no device matches {selector} now; is it what you mean? See slipway device list"),
        1 => format!("1 device matches {selector} now"),
        count => format!("{count} devices match {selector} now"),
    });
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
