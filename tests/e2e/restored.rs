//! A server that was set back to an older backup, under devices that have seen more since.

use std::process::Command;

use slipway_proto::v1::UpdateState;
use slipway_tests::fleet::Fleet;

use crate::steps::{assert_holds, end_of, has_called, noise, plan, roll_out};

fn copy(from: &str, to: &str) {
    let _ = std::fs::remove_dir_all(to);
    let status = Command::new("cp").args(["-a", from, to]).status().expect("cp");
    assert!(status.success());
}

async fn bring(fleet: &Fleet, version: &str) {
    let name = roll_out(&fleet.admin(), plan(version, "")).await;
    let update = end_of(fleet, "pump-1", &name).await;
    assert_eq!(update.state(), UpdateState::Succeeded, "{version}: {update:?}");
}

/// As `deploy/README.md` says it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_follows_a_server_that_was_restored_from_a_backup() {
    let mut fleet = Fleet::start(1, b"factory", &["--check-in-interval", "1"], &[]);
    let images: Vec<Vec<u8>> = (1..=4).map(|seed| noise(seed, 5_000)).collect();
    fleet.publish(&images[0], "1.0.0");
    fleet.run_agent(0);
    has_called(&fleet.admin(), "pump-1").await;
    bring(&fleet, "1.0.0").await;

    let (data, backup) = (fleet.path("server"), fleet.path("backup"));
    fleet.server.kill();
    copy(&data, &backup);
    fleet.restart_server();
    fleet.publish(&images[1], "2.0.0");
    bring(&fleet, "2.0.0").await;
    let keys = fleet.path("keys");
    let sign = ["--keys", &keys, "--no-passphrase", "--yes"];
    // The yearly ceremony: the device takes root 2 with its next release.
    fleet.slipway(&[&["trust", "rotate"], &sign[..]].concat());
    fleet.publish(&images[3], "2.1.0");
    bring(&fleet, "2.1.0").await;

    // The disk is lost. The backup knows neither the releases, nor root 2, nor what it signed since.
    fleet.server.kill();
    copy(&backup, &data);
    fleet.restart_server();
    fleet.slipway(&["trust", "restore", "--root", &fleet.path("keys/root.json")]);
    fleet.slipway(&[&["trust", "rotate", "timestamp", "snapshot", "director"], &sign[..]].concat());
    fleet.publish(&images[1], "2.0.0");
    fleet.publish(&images[3], "2.1.0");
    fleet.publish(&images[2], "3.0.0");
    bring(&fleet, "3.0.0").await;
    let slot = fleet.devices[0].boot("running");
    assert_holds(&fleet.devices[0], &slot, &images[2], "release 3");
}
