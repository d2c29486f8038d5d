//! Memory that is left, as the kernel estimates it.

use super::{
    SYSTEM, Sink, Sysroot,
    dictionary::{MEMORY_AVAILABLE, MEMORY_UTILIZATION},
};

pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    let Some(text) = root.text("proc/meminfo") else { return };
    let kilobytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()
    };
    let (Some(total), Some(available)) = (kilobytes("MemTotal"), kilobytes("MemAvailable")) else { return };
    sink.take(SYSTEM, MEMORY_AVAILABLE, available * 1024.0);
    if total > 0.0 {
        sink.take(SYSTEM, MEMORY_UTILIZATION, 1.0 - available / total);
    }
}
