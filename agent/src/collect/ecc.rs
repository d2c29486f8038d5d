//! Errors in memory, as a controller with error correction counts them.

use super::{
    Sink, Sysroot,
    dictionary::{ECC_CORRECTED, ECC_UNCORRECTED},
};

/// One controller each. The driver counts from when it was loaded, which is at the boot.
pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    let folder = "sys/devices/system/edac/mc";
    for controller in root.numbered(folder, "mc") {
        for (file, metric) in [("ce_count", ECC_CORRECTED), ("ue_count", ECC_UNCORRECTED)] {
            sink.take_some(&controller, metric, root.number(&format!("{folder}/{controller}/{file}")));
        }
    }
}
