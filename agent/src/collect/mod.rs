//! Readings of the machine itself, from the kernel's own interfaces below a given root.
//!
//! Names and units are OpenTelemetry's where it has them. What a machine does not have makes no
//! series: an absent sensor is never a zero. Counters carry the boot in which they started.

mod boots;
mod disk;
mod ext4;
mod filesystem;
mod load;
mod memory;
mod pressure;
mod sysroot;
mod temperature;

pub use boots::{BootError, Boots};
use slipway_proto::v1::{DataClass, Reading};
pub use sysroot::Sysroot;

/// The component of what belongs to the machine as a whole.
pub const SYSTEM: &str = "system";

/// Reads the machine; remembers what differences need.
#[derive(Debug)]
pub struct Collector {
    root: Sysroot,
    disks: disk::Disks,
}

impl Collector {
    /// Reads below `root`, `/` on a real machine.
    pub fn new(root: Sysroot) -> Self {
        Self { root, disks: disk::Disks::default() }
    }

    /// Every reading that the machine has, at `now` in milliseconds.
    pub fn collect(&mut self, now: i64) -> Vec<Reading> {
        let boot_id = self.root.text("proc/sys/kernel/random/boot_id").unwrap_or_default();
        let mut sink = Sink::new(now, boot_id);
        load::read(&self.root, &mut sink);
        memory::read(&self.root, &mut sink);
        pressure::read(&self.root, &mut sink);
        filesystem::read(&self.root, &mut sink);
        ext4::read(&self.root, &mut sink);
        temperature::read(&self.root, &mut sink);
        self.disks.read(&self.root, &mut sink);
        sink.readings
    }
}

/// Takes readings of one moment.
#[derive(Debug)]
pub struct Sink {
    now: i64,
    boot_id: String,
    readings: Vec<Reading>,
}

impl Sink {
    /// For readings at `now` in milliseconds, in the boot `boot_id`.
    pub fn new(now: i64, boot_id: String) -> Self {
        Self { now, boot_id, readings: Vec::new() }
    }

    /// A value that goes up and down, or that outlives a boot.
    pub fn gauge(&mut self, component: &str, metric: &str, unit: &str, class: DataClass, value: f64) {
        self.add(component, metric, unit, class, value, String::new());
    }

    /// A value that started from zero at this boot and only grows.
    pub fn counter(&mut self, component: &str, metric: &str, unit: &str, class: DataClass, value: f64) {
        let boot_id = self.boot_id.clone();
        self.add(component, metric, unit, class, value, boot_id);
    }

    /// What was taken.
    pub fn into_readings(self) -> Vec<Reading> {
        self.readings
    }

    fn add(
        &mut self,
        component: &str,
        metric: &str,
        unit: &str,
        class: DataClass,
        value: f64,
        boot_id: String,
    ) {
        if !value.is_finite() {
            return;
        }
        self.readings.push(Reading {
            component: component_name(component),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            data_class: class.into(),
            time: Some(wire_time(self.now)),
            value,
            boot_id,
        });
    }
}

/// A moment in milliseconds as it travels.
pub fn wire_time(millis: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: millis.div_euclid(1000),
        nanos: i32::try_from(millis.rem_euclid(1000)).unwrap_or(0) * 1_000_000,
    }
}

