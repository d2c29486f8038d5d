//! What people are told about devices that are broken in one way or another.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use tempfile::TempDir;

use super::*;
use crate::{
    diary::Diary,
    journal::Journal,
    machine::{Failures, Reason, Snapshot, State},
};

/// 2026-11-22T00:00:00Z.
const NOW: i64 = 1_795_305_600_000;

struct Device {
    folder: TempDir,
    state: StateDir,
    shown: Arc<AtomicI64>,
}

/// A device whose server is nowhere: port 9 of the loopback interface, where nobody listens.
fn device() -> Device {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::new(&folder.path().join("state"));
    fs::create_dir_all(state.path()).unwrap();
    fs::create_dir_all(folder.path().join("slots")).unwrap();
    let config = format!(
        "server = \"https://127.0.0.1:9\"\ndevice_id = \"pump-1\"\nproduct = \"pump\"\nhardware = \"gw-a\"\ncomponent = \
         \"system\"\nslots = {:?}\n",
        folder.path().join("slots")
    );
    fs::write(state.config(), config).unwrap();
    Device { folder, state, shown: Arc::new(AtomicI64::new(NOW)) }
}

impl Device {
    async fn report(&self) -> Report {
        let shown = self.shown.clone();
        let clock = Clock::from_source(Arc::new(move || shown.load(Ordering::Relaxed)));
        diagnose(&self.state, &self.folder.path().join("root"), &clock).await
    }

    fn journal(&self, snapshot: &Snapshot) {
        let (mut journal, _) = Journal::open(&self.state.journal()).unwrap();
        journal.append(&serde_json::to_vec(snapshot).unwrap()).unwrap();
    }
}

/// The only finding about something.
fn find<'a>(report: &'a Report, area: &str) -> &'a Finding {
    let found: Vec<&Finding> = report.findings.iter().filter(|finding| finding.area == area).collect();
    assert_eq!(found.len(), 1, "{area}: {report:?}");
    found[0]
}

fn assert_found(report: &Report, area: &str, level: Level, what: &str) {
    let finding = find(report, area);
    assert!(finding.level == level && finding.what.contains(what), "{area}: {finding:?}");
    assert!(level == Level::Ok || finding.hint.is_some(), "{area}: nothing to do about it");
}

#[tokio::test]
async fn a_folder_that_is_no_device_is_a_finding_and_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::new(&folder.path().join("nowhere"));
    let report = diagnose(&state, folder.path(), &Clock::from_source(Arc::new(|| NOW))).await;
    assert!(!report.healthy);
    assert_found(&report, "settings", Level::Problem, "not enrolled");
    assert_eq!(find(&report, "settings").reason.as_deref(), Some("NOT_ENROLLED"));
    assert_found(&report, "agent", Level::Problem, "not running");
    assert_found(&report, "disk", Level::Problem, "state folder");
    let text = report.to_text();
    assert!(
        text.starts_with("PROBLEM  settings     ") && text.contains("\n                      hint: enrol"),
        "{text}"
    );
}

#[tokio::test]
async fn every_file_may_be_garbage() {
    let device = device();
    for name in [
        "key.pem",
        "certificate.pem",
        "server-ca.pem",
        "journal",
        "consent.toml",
        "status.json",
        "boots",
        "inhibit",
        "metadata/root.json",
        "metadata/clock",
        "metadata/floor",
        "spool/00000000000000000001.spool",
    ] {
        let path = device.state.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, [0xff; 300]).unwrap();
    }
    fs::write(device.folder.path().join("slots/boot.env"), "garbage").unwrap();
    let report = device.report().await;
    assert_found(&report, "key", Level::Problem, "key.pem");
    assert_found(&report, "trust", Level::Problem, "root is not a valid document");
    assert_found(
        &report,
        "network",
        Level::Problem,
        "cannot connect to 127.0.0.1: 127.0.0.1:9: Connection refused",
    );
    assert_found(&report, "boot", Level::Problem, "boot.env");
    assert_found(&report, "floor", Level::Warning, "damaged");
    assert_found(&report, "journal", Level::Warning, "damaged at byte 0");
    assert_found(&report, "consent", Level::Warning, "consent.toml");
    assert_found(&report, "update", Level::Warning, "holds updates back");
    assert!(report.findings.iter().any(|found| found.area == "spool" && found.level == Level::Warning));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["healthy"], &json["findings"][0]["level"]), (&false.into(), &"ok".into()));
}

