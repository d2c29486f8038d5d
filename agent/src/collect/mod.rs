//! Readings of the machine itself, from the kernel's own interfaces below a given root.
//!
//! What can be read, with names and units, is in [`dictionary`]. What a machine does not have makes no
//! series: an absent sensor is never a zero. Counters carry the boot in which they started.

mod boots;
pub mod dictionary;
mod disk;
mod ecc;
mod ext4;
mod filesystem;
mod flash;
mod hwmon;
mod kernel;
mod load;
mod memory;
mod network;
mod pcie;
mod power;
mod pressure;
mod programs;
mod quiet;
mod rtc;
mod sink;
mod smart;
mod sysroot;
#[cfg(test)]
mod tests;
mod thermal;
mod watchdog;

pub use boots::{BootError, Boots};
pub use quiet::Quiet;
pub use sink::{SYSTEM, Sink, component_name, wire_time};
use slipway_proto::v1::Reading;
pub use sysroot::Sysroot;

/// Reads the machine; remembers what differences need.
#[derive(Debug)]
pub struct Collector {
    root: Sysroot,
    disks: disk::Disks,
    programs: programs::Programs,
}

impl Collector {
    /// Reads below `root`, `/` on a real machine.
    pub fn new(root: Sysroot) -> Self {
        Self { programs: programs::Programs::new(&root), root, disks: disk::Disks::default() }
    }

    /// The boot of the kernel; empty where it does not say.
    pub fn boot_id(&self) -> String {
        self.root.text("proc/sys/kernel/random/boot_id").unwrap_or_default()
    }

    /// Every reading that the machine has, at `now` in milliseconds.
    pub fn collect(&mut self, now: i64) -> Vec<Reading> {
        let mut sink = Sink::new(now, &self.boot_id());
        self.read(&mut sink);
        sink.into_readings()
    }

    /// The same into a sink.
    pub fn read(&mut self, sink: &mut Sink) {
        let root = &self.root;
        load::read(root, sink);
        memory::read(root, sink);
        pressure::read(root, sink);
        filesystem::read(root, sink);
        ext4::read(root, sink);
        flash::read(root, sink);
        hwmon::read(root, sink);
        thermal::read(root, sink);
        power::read(root, sink);
        ecc::read(root, sink);
        pcie::read(root, sink);
        kernel::read(root, sink);
        watchdog::read(root, sink);
        network::read(root, sink);
        rtc::read(root, sink);
        self.disks.read(root, sink);
        self.programs.read(sink);
    }
}
