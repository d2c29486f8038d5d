//! Clocks with a battery: one that drifts or starts over is a battery that is empty.

use super::{Sink, Sysroot, dictionary::RTC_OFFSET};

pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    let now = sink.now() as f64 / 1000.0;
    for clock in root.numbered("sys/class/rtc", "rtc") {
        let shown = root.number(&format!("sys/class/rtc/{clock}/since_epoch"));
        // It shows whole seconds; what lies within one is nothing.
        sink.take_some(&clock, RTC_OFFSET, shown.map(|shown| shown - now.floor()));
    }
}
