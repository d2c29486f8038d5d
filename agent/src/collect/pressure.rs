//! Pressure stall information: the share of time in which work waited for a resource.

use slipway_proto::v1::DataClass;

use super::{SYSTEM, Sink, Sysroot};

/// `full` says nothing for the processor: there is always somebody who runs.
const METRICS: [(&str, &str, &str); 5] = [
    ("cpu", "some", "slipway.pressure.cpu.some"),
    ("memory", "some", "slipway.pressure.memory.some"),
    ("memory", "full", "slipway.pressure.memory.full"),
    ("io", "some", "slipway.pressure.io.some"),
    ("io", "full", "slipway.pressure.io.full"),
];

pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    for (resource, kind, metric) in METRICS {
        let text = root.text(&format!("proc/pressure/{resource}"));
        // The minute's average: what lies between two samples is in it.
        let percent = text.as_deref().and_then(|text| {
            let line = text.lines().find(|line| line.split(' ').next() == Some(kind))?;
            line.split(' ').find_map(|field| field.strip_prefix("avg60=")?.parse::<f64>().ok())
        });
        if let Some(percent) = percent {
            sink.gauge(SYSTEM, metric, "1", DataClass::Diagnostic, percent / 100.0);
        }
    }
}
