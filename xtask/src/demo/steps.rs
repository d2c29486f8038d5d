//! The steps of the demonstration, in their order; each ends with a line of the table.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::cli::{list, number, text};
use super::fleet::{CUSTOMERS, Fleet, devices, path};
use super::rollouts::{self, Created, device_of, expect, lower};
use super::show::{Show, human_bytes};
use super::{slots, wear};
use crate::clock::Stopwatch;
use crate::images::{self, Firmware, Image};
use crate::litter::Dir;
use crate::workspace::Binaries;

/// Makes the firmware images.
pub fn images(show: &mut Show) -> Result<Firmware> {
    show.begin("firmware images");
    let firmware = images::make(&|text| show.note(text))?;
    let bytes = firmware.images.iter().map(|image| image.bytes).sum();
    let versions: Vec<&str> = firmware.images.iter().map(|image| image.version).collect();
    show.done(format!("{} from {}", versions.join(", "), firmware.origin), Some(bytes));
    Ok(firmware)
}

/// Starts the server.
pub fn server(show: &mut Show, binaries: Binaries, dir: Dir) -> Result<Fleet> {
    show.begin("server");
    let watch = Stopwatch::start();
    let fleet = Fleet::start(binaries, dir)?;
    show.done(
        format!("ready on {} after {:.2} s, from an empty directory", fleet.url(), watch.seconds()),
        None,
    );
    Ok(fleet)
}

/// Everything after that.
pub fn all(fleet: &mut Fleet, show: &mut Show, firmware: &Firmware) -> Result<()> {
    trust(fleet, show)?;
    enroll(fleet, show)?;
    let [first, second, broken] = [0, 1, 2].map(|number| firmware.image(images::VERSIONS[number]));
    let (first, second, broken) = (first?, second?, broken?);

    publish(fleet, show, "publish 1.0.0", first)?;
    show.begin("roll out 1.0.0");
    let created = rollouts::create(&fleet.admin(), first.version, &["100"])?;
    let rollout = rollouts::follow(fleet, show, &created.rollout, first)?;
    succeeded(fleet, show, &rollout, first, None)?;

    publish(fleet, show, "publish 2.0.0", second)?;
    show.begin("roll out 2.0.0");
    show.note("waves to 30, 65 and 100 %: a hash draws each device's place, so of 8 devices 30 % may be 1 or 5, of thousands they are 30 %");
    let waves = ["30:soak=1s", "65:soak=1s", "100"];
    let created = rollouts::create(&fleet.admin(), second.version, &waves)?;
    let rollout = rollouts::follow(fleet, show, &created.rollout, second)?;
    succeeded(fleet, show, &rollout, second, Some(first))?;

    publish(fleet, show, "publish 2.1.0", broken)?;
    show.begin("roll out 2.1.0");
    show.note("2.1.0 is unhealthy on purpose: it boots, and its own health check finds no certificate authorities in it");
    let waves = ["30:max-failures=0,soak=1s", "100"];
    let created = rollouts::create(&fleet.admin(), broken.version, &waves)?;
    rollouts::follow(fleet, show, &created.rollout, broken)?;
    stopped(fleet, show, &created, [first, second, broken])?;

    show.begin("wearing part");
    let happened = wear::alert(fleet, show)?;
    show.done(happened, None);
    fleet.check_alive()
}

fn trust(fleet: &Fleet, show: &mut Show) -> Result<()> {
    show.begin("trust");
    let keys = fleet.dir().join("keys");
    fleet.admin().run(&["trust", "init", "--keys", path(&keys)?, "--no-passphrase"])?;
    show.done(
        "the publisher's keys were made on the publisher's side; the server has the root".to_owned(),
        None,
    );
    Ok(())
}

fn enroll(fleet: &mut Fleet, show: &mut Show) -> Result<()> {
    show.begin("enrol");
    let enrolled = fleet.enroll()?;
    fleet.start_agents()?;
    let seen = fleet.admin().json(&["device", "list"])?;
    if list(&seen, "").len() != enrolled {
        bail!("{enrolled} devices enrolled, but the server lists {}", list(&seen, "").len());
    }
    let customers: Vec<String> =
        CUSTOMERS.iter().map(|(name, devices)| format!("{} of {name}", devices.len())).collect();
    show.done(format!("{enrolled} devices, {}, each with a key of its own", customers.join(" and ")), None);
    Ok(())
}

