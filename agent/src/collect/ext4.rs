//! What ext4 remembers of a file system's life: errors, and bytes written to it.

use slipway_proto::v1::DataClass;

use super::{Sink, Sysroot};

/// Both live in the superblock and survive a boot, so they are no counters of a boot.
pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    for device in root.names("sys/fs/ext4") {
        let number = |file: &str| root.number(&format!("sys/fs/ext4/{device}/{file}"));
        if let Some(errors) = number("errors_count") {
            sink.gauge(&device, "slipway.ext4.errors", "1", DataClass::Diagnostic, errors);
        }
        if let Some(kilobytes) = number("lifetime_write_kbytes") {
            let metric = "slipway.ext4.lifetime_writes";
            sink.gauge(&device, metric, "By", DataClass::Diagnostic, kilobytes * 1024.0);
        }
    }
}
