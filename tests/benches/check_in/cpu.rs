//! CPU time of another process, to the nanosecond.

use std::{fs, time::Duration};

/// What all threads of a process have used, by the scheduler's own account.
///
/// # Panics
///
/// When there is no such process, or the kernel keeps no account (`CONFIG_SCHED_INFO`).
pub fn used(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("a running process");
    let nanos = threads
        .map(|thread| {
            let path = thread.expect("a thread").path().join("schedstat");
            // A thread that ended between the listing and now takes its time with it; neither server has such.
            let text = fs::read_to_string(path).expect("the scheduler's account");
            text.split_whitespace().next().and_then(|nanos| nanos.parse::<u64>().ok()).expect("nanoseconds")
        })
        .sum();
    Duration::from_nanos(nanos)
}
