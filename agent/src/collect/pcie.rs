//! Errors on PCI Express, by Advanced Error Reporting.

use super::{
    Sink, Sysroot,
    dictionary::{Metric, PCIE_CORRECTABLE, PCIE_FATAL, PCIE_NONFATAL},
};

const KINDS: [(&str, &str, Metric); 3] = [
    ("aer_dev_correctable", "TOTAL_ERR_COR", PCIE_CORRECTABLE),
    ("aer_dev_nonfatal", "TOTAL_ERR_NONFATAL", PCIE_NONFATAL),
    ("aer_dev_fatal", "TOTAL_ERR_FATAL", PCIE_FATAL),
];

/// A server has fifty such devices and no errors: their sum is always told, a single device only once it has any.
pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    let folder = "sys/bus/pci/devices";
    let devices = root.names(folder);
    for (file, total, metric) in KINDS {
        let mut sum = None;
        for device in &devices {
            let Some(text) = root.text(&format!("{folder}/{device}/{file}")) else { continue };
            let count = text.lines().find_map(|line| line.strip_prefix(total)?.trim().parse::<f64>().ok());
            let Some(count) = count else { continue };
            *sum.get_or_insert(0.0) += count;
            if count > 0.0 {
                sink.take(device, metric, count);
            }
        }
        sink.take_some("pcie", metric, sum);
    }
}
