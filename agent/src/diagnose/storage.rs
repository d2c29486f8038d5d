//! Space and wear of what the device stands on.

use std::path::Path;

use slipway_proto::v1::Reading;

use super::Notes;
use crate::{
    collect::{
        Collector, Sysroot,
        dictionary::{
            DISK_LIFE_USED, EMMC_PRE_EOL, EXT4_ERRORS, FILESYSTEM_UTILIZATION, HWMON_ALARMS,
            KERNEL_CRASH_RECORDS, MTD_ECC_FAILURES, Metric, UBI_RESERVED_BLOCKS, WATCHDOG_RESET,
        },
    },
    config::{Config, StateDir},
    tls::io_words,
};

/// The journal, the spool and a file that is replaced fit into this.
const LITTLE: u64 = 8 << 20;
/// A file system that is fuller grows slow, and soon full.
const FULL: f64 = 0.95;

pub(super) fn look(state: &StateDir, config: Option<&Config>, root: &Sysroot, notes: &mut Notes) {
    space("state folder", state.path(), notes);
    if let Some(config) = config {
        space("slots", &config.slots, notes);
    }
    let readings = Collector::new(root.clone()).collect(0);
    for rule in RULES {
        let Rule { metric, is_bad, what, hint } = rule;
        for reading in
            readings.iter().filter(|reading| reading.metric == metric.name() && is_bad(reading.value))
        {
            notes.warn("hardware", what(reading), hint);
        }
    }
}

fn space(what: &'static str, path: &Path, notes: &mut Notes) {
    let disk = match rustix::fs::statvfs(path) {
        Ok(disk) => disk,
        Err(error) => {
            let hint = "look whether the disk is mounted, and at the folder's owner";
            let why = io_words(&error.into());
            notes.problem("disk", format!("cannot look at the {what} {}: {why}", path.display()), hint);
            return;
        }
    };
    if disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        let hint = "a file system that the kernel made read-only has errors: `dmesg`, `fsck`";
        notes
            .problem("disk", format!("the {what} cannot be written: its file system is read-only"), hint)
            .reason("STATE_NOT_WRITABLE");
        return;
    }
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let said = format!("{} MiB are free for the {what}", free >> 20);
    if free < LITTLE || (disk.f_files > 0 && disk.f_favail == 0) {
        let hint = "make room: what is not written down cannot be updated";
        notes.problem("disk", said, hint).reason("STATE_IO_FAILED");
    } else {
        notes.ok("disk", said);
    }
}

/// What of the machine's readings is bad news by itself, without a limit that somebody set.
struct Rule {
    metric: Metric,
    is_bad: fn(f64) -> bool,
    what: fn(&Reading) -> String,
    hint: &'static str,
}

const REPLACE: &str = "plan to replace it: it may soon take no more writes";

const RULES: &[Rule] = &[
    Rule {
        metric: FILESYSTEM_UTILIZATION,
        is_bad: |value| value > FULL,
        what: |r| format!("the file system on {} is full to {:.0} %", r.component, r.value * 100.0),
        hint: "make room",
    },
    Rule {
        metric: DISK_LIFE_USED,
        is_bad: |value| value >= 0.8,
        what: |r| {
            format!("{} has used {:.0} % of the life that its maker gives it", r.component, r.value * 100.0)
        },
        hint: REPLACE,
    },
    Rule {
        metric: EMMC_PRE_EOL,
        is_bad: |value| value >= 2.0,
        what: |r| format!("{} has used most of its spare blocks", r.component),
        hint: REPLACE,
    },
    Rule {
        metric: UBI_RESERVED_BLOCKS,
        is_bad: |value| value == 0.0,
        what: |r| format!("{} has no block left to stand in for a bad one", r.component),
        hint: REPLACE,
    },
    Rule {
        metric: MTD_ECC_FAILURES,
        is_bad: |value| value > 0.0,
        what: |r| format!("{} could not be read {} times since the boot", r.component, r.value),
        hint: "data may be lost; plan to replace it",
    },
    Rule {
        metric: EXT4_ERRORS,
        is_bad: |value| value > 0.0,
        what: |r| format!("the file system on {} has noted {} errors", r.component, r.value),
        hint: "have it checked at the next boot: `fsck.mode=force` on the kernel's command line",
    },
    Rule {
        metric: HWMON_ALARMS,
        is_bad: |value| value > 0.0,
        what: |r| format!("the monitoring chip {} raises {} alarms", r.component, r.value),
        hint: "look at supply, fans and temperatures: `sensors`",
    },
    Rule {
        metric: WATCHDOG_RESET,
        is_bad: |value| value > 0.0,
        what: |r| format!("{} has reset the machine: it hung before this boot", r.component),
        hint: "look at what was written last before the boot: `journalctl -b -1 -e`",
    },
    Rule {
        metric: KERNEL_CRASH_RECORDS,
        is_bad: |value| value > 0.0,
        what: |r| format!("{} records of crashes of the kernel lie in store", r.value),
        hint: "read them in /sys/fs/pstore and /var/lib/systemd/pstore, then remove them",
    },
];
