//! What ext4 remembers of a file system's life: errors, and bytes written to it.

use super::{
    Sink, Sysroot,
    dictionary::{EXT4_ERRORS, EXT4_LIFETIME_WRITES},
};

/// Both live in the superblock and survive a boot, so they are no counters of a boot.
pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    for device in root.names("sys/fs/ext4") {
        let number = |file: &str| root.number(&format!("sys/fs/ext4/{device}/{file}"));
        sink.take_some(&device, EXT4_ERRORS, number("errors_count"));
        let written = number("lifetime_write_kbytes").map(|kilobytes| kilobytes * 1024.0);
        sink.take_some(&device, EXT4_LIFETIME_WRITES, written);
    }
}
