//! What other programs say of the machine: really run, with what the real ones print.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use slipway_agent::collect::{Collector, Sysroot};
use slipway_proto::v1::Reading;

use crate::{NOW, READINGS, build, spell};

/// Programs are asked at most so often, in milliseconds.
const PAUSE: i64 = 600_000;

/// The readings of the first look that has any.
async fn first(collector: &mut Collector, now: i64) -> Vec<Reading> {
    for _ in 0..600 {
        let readings = collector.collect(now);
        if !readings.is_empty() {
            return readings;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the programs did not answer");
}

#[tokio::test]
async fn disks_and_units_are_asked_of_programs_that_are_there() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hardware/smartctl.txt");
    let fixture = fs::read_to_string(path).unwrap();
    let folder = build(&fixture);
    for program in ["usr/bin/systemctl", "usr/sbin/smartctl"] {
        fs::set_permissions(folder.path().join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut collector = Collector::new(Sysroot::new(folder.path()));
    let mut taken = Vec::new();
    let expected = fixture.split(READINGS).nth(1).unwrap();
    while taken.len() < expected.lines().count() {
        taken.extend(first(&mut collector, NOW).await);
    }
    assert_eq!(spell(&taken), expected);
    assert_eq!(collector.collect(NOW + PAUSE - 1), [], "not asked again yet");
    collector.collect(NOW + PAUSE);
    assert!(!first(&mut collector, NOW + PAUSE).await.is_empty());
}

#[tokio::test]
async fn a_program_that_is_not_there_is_not_missed() {
    let folder = build("/sys/block/sda/device/model\n  A disk\n/usr/sbin/smartctl\n  not a program\n");
    let mut collector = Collector::new(Sysroot::new(folder.path()));
    for minute in 0..30 {
        assert_eq!(collector.collect(NOW + minute * 60_000), []);
        tokio::task::yield_now().await;
    }
}
