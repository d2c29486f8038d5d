//! Memory that is left, as the kernel estimates it.

use slipway_proto::v1::DataClass;

use super::{SYSTEM, Sink, Sysroot};

pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    let Some(text) = root.text("proc/meminfo") else { return };
    let kilobytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()
    };
    let (Some(total), Some(available)) = (kilobytes("MemTotal"), kilobytes("MemAvailable")) else { return };
    let class = DataClass::Diagnostic;
    sink.gauge(SYSTEM, "system.linux.memory.available", "By", class, available * 1024.0);
    if total > 0.0 {
        sink.gauge(SYSTEM, "system.memory.utilization", "1", class, 1.0 - available / total);
    }
}
