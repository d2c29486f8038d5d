//! Monitoring chips: temperatures, fans, voltages and the alarms that the chips raise themselves.

use std::collections::BTreeSet;

use super::{
    Sink, Sysroot,
    dictionary::{FAN_SPEED, HWMON_ALARMS, Metric, TEMPERATURE, VOLTAGE},
};

/// What a kind of sensor is called, what it measures, and how many of the kernel's steps are one of its unit.
const SENSORS: [(&str, Metric, f64); 3] =
    [("temp", TEMPERATURE, 1000.0), ("fan", FAN_SPEED, 1.0), ("in", VOLTAGE, 1000.0)];

pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    // A battery shows up here once more, under a name without hyphens.
    let supplies: BTreeSet<String> =
        root.names("sys/class/power_supply").into_iter().map(|name| name.replace('-', "_")).collect();
    for chip in root.names("sys/class/hwmon") {
        let folder = format!("sys/class/hwmon/{chip}");
        let kind = root.text(&format!("{folder}/name")).unwrap_or(chip);
        if supplies.contains(&kind) {
            continue;
        }
        let name = disk(root, &folder, &kind).unwrap_or(kind);
        let mut alarms = None;
        for file in root.names(&folder) {
            if file.ends_with("_alarm") {
                let stands = root.number(&format!("{folder}/{file}")).is_some_and(|value| value != 0.0);
                alarms = Some(alarms.unwrap_or(0.0) + f64::from(u8::from(stands)));
            }
            let Some(sensor) = file.strip_suffix("_input") else { continue };
            let prefix = sensor.trim_end_matches(|c: char| c.is_ascii_digit());
            let Some((_, metric, scale)) = SENSORS.into_iter().find(|(known, ..)| *known == prefix) else {
                continue;
            };
            // A sensor that says of itself that it is broken, or that is switched off.
            let says = |what: &str, value| root.number(&format!("{folder}/{sensor}_{what}")) == Some(value);
            if says("fault", 1.0) || says("enable", 0.0) {
                continue;
            }
            let label = root.text(&format!("{folder}/{sensor}_label")).unwrap_or_else(|| sensor.to_owned());
            let value = root.number(&format!("{folder}/{file}")).map(|value| value / scale);
            sink.take_some(&format!("{name}.{label}"), metric, value);
        }
        sink.take_some(&name, HWMON_ALARMS, alarms);
    }
}

/// The sensor of a disk goes by the disk's name: all of them have the name of their driver.
fn disk(root: &Sysroot, folder: &str, kind: &str) -> Option<String> {
    match kind {
        "nvme" => root.link_name(&format!("{folder}/device")),
        "drivetemp" => root.names(&format!("{folder}/device/block")).into_iter().next(),
        _ => None,
    }
}