#[tokio::test]
async fn a_wrong_line_a_name_that_nobody_knows_and_an_address_that_is_none() {
    let device = device();
    let config = fs::read_to_string(device.state.config()).unwrap();
    let with = |server: &str| {
        fs::write(device.state.config(), config.replace("https://127.0.0.1:9", server)).unwrap()
    };
    with("https://fleet.invalid");
    let report = device.report().await;
    assert_found(&report, "DNS", Level::Problem, "fleet.invalid");
    with("https://a b");
    assert_found(&device.report().await, "server", Level::Problem, "is not the address of a server");
    fs::write(device.state.config(), format!("{config}port = 1\n")).unwrap();
    let report = device.report().await;
    assert_found(&report, "settings", Level::Problem, "port");
    assert!(!report.findings.iter().any(|found| found.area == "network"));
}

#[tokio::test]
async fn clocks_that_are_wrong() {
    let device = device();
    assert_found(&device.report().await, "clock", Level::Ok, "2026-11-22T00:00:00Z");
    device.shown.store(0, Ordering::Relaxed);
    assert_found(&device.report().await, "clock", Level::Warning, "it shows 1970-01-01T00:00:00Z");
}

#[tokio::test]
async fn updates_that_went_wrong() {
    let device = device();
    let mut snapshot = Snapshot::default();
    let failures =
        |byte: u8, count, last| Failures { digest: slipway_trust::Sha256::of(&[byte]), count, last };
    snapshot.memory.failures = vec![failures(1, 3, NOW - 1000), failures(2, 3, NOW - 8 * 24 * 3_600_000)];
    device.journal(&snapshot);
    let report = device.report().await;
    assert_found(&report, "quarantine", Level::Problem, "failed 3 times");
    assert_eq!(find(&report, "quarantine").reason.as_deref(), Some("RELEASE_QUARANTINED"));
    assert_found(&report, "update", Level::Ok, "none is under way");

    let reason = Reason::new("SLOT_UNEXPECTED", "it went in circles");
    device.journal(&Snapshot { state: State::Inconsistent { reason }, ..Snapshot::default() });
    assert_found(&device.report().await, "update", Level::Problem, "it went in circles");
}

#[tokio::test]
async fn what_the_agent_noted_and_whether_it_runs() {
    let device = device();
    assert_found(&device.report().await, "last contact", Level::Warning, "never");
    let mut diary = Diary::open(&device.state);
    diary.contacted(NOW - 3_600_000);
    diary.mishap(&Reason::new("SPOOL_DISK_FULL", "no room"), NOW - 60_000);
    diary.blocked(Some(Reason::new("METADATA_EXPIRED", "the timestamp has expired")));
    let lock = device.state.lock().unwrap();
    let report = device.report().await;
    assert_found(&report, "agent", Level::Ok, "running");
    assert_found(&report, "last contact", Level::Ok, "2026-11-21T23:00:00Z");
    assert_found(&report, "last error", Level::Warning, "no room");
    assert_found(&report, "blocked", Level::Problem, "the timestamp has expired");
    drop(lock);
    assert_found(&device.report().await, "agent", Level::Problem, "not running");
}

#[tokio::test]
async fn hardware_that_wears_out() {
    let device = device();
    let put = |path: &str, text: &str| {
        let path = device.folder.path().join("root").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("sys/block/mmcblk0/device/life_time", "0x09 0x01\n");
    put("sys/block/mmcblk0/device/pre_eol_info", "0x01\n");
    put("sys/fs/ext4/mmcblk0p2/errors_count", "4\n");
    let report = device.report().await;
    let told: Vec<&str> = report
        .findings
        .iter()
        .filter(|found| found.area == "hardware")
        .map(|found| found.what.as_str())
        .collect();
    assert_eq!(
        told,
        [
            "mmcblk0 has used 90 % of the life that its maker gives it",
            "the file system on mmcblk0p2 has noted 4 errors"
        ]
    );
}
