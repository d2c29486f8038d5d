//! Releases and rollouts, from the operator's side.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::cli::{Cli, list, number, text};
use super::fleet::{Fleet, HARDWARE, path};
use super::show::{Show, human_bytes};
use crate::clock::Stopwatch;
use crate::images::{Image, PRODUCT};

/// How long nothing at all may happen in a rollout before something is wrong with it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a rollout is drawn anew when chance left one of its waves empty.
const DRAWS: usize = 20;

/// Signs an image on this side and publishes it.
pub fn publish(fleet: &Fleet, image: &Image) -> Result<Value> {
    let keys = fleet.dir().join("keys");
    fleet.admin().json(&[
        "release",
        "publish",
        path(&image.path)?,
        "--version",
        image.version,
        "--product",
        PRODUCT,
        "--component",
        "system",
        "--hardware",
        HARDWARE,
        "--keys",
        path(&keys)?,
    ])
}

/// A rollout, and the devices that one before it had reached when it was taken back.
#[derive(Debug)]
pub struct Created {
    /// As the server answered.
    pub rollout: Value,
    /// What is in their spare slots is left to chance.
    pub touched: BTreeSet<String>,
}

/// Creates a rollout of which no wave is empty. Chance decides where a device stands, and among eight it may leave a
/// wave without any; such a rollout is taken back and drawn again.
pub fn create(admin: &Cli, version: &str, waves: &[&str]) -> Result<Created> {
    let release = format!("{PRODUCT}/{version}");
    let mut arguments = vec!["rollout", "create", &release, "--on-failure", "pause"];
    for wave in waves {
        arguments.extend(["--wave", wave]);
    }
    let mut touched = BTreeSet::new();
    for _ in 0..DRAWS {
        let rollout = admin.json(&arguments)?;
        if list(&rollout, "/waves").iter().all(|wave| number(wave, "/devices") > 0) {
            return Ok(Created { rollout, touched });
        }
        admin.run(&["rollout", "abort", id(&rollout)])?;
        touched.extend(updates(admin, &rollout)?.iter().map(|update| device_of(update).to_owned()));
    }
    bail!("after {DRAWS} rollouts of {version} there is still an empty wave in each")
}

/// The last part of a resource's name.
pub fn id(resource: &Value) -> &str {
    text(resource, "/name").rsplit('/').next().unwrap_or_default()
}

/// Follows a rollout until it ends or pauses, and shows how it goes; returns how it stands then.
pub fn follow(fleet: &mut Fleet, show: &Show, rollout: &Value, image: &Image) -> Result<Value> {
    let stream = fleet.admin().stream(&["rollout", "watch", id(rollout), "--exit-on-pause"])?;
    let mut last = rollout.clone();
    let mut waves: Vec<String> = Vec::new();
    let mut written = BTreeMap::new();
    let total: u64 = list(rollout, "/waves").iter().map(|wave| number(wave, "/devices")).sum();
    while let Some(change) =
        stream.next(PATIENCE, || fleet.check_alive()).context("the rollout does not go on")?
    {
        for update in list(&change, "/updates") {
            written.insert(text(update, "/name").to_owned(), number(update, "/bytesWritten"));
        }
        let Some(rollout) = change.get("rollout").filter(|rollout| rollout.is_object()) else {
            continue;
        };
        last = rollout.clone();
        let (mut done, mut states) = (0, Vec::new());
        for (number_of, wave) in list(rollout, "/waves").iter().enumerate() {
            let (succeeded, failed) = (number(wave, "/succeeded"), number(wave, "/failed"));
            done += succeeded + failed;
            let state = lower(text(wave, "/state"), "WAVE_STATE_");
            let line = format!(
                "wave {} ({}): {state}{}",
                number_of + 1,
                devices_in_words(number(wave, "/devices")),
                if succeeded + failed > 0 {
                    format!(", {succeeded} ok, {failed} failed")
                } else {
                    String::new()
                }
            );
            if waves.get(number_of) != Some(&line) && state != "pending" {
                show.note(&line);
            }
            states.push(line);
        }
        waves = states;
        let bytes = human_bytes(written.values().sum());
        let of = human_bytes(image.bytes * total);
        show.progress(format!("{done} of {total} devices done, {bytes} of {of} written"));
    }
    let state = lower(text(&last, "/state"), "ROLLOUT_STATE_");
    show.note(&format!(
        "rollout {} of {}: {state}{}",
        id(rollout),
        image.version,
        match text(&last, "/stateReason") {
            "" => String::new(),
            reason => format!(": {reason}"),
        }
    ));
    Ok(last)
}

/// Waits until no device works on the rollout any more.
pub fn settle(fleet: &mut Fleet, rollout: &Value) -> Result<Value> {
    let watch = Stopwatch::start();
    loop {
        fleet.check_alive()?;
        let now = fleet.admin().json(&["rollout", "show", id(rollout)])?;
        if list(&now, "/waves").iter().all(|wave| number(wave, "/inFlight") == 0) {
            return Ok(now);
        }
        if watch.elapsed() > PATIENCE {
            bail!("devices still work on rollout {} after {} seconds", id(rollout), PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// `1 device`, `3 devices`.
pub fn devices_in_words(count: u64) -> String {
    if count == 1 { "1 device".to_owned() } else { format!("{count} devices") }
}

/// The updates that a rollout brought to devices.
pub fn updates(admin: &Cli, rollout: &Value) -> Result<Vec<Value>> {
    let filter = format!("rollout = \"{}\"", id(rollout));
    let updates = admin.json(&["device", "updates", "--filter", &filter])?;
    updates.as_array().cloned().context("`slipway device updates` printed no list")
}

/// The device of an update, `devices/{id}/updates/{id}`.
pub fn device_of(update: &Value) -> &str {
    text(update, "/name").split('/').nth(1).unwrap_or_default()
}

/// Fails unless a rollout is in a state.
pub fn expect(rollout: &Value, state: &str) -> Result<()> {
    let is = lower(text(rollout, "/state"), "ROLLOUT_STATE_");
    if is != state {
        bail!(
            "rollout {} of {} is {is} ({}), not {state}",
            id(rollout),
            text(rollout, "/release"),
            text(rollout, "/stateReason")
        );
    }
    Ok(())
}

/// `WAVE_STATE_OPEN` as `open`.
pub fn lower(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase().replace('_', " ")
}