fn publish(fleet: &Fleet, show: &mut Show, step: &'static str, image: &Image) -> Result<()> {
    show.begin(step);
    let published = rollouts::publish(fleet, image)?;
    let sent = number(&published, "/bytesSent");
    let [segments, new] = ["/segments", "/segmentsSent"].map(|member| number(&published, member));
    show.done(
        format!("signed offline; {new} of {segments} segments of {} were new", human_bytes(image.bytes)),
        Some(sent),
    );
    Ok(())
}

/// A rollout that went well: every device says so, boots the new version by default, and has the one before, untouched,
/// in the other slot.
fn succeeded(
    fleet: &Fleet,
    show: &mut Show,
    rollout: &Value,
    new: &Image,
    old: Option<&Image>,
) -> Result<()> {
    expect(rollout, "succeeded")?;
    let updates = rollouts::updates(&fleet.admin(), rollout)?;
    let mut fetched = 0;
    for update in &updates {
        let state = lower(text(update, "/state"), "UPDATE_STATE_");
        if state != "succeeded" {
            bail!("the update of {} is {state}", device_of(update));
        }
        fetched += number(update, "/bytesFetched");
    }
    if updates.len() != devices().count() {
        bail!("the rollout brought {} updates to {} devices", updates.len(), devices().count());
    }
    let runs = running(fleet)?;
    let mut compared = 0;
    for device in devices() {
        if runs.get(device).map(String::as_str) != Some(new.version) {
            bail!("{device} should say that it runs {}, but says {:?}", new.version, runs.get(device));
        }
        let disk = fleet.slots(device);
        let boots = slots::boots(&disk)?;
        compared += slots::compare(&disk, boots.default, new)?;
        if let Some(old) = old {
            compared += slots::compare(&disk, boots.spare, old).context("the old slot was touched")?;
        }
    }
    let waves: Vec<String> =
        list(rollout, "/waves").iter().map(|wave| number(wave, "/succeeded").to_string()).collect();
    show.done(
        format!(
            "all devices run it, in waves of {}; {} on their disks are equal to the images",
            waves.join(" + "),
            human_bytes(compared)
        ),
        Some(fetched),
    );
    Ok(())
}

/// A rollout that must not go well: it stopped at its first wave, whose devices fell back by themselves; no other was
/// touched.
fn stopped(fleet: &mut Fleet, show: &mut Show, created: &Created, images: [&Image; 3]) -> Result<()> {
    let [first, second, broken] = images;
    let rollout = rollouts::settle(fleet, &created.rollout)?;
    expect(&rollout, "paused")?;
    let waves = list(&rollout, "/waves");
    let later: u64 = waves.iter().skip(1).map(|wave| number(wave, "/admitted")).sum();
    if later != 0 {
        bail!("{later} devices of later waves were offered a release that had failed already");
    }
    let mut tried = BTreeMap::new();
    let mut fetched = 0;
    for update in rollouts::updates(&fleet.admin(), &rollout)? {
        let state = lower(text(&update, "/state"), "UPDATE_STATE_");
        if state != "rolled back" {
            bail!("the update of {} is {state}, not rolled back", device_of(&update));
        }
        fetched += number(&update, "/bytesFetched");
        tried.insert(device_of(&update).to_owned(), text(&update, "/reason/code").to_owned());
    }
    if tried.is_empty() {
        bail!("no device tried {}", broken.version);
    }
    let runs = running(fleet)?;
    for device in devices() {
        if runs.get(device).map(String::as_str) != Some(second.version) {
            bail!("{device} should run {} again, but says {:?}", second.version, runs.get(device));
        }
        let disk = fleet.slots(device);
        let boots = slots::boots(&disk)?;
        slots::compare(&disk, boots.default, second).context("the slot that runs was touched")?;
        let spare = if tried.contains_key(device) { broken } else { first };
        if !created.touched.contains(device) {
            slots::compare(&disk, boots.spare, spare)?;
        }
    }
    let reasons: Vec<&str> = tried.values().map(String::as_str).collect();
    show.done(
        format!(
            "as it should, stopped at its first wave: {} tried it and fell back by themselves ({}), {} never heard of it",
            rollouts::devices_in_words(tried.len() as u64),
            reasons.first().copied().unwrap_or_default(),
            devices().count() - tried.len()
        ),
        Some(fetched),
    );
    Ok(())
}

/// What every device says it runs.
fn running(fleet: &Fleet) -> Result<BTreeMap<String, String>> {
    let all = fleet.admin().json(&["device", "list"])?;
    Ok(list(&all, "")
        .iter()
        .map(|device| {
            let version = list(device, "/components").first().map(|component| text(component, "/version"));
            (rollouts::id(device).to_owned(), version.unwrap_or_default().to_owned())
        })
        .collect())
}
