//! Load, uptime and processes that the kernel had to kill.

use slipway_proto::v1::DataClass;

use super::{SYSTEM, Sink, Sysroot};

pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    if let Some(text) = root.text("proc/loadavg") {
        let metrics =
            ["system.cpu.load_average.1m", "system.cpu.load_average.5m", "system.cpu.load_average.15m"];
        for (metric, field) in metrics.into_iter().zip(text.split(' ')) {
            if let Ok(load) = field.parse() {
                sink.gauge(SYSTEM, metric, "1", DataClass::Diagnostic, load);
            }
        }
    }
    let uptime = root.text("proc/uptime").and_then(|text| text.split(' ').next()?.parse().ok());
    if let Some(seconds) = uptime {
        sink.gauge(SYSTEM, "system.uptime", "s", DataClass::Essential, seconds);
    }
    let kills = root
        .text("proc/vmstat")
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()));
    if let Some(count) = kills {
        sink.counter(SYSTEM, "slipway.oom_kills", "1", DataClass::Diagnostic, count);
    }
}
