//! Batteries, and supplies from outside.

use super::{
    Sink, Sysroot,
    dictionary::{
        BATTERY_CHARGE, BATTERY_CYCLES, BATTERY_HEALTH, BATTERY_TIME_LEFT, POWER_ONLINE, TEMPERATURE, VOLTAGE,
    },
};

pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    for supply in root.names("sys/class/power_supply") {
        let file = |name: &str| format!("sys/class/power_supply/{supply}/{name}");
        // The battery of a mouse is not this machine's.
        if root.text(&file("scope")).as_deref() == Some("Device") {
            continue;
        }
        if root.text(&file("type")).as_deref() == Some("Battery") {
            battery(&supply, sink, |name| root.number(&file(name)));
        } else {
            sink.take_some(&supply, POWER_ONLINE, root.number(&file("online")));
        }
    }
}

/// The kernel gives microvolts, microwatt-hours or microampere-hours, and tenths of a degree.
fn battery(supply: &str, sink: &mut Sink, number: impl Fn(&str) -> Option<f64>) {
    if number("present") == Some(0.0) {
        return;
    }
    sink.take_some(supply, BATTERY_CHARGE, number("capacity").map(|percent| percent / 100.0));
    sink.take_some(supply, BATTERY_TIME_LEFT, number("time_to_empty_now").filter(|seconds| *seconds > 0.0));
    let health = ["energy", "charge"].into_iter().find_map(|kind| {
        let new = number(&format!("{kind}_full_design")).filter(|design| *design > 0.0)?;
        Some(number(&format!("{kind}_full"))? / new)
    });
    sink.take_some(supply, BATTERY_HEALTH, health);
    // 0 and -1 are what drivers say that do not count.
    sink.take_some(supply, BATTERY_CYCLES, number("cycle_count").filter(|cycles| *cycles > 0.0));
    sink.take_some(supply, TEMPERATURE, number("temp").map(|tenths| tenths / 10.0));
    sink.take_some(supply, VOLTAGE, number("voltage_now").map(|micro| micro / 1e6));
}
