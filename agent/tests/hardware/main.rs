//! Machines written down as files, and every reading that the agent takes of them.
//!
//! A fixture is a text: a line that begins with `/` is a file, the indented lines below are what it holds, and
//! `PATH -> TARGET` is a link. Behind the line `readings` stands what comes of it, a line a reading: component,
//! metric, value. What stands in the files is spelled as the kernel's documentation spells it (`docs/metrics.md`).
//! A fixture that is to be renewed: run with `SLIPWAY_WRITE_FIXTURES=1`, and read the difference.

mod programs;

use std::{env, fs, os::unix::fs::symlink, path::Path};

use slipway_agent::collect::{Collector, Sysroot, dictionary};
use slipway_proto::v1::{DataClass, Reading};
use tempfile::TempDir;

/// 2026-11-22T00:00:00Z.
pub const NOW: i64 = 1_795_305_600_000;
const READINGS: &str = "\nreadings\n";

/// Puts the files of a fixture below a folder.
pub fn build(fixture: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let place = |path: &str| {
        let path = folder.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    let mut file = None;
    for line in fixture.split(READINGS).next().unwrap().lines().filter(|line| !line.starts_with('#')) {
        if let Some((path, target)) = line.split_once(" -> ") {
            symlink(target, place(path)).unwrap();
        } else if line.starts_with('/') {
            file = Some(place(line));
            fs::write(file.as_ref().unwrap(), "").unwrap();
        } else if let Some(content) = line.strip_prefix("  ") {
            let file = file.as_ref().expect("a file before its content");
            fs::write(file, fs::read_to_string(file).unwrap() + content + "\n").unwrap();
        }
    }
    folder
}

/// As a fixture spells them.
pub fn spell(readings: &[Reading]) -> String {
    let mut lines: Vec<String> = readings
        .iter()
        .map(|reading| format!("{} {} {}\n", reading.component, reading.metric, reading.value))
        .collect();
    lines.sort();
    lines.concat()
}

fn machine(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hardware").join(name);
    let fixture = fs::read_to_string(&path).unwrap();
    let (files, expected) = fixture.split_once(READINGS).unwrap_or((&fixture, ""));
    let folder = build(files);
    let readings = Collector::new(Sysroot::new(folder.path())).collect(NOW);
    for reading in &readings {
        let metric = dictionary::by_name(&reading.metric).expect("a metric of the dictionary");
        assert_eq!((reading.unit.as_str(), reading.data_class()), (metric.unit(), metric.class()));
        assert_ne!(reading.data_class(), DataClass::Unspecified);
        let counts = metric.kind() == dictionary::Kind::Counter;
        assert_eq!(reading.boot_id.is_empty(), !counts, "{}", reading.metric);
    }
    let taken = spell(&readings);
    if env::var_os("SLIPWAY_WRITE_FIXTURES").is_some() {
        fs::write(path, format!("{}{READINGS}{taken}", files.trim_end())).unwrap();
        return;
    }
    assert!(taken == expected, "{name} gives\n{taken}");
}

#[test]
fn a_gateway_with_emmc_and_a_coin_cell() {
    machine("gateway.txt");
}

#[test]
fn a_router_on_bare_flash() {
    machine("router.txt");
}

#[test]
fn an_industrial_computer_with_ecc_and_nvme() {
    machine("industrial.txt");
}

#[test]
fn a_pump_on_a_battery() {
    machine("pump.txt");
}

#[test]
fn a_machine_whose_files_say_nonsense_has_no_series() {
    machine("nonsense.txt");
}
