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
    assert_eq!(value(&readings, "mmcblk0", "slipway.disk.read_latency"), None, "one look has no difference");
    assert_eq!(find(&readings, "loop0", "system.disk.io_time"), None, "a loop device is no hardware");
    assert_eq!(find(&readings, "coretemp.temp2", "hw.temperature"), None, "a broken sensor is no zero");
    let oom = find(&readings, "system", "slipway.oom_kills").unwrap();
    assert_eq!(oom.boot_id, "6fb2c2c8-0000-4000-8000-000000000001");
    assert_eq!(oom.time, Some(prost_types::Timestamp { seconds: 1, nanos: 500_000_000 }));
    assert_eq!(find(&readings, "coretemp.package-id-0", "hw.temperature").unwrap().boot_id, "");
    assert!(readings.iter().all(|reading| dictionary::by_name(&reading.metric).is_some()));

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
