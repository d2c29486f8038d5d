//! How full the disks are.

use std::collections::BTreeSet;

use super::{
    Sink, Sysroot,
    dictionary::{FILESYSTEM_INODES, FILESYSTEM_UTILIZATION},
};

/// Each file system on a block device once, wherever else it is bound to. Essential: a device whose
/// disk is full cannot be updated.
pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    let Some(mounts) = root.text("proc/mounts") else { return };
    let mut seen = BTreeSet::new();
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(source), Some(target)) = (fields.next(), fields.next()) else { continue };
        let Some(device) = source.strip_prefix("/dev/") else { continue };
        if device.starts_with("loop") || !seen.insert(device.to_owned()) {
            continue;
        }
        // The kernel writes a space in a path as \040; such a mount point is left out.
        let Ok(filesystem) = rustix::fs::statvfs(root.path(target)) else { continue };
        let (blocks, free, available) =
            (filesystem.f_blocks as f64, filesystem.f_bfree as f64, filesystem.f_bavail as f64);
        let name = device.rsplit('/').next().unwrap_or(device);
        let used = blocks - free;
        if used + available > 0.0 {
            // As `df` counts: what only root may use is not available.
            let share = used / (used + available);
            sink.take(name, FILESYSTEM_UTILIZATION, share);
        }
        // Some file systems make inodes as they need them, and say 0.
        let (inodes, left) = (filesystem.f_files as f64, filesystem.f_ffree as f64);
        if inodes > 0.0 {
            sink.take(name, FILESYSTEM_INODES, 1.0 - left / inodes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_file_system_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("proc")).unwrap();
        fs::create_dir_all(folder.path().join("data")).unwrap();
        let mounts = "proc /proc proc rw 0 0\n/dev/mapper/vg-root / ext4 rw 0 0\n/dev/mapper/vg-root /bind ext4 rw 0 0\n\
                      /dev/loop3 /snap squashfs ro 0 0\n/dev/sda1 /data ext4 rw 0 0\n/dev/sdb1 /gone ext4 rw 0 0\n";
        fs::write(folder.path().join("proc/mounts"), mounts).unwrap();
        let mut sink = Sink::new(0, "");
        read(&Sysroot::new(folder.path()), &mut sink);
        let readings = sink.into_readings();
        let space = readings.iter().filter(|reading| reading.metric == FILESYSTEM_UTILIZATION.name());
        let names: Vec<&str> = space.map(|reading| reading.component.as_str()).collect();
        assert_eq!(names, ["vg-root", "sda1"]);
        assert!(readings.iter().all(|reading| (0.0..=1.0).contains(&reading.value)));
    }
}
