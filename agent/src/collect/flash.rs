//! Wear of memory that wears: eMMC, and bare flash below MTD and UBI.

use super::{
    Sink, Sysroot,
    dictionary::{
        DISK_LIFE_USED, EMMC_PRE_EOL, MTD_BAD_BLOCKS, MTD_CORRECTED_BITS, MTD_ECC_FAILURES, UBI_BAD_BLOCKS,
        UBI_ERASE_COUNT, UBI_GOOD_BLOCKS, UBI_RESERVED_BLOCKS,
    },
};

pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    for disk in root.names("sys/block") {
        if disk.starts_with("mmcblk") {
            emmc(root, &disk, sink);
        }
    }
    for part in root.numbered("sys/class/mtd", "mtd") {
        mtd(root, &part, sink);
    }
    for device in root.numbered("sys/class/ubi", "ubi") {
        for (file, metric) in [
            ("max_ec", UBI_ERASE_COUNT),
            ("bad_peb_count", UBI_BAD_BLOCKS),
            ("reserved_for_bad", UBI_RESERVED_BLOCKS),
            ("total_eraseblocks", UBI_GOOD_BLOCKS),
        ] {
            sink.take_some(&device, metric, root.number(&format!("sys/class/ubi/{device}/{file}")));
        }
    }
}

/// JEDEC JESD84-B51, EXT_CSD 267 to 269: 0 is "not defined", which an SD card says too.
fn emmc(root: &Sysroot, disk: &str, sink: &mut Sink) {
    let values = |file: &str| -> Vec<u32> {
        let text = root.text(&format!("sys/block/{disk}/device/{file}")).unwrap_or_default();
        let value = |word: &str| u32::from_str_radix(word.strip_prefix("0x")?, 16).ok();
        text.split_whitespace().filter_map(value).collect()
    };
    // A tenth of the life a step, up to 10; 11 is beyond it.
    if let Some(used) = values("life_time").into_iter().filter(|step| (1..=11).contains(step)).max() {
        sink.take(disk, DISK_LIFE_USED, f64::from(used) / 10.0);
    }
    if let Some(state) = values("pre_eol_info").first().filter(|state| (1..=3).contains(*state)) {
        sink.take(disk, EMMC_PRE_EOL, f64::from(*state));
    }
}

/// Flash without error correction has these files too, with zeros in them that mean nothing.
fn mtd(root: &Sysroot, part: &str, sink: &mut Sink) {
    let number = |file: &str| root.number(&format!("sys/class/mtd/{part}/{file}"));
    if number("ecc_strength").is_none_or(|strength| strength == 0.0) {
        return;
    }
    for (file, metric) in [
        ("bad_blocks", MTD_BAD_BLOCKS),
        ("corrected_bits", MTD_CORRECTED_BITS),
        ("ecc_failures", MTD_ECC_FAILURES),
    ] {
        sink.take_some(part, metric, number(file));
    }
}
