//! CPU time and memory of a process, by the kernel's account.

use std::{fs, time::Duration};

/// What all threads of a process have used, to the nanosecond.
///
/// # Panics
///
/// When there is no such process, or the kernel keeps no account (`CONFIG_SCHED_INFO`).
pub fn used(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("a running process");
    let nanos = threads
        .map(|thread| {
            let path = thread.expect("a thread").path().join("schedstat");
            // A thread that ended between the listing and now takes its time with it: what is measured keeps its own.
            let text = fs::read_to_string(path).expect("the scheduler's account");
            text.split_whitespace().next().and_then(|nanos| nanos.parse::<u64>().ok()).expect("nanoseconds")
        })
        .sum();
    Duration::from_nanos(nanos)
}

/// The most memory that a process ever held, in bytes.
///
/// # Panics
///
/// When there is no such process.
pub fn peak_memory(process: u32) -> u64 {
    status(process, "VmHWM:")
}

/// The memory that a process holds, in bytes.
///
/// # Panics
///
/// When there is no such process.
pub fn memory(process: u32) -> u64 {
    status(process, "VmRSS:")
}

fn status(process: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a line about memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") * 1024
}
