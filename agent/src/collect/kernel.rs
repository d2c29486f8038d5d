//! What the kernel went through: doubts about itself, faults, and records of crashes.

use super::{
    SYSTEM, Sink, Sysroot,
    dictionary::{KERNEL_CRASH_RECORDS, KERNEL_OOPSES, KERNEL_TAINT, KERNEL_WARNINGS, OOM_KILLS},
};

pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    let kills = root
        .text("proc/vmstat")
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()));
    sink.take_some(SYSTEM, OOM_KILLS, kills);
    sink.take_some(SYSTEM, KERNEL_TAINT, root.number("proc/sys/kernel/tainted"));
    sink.take_some(SYSTEM, KERNEL_OOPSES, root.number("sys/kernel/oops_count"));
    sink.take_some(SYSTEM, KERNEL_WARNINGS, root.number("sys/kernel/warn_count"));
    if root.exists("sys/fs/pstore") {
        // systemd moves them to a folder of its own, where each crash has another one.
        let stores = ["sys/fs/pstore", "var/lib/systemd/pstore"];
        let records: usize = stores.iter().map(|store| root.names(store).len()).sum();
        sink.take(SYSTEM, KERNEL_CRASH_RECORDS, records as f64);
    }
}
