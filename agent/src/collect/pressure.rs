//! Pressure stall information: the share of time in which work waited for a resource.

use super::{
    SYSTEM, Sink, Sysroot,
    dictionary::{
        Metric, PRESSURE_CPU, PRESSURE_IO, PRESSURE_IO_FULL, PRESSURE_MEMORY, PRESSURE_MEMORY_FULL,
    },
};

/// `full` says nothing for the processor: there is always somebody who runs.
const METRICS: [(&str, &str, Metric); 5] = [
    ("cpu", "some", PRESSURE_CPU),
    ("memory", "some", PRESSURE_MEMORY),
    ("memory", "full", PRESSURE_MEMORY_FULL),
    ("io", "some", PRESSURE_IO),
    ("io", "full", PRESSURE_IO_FULL),
];

pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    for (resource, kind, metric) in METRICS {
        let text = root.text(&format!("proc/pressure/{resource}"));
        // The minute's average: what lies between two samples is in it.
        let percent = text.as_deref().and_then(|text| {
            let line = text.lines().find(|line| line.split(' ').next() == Some(kind))?;
            line.split(' ').find_map(|field| field.strip_prefix("avg60=")?.parse::<f64>().ok())
        });
        sink.take_some(SYSTEM, metric, percent.map(|percent| percent / 100.0));
    }
}
