//! Whether a watchdog is what started this boot.

use super::{
    Sink, Sysroot,
    dictionary::{WATCHDOG_RESET, WATCHDOG_STATUS},
};

/// WDIOF_CARDRESET in the kernel's `watchdog.h`: the card reset the machine.
const RESET: u32 = 0x20;

pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    for watchdog in root.numbered("sys/class/watchdog", "watchdog") {
        let text = root.text(&format!("sys/class/watchdog/{watchdog}/bootstatus"));
        if let Some(status) = text.and_then(|text| text.parse::<u32>().ok()) {
            sink.take(&watchdog, WATCHDOG_STATUS, f64::from(status));
            sink.take(&watchdog, WATCHDOG_RESET, f64::from(u8::from(status & RESET != 0)));
        }
    }
}
