//! Load and uptime.

use super::{
    SYSTEM, Sink, Sysroot,
    dictionary::{LOAD_1M, LOAD_5M, LOAD_15M, UPTIME},
};

pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    if let Some(text) = root.text("proc/loadavg") {
        for (metric, field) in [LOAD_1M, LOAD_5M, LOAD_15M].into_iter().zip(text.split(' ')) {
            sink.take_some(SYSTEM, metric, field.parse().ok());
        }
    }
    let uptime = root.text("proc/uptime").and_then(|text| text.split(' ').next()?.parse().ok());
    sink.take_some(SYSTEM, UPTIME, uptime);
}
