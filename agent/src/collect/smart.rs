//! What `smartctl --json` says of a disk: <https://www.smartmontools.org/browser/trunk/smartmontools/json.cpp>.

use serde_json::Value;

use super::{
    Sink,
    dictionary::{
        DISK_LIFE_USED, DISK_LIFETIME_WRITES, DISK_SPARE, Metric, SMART_CRC_ERRORS,
        SMART_OFFLINE_UNCORRECTABLE, SMART_PASSED, SMART_PENDING, SMART_POWER_CYCLES, SMART_POWER_ON,
        SMART_READ_ERROR_RATE, SMART_REALLOCATED, SMART_SPIN_RETRIES, SMART_TEMPERATURE, SMART_TIMEOUTS,
        SMART_UNCORRECTABLE, SMART_UNSAFE_SHUTDOWNS, SMART_WARNING,
    },
};

/// Attributes that mean the same, or nearly, with every maker; their raw value is told.
const ATTRIBUTES: [(u64, Metric); 8] = [
    (1, SMART_READ_ERROR_RATE),
    (5, SMART_REALLOCATED),
    (10, SMART_SPIN_RETRIES),
    (187, SMART_UNCORRECTABLE),
    (188, SMART_TIMEOUTS),
    (197, SMART_PENDING),
    (198, SMART_OFFLINE_UNCORRECTABLE),
    (199, SMART_CRC_ERRORS),
];

const NVME: &str = "/nvme_smart_health_information_log";
/// An NVMe disk counts units of a thousand blocks of 512 bytes.
const DATA_UNIT: f64 = 512_000.0;

/// Reads an answer; one that is not JSON, or of a disk that sleeps, says nothing.
pub(super) fn read(disk: &str, answer: &[u8], sink: &mut Sink) {
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else { return };
    let number = |pointer: &str| answer.pointer(pointer).and_then(Value::as_f64);
    let log = |field: &str| number(&format!("{NVME}/{field}"));
    if let Some(passed) = answer.pointer("/smart_status/passed").and_then(Value::as_bool) {
        sink.take(disk, SMART_PASSED, f64::from(u8::from(passed)));
    }
    for (metric, value) in [
        (SMART_TEMPERATURE, number("/temperature/current")),
        (SMART_POWER_ON, number("/power_on_time/hours")),
        (SMART_POWER_CYCLES, number("/power_cycle_count")),
        (
            DISK_LIFE_USED,
            log("percentage_used").or_else(|| number("/endurance_used/current_percent")).map(share),
        ),
        (
            DISK_SPARE,
            log("available_spare").or_else(|| number("/spare_available/current_percent")).map(share),
        ),
        (DISK_LIFETIME_WRITES, log("data_units_written").map(|units| units * DATA_UNIT)),
        (SMART_UNCORRECTABLE, log("media_errors")),
        (SMART_WARNING, log("critical_warning")),
        (SMART_UNSAFE_SHUTDOWNS, log("unsafe_shutdowns")),
    ] {
        sink.take_some(disk, metric, value);
    }
    let table = answer.pointer("/ata_smart_attributes/table").and_then(Value::as_array);
    for attribute in table.into_iter().flatten() {
        let id = attribute.pointer("/id").and_then(Value::as_u64);
        if let Some((_, metric)) = ATTRIBUTES.iter().find(|(known, _)| Some(*known) == id) {
            sink.take_some(disk, *metric, attribute.pointer("/raw/value").and_then(Value::as_f64));
        }
    }
}

fn share(percent: f64) -> f64 {
    percent / 100.0
}