/// Sensors are labelled for people ("Package id 0"): as a component name that is `package-id-0`.
fn component_name(label: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    label.trim().chars().take(63).map(plain).collect::<String>().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A machine made of files.
    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Collector) {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, files);
        let root = Sysroot::new(folder.path());
        (folder, Collector::new(root))
    }

    fn write(folder: &tempfile::TempDir, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn find<'a>(readings: &'a [Reading], component: &str, metric: &str) -> Option<&'a Reading> {
        readings.iter().find(|reading| reading.component == component && reading.metric == metric)
    }

    fn value(readings: &[Reading], component: &str, metric: &str) -> Option<f64> {
        find(readings, component, metric).map(|reading| reading.value)
    }

    const GATEWAY: &[(&str, &str)] = &[
        ("proc/sys/kernel/random/boot_id", "6fb2c2c8-0000-4000-8000-000000000001\n"),
        ("proc/loadavg", "0.52 0.58 0.59 1/467 12345\n"),
        ("proc/uptime", "3600.50 7000.00\n"),
        ("proc/meminfo", "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     250 kB\n"),
        ("proc/vmstat", "nr_free_pages 1\npgmajfault 7\noom_kill 3\n"),
        ("proc/pressure/cpu", "some avg10=1.00 avg60=2.50 avg300=0.10 total=1\n"),
        (
            "proc/pressure/io",
            "some avg10=0.00 avg60=4.00 avg300=0 total=1\nfull avg10=0.00 avg60=1.00 avg300=0 total=1\n",
        ),
        ("sys/class/hwmon/hwmon0/name", "coretemp\n"),
        ("sys/class/hwmon/hwmon0/temp1_input", "48500\n"),
        ("sys/class/hwmon/hwmon0/temp1_label", "Package id 0\n"),
        ("sys/class/hwmon/hwmon0/temp2_input", "not a number\n"),
        ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
        ("sys/class/thermal/thermal_zone0/temp", "51234\n"),
        ("sys/fs/ext4/mmcblk0p2/errors_count", "4\n"),
        ("sys/fs/ext4/mmcblk0p2/lifetime_write_kbytes", "2048\n"),
        ("sys/fs/ext4/features/lazy_itable_init", "supported\n"),
        ("sys/block/mmcblk0/device/type", "MMC\n"),
        ("sys/block/mmcblk0/stat", "10 0 80 20 5 0 40 50 0 60 70\n"),
        ("sys/block/loop0/stat", "1 0 1 1 1 0 1 1 0 1 1\n"),
    ];

    #[test]
    fn reads_a_gateway() {
        let (folder, mut collector) = machine(GATEWAY);
        let readings = collector.collect(1_500);
        for (component, metric, expected) in [
            ("system", "system.cpu.load_average.1m", 0.52),
            ("system", "system.uptime", 3600.5),
            ("system", "system.memory.utilization", 0.75),
            ("system", "system.linux.memory.available", 256_000.0),
            ("system", "slipway.oom_kills", 3.0),
            ("system", "slipway.pressure.cpu.some", 0.025),
            ("system", "slipway.pressure.io.full", 0.01),
            ("coretemp.package-id-0", "hw.temperature", 48.5),
            ("cpu-thermal", "hw.temperature", 51.234),
            ("mmcblk0p2", "slipway.ext4.errors", 4.0),
            ("mmcblk0p2", "slipway.ext4.lifetime_writes", 2_097_152.0),
            ("mmcblk0", "system.disk.io_time", 0.06),
        ] {
            assert_eq!(value(&readings, component, metric), Some(expected), "{component} {metric}");
        }
        assert_eq!(
            value(&readings, "mmcblk0", "slipway.disk.read_latency"),
            None,
            "one look has no difference"
        );
        assert_eq!(find(&readings, "loop0", "system.disk.io_time"), None, "a loop device is no hardware");
        assert_eq!(find(&readings, "coretemp.temp2", "hw.temperature"), None, "a broken sensor is no zero");
        let oom = find(&readings, "system", "slipway.oom_kills").unwrap();
        assert_eq!(oom.boot_id, "6fb2c2c8-0000-4000-8000-000000000001");
        assert_eq!(oom.time, Some(prost_types::Timestamp { seconds: 1, nanos: 500_000_000 }));
        assert_eq!(find(&readings, "coretemp.package-id-0", "hw.temperature").unwrap().boot_id, "");

        write(&folder, &[("sys/block/mmcblk0/stat", "14 0 80 28 5 0 40 50 0 90 70\n")]);
        let readings = collector.collect(2_500);
        assert_eq!(value(&readings, "mmcblk0", "slipway.disk.read_latency"), Some(0.002));
        assert_eq!(value(&readings, "mmcblk0", "slipway.disk.write_latency"), None, "nothing was written");
    }

    #[test]
    fn a_machine_without_sensors_has_no_series() {
        let (_folder, mut collector) = machine(&[]);
        assert_eq!(collector.collect(0), []);
    }

    #[test]
    fn the_machine_of_this_test_has_the_essential_ones() {
        let mut collector = Collector::new(Sysroot::new(std::path::Path::new("/")));
        let readings = collector.collect(0);
        assert!(value(&readings, "system", "system.uptime").is_some_and(|seconds| seconds > 0.0));
        assert!(value(&readings, "system", "system.memory.utilization").is_some_and(|share| share > 0.0));
        assert!(readings.iter().all(|reading| reading.value.is_finite() && !reading.unit.is_empty()));
    }

    #[test]
    fn metric_names_are_those_the_interface_allows() {
        let (_folder, mut collector) = machine(GATEWAY);
        for reading in collector.collect(0) {
            let allowed =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '/');
            assert!(reading.metric.chars().all(allowed), "{}", reading.metric);
        }
    }
}
