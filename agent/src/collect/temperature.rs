//! Temperatures of chips (hwmon) and thermal zones.

use std::collections::BTreeSet;

use slipway_proto::v1::DataClass;

use super::{Sink, Sysroot};

const METRIC: &str = "hw.temperature";

/// The kernel gives thousandths of a degree. Two sensors of one name are told apart by a number.
pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    let mut taken = BTreeSet::new();
    let mut add = |name: String, millidegrees: f64| {
        let mut unique = name.clone();
        let mut number = 2;
        while !taken.insert(unique.clone()) {
            unique = format!("{name}-{number}");
            number += 1;
        }
        sink.gauge(&unique, METRIC, "Cel", DataClass::Diagnostic, millidegrees / 1000.0);
    };
    for chip in root.names("sys/class/hwmon") {
        let folder = format!("sys/class/hwmon/{chip}");
        let name = root.text(&format!("{folder}/name")).unwrap_or(chip);
        for file in root.names(&folder) {
            let Some(sensor) = file.strip_suffix("_input").filter(|sensor| sensor.starts_with("temp")) else {
                continue;
            };
            let label = root.text(&format!("{folder}/{sensor}_label")).unwrap_or_else(|| sensor.to_owned());
            if let Some(value) = root.number(&format!("{folder}/{file}")) {
                add(format!("{name}.{label}"), value);
            }
        }
    }
    for zone in root.names("sys/class/thermal") {
        if !zone.starts_with("thermal_zone") {
            continue;
        }
        let name = root.text(&format!("sys/class/thermal/{zone}/type")).unwrap_or_else(|| zone.clone());
        if let Some(value) = root.number(&format!("sys/class/thermal/{zone}/temp")) {
            add(name, value);
        }
    }
}
