//! A release that turned out bad: nobody is offered it any more, and whoever runs it is named.

use std::fs;

use slipway_proto::v1::{RolloutState, UpdateState};
use slipway_tests::{fleet::Fleet, processes::attempt};

use crate::steps::{assert_documented, assert_holds, bring, end_of, has_called, look, noise, plan, roll_out};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_release_is_withdrawn_and_a_better_one_follows() {
    let mut fleet = Fleet::start(2, b"factory", &["--check-in-interval", "1"], &[]);
    fleet.run_agent(0);
    has_called(&fleet.admin(), "pump-1").await;
    let (good, bad, better) = (noise(1, 4_000), noise(2, 4_000), noise(3, 4_000));
    fleet.publish(&good, "1.0.0");
    fleet.publish(&bad, "2.0.0");
    // It reaches the first device; the second sleeps, and the rollout waits for it.
    let rollout = roll_out(&fleet.admin(), plan("2.0.0", "")).await;
    assert_eq!(end_of(&fleet, "pump-1", &rollout).await.state(), UpdateState::Succeeded);
    assert_holds(&fleet.devices[0], "b", &bad, "release 2");

    let (keys, profile) = (fleet.path("keys"), fleet.path("server/client.toml"));
    let mut line = vec!["--profile", &profile, "release", "withdraw", "pump/2.0.0", "--keys", &keys];
    line.extend(["--reason", "it eats disks"]);
    let unasked = attempt("slipway", &line);
    let said = String::from_utf8_lossy(&unasked.stderr).into_owned();
    assert!(said.contains("- release 2.0.0: counter 2"), "{said}");
    assert!(said.contains("see docs/errors/CONFIRMATION_REQUIRED.md"), "{said}");
    line.push("--yes");
    let done = fleet.slipway(&line[2..]);
    let id = rollout.trim_start_matches("rollouts/");
    assert!(done.contains("withdrawn       pump/2.0.0") && done.contains(id), "{done}");
    assert!(done.contains("still run by    1 device: pump-1"), "{done}");
    let ended = look(&fleet.admin(), &rollout).await;
    assert_eq!(ended.state(), RolloutState::Aborted);
    assert!(ended.state_reason.contains("pump/2.0.0 was withdrawn: it eats disks"), "{ended:?}");
    assert!(fleet.slipway(&["release", "list"]).contains("2.0.0 (withdrawn)"));
    let shown = fleet.slipway(&["release", "show", "pump/2.0.0"]);
    assert!(shown.contains("withdrawn: nobody is offered it"), "{shown}");
    let again = ["--profile", &profile, "rollout", "create", "pump/2.0.0"];
    let refused = attempt("slipway", &again);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("RELEASE_NOT_FOUND"), "{refused:?}");

    // Its version is never used again, and the fleet goes on with a better one.
    let image = fleet.path("again.img");
    fs::write(&image, noise(4, 100)).expect("an image");
    let mut publish = vec!["--profile", &profile, "release", "publish", &image, "--version", "2.0.0"];
    publish.extend(["--product", "pump", "--hardware", "gw-a", "--keys", &keys]);
    let refused = attempt("slipway", &publish);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("VERSION_NOT_NEWER"), "{refused:?}");
    fleet.run_agent(1);
    has_called(&fleet.admin(), "pump-2").await;
    assert_eq!(fleet.devices[1].running(), b"factory", "the sleeper was never offered the bad one");
    fleet.publish(&better, "2.0.1");
    let listed = fleet.slipway(&["release", "show", "pump/2.0.1"]);
    assert!(listed.contains("counter    3"), "{listed}");
    bring(&fleet, "2.0.1").await;
    for device in &fleet.devices {
        assert_holds(device, &device.boot("running"), &better, "the better one");
    }
    assert_documented("RELEASE_WITHDRAWN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stepping_stone_is_not_withdrawn_under_the_fleet() {
    let mut fleet = Fleet::start(1, b"factory", &["--check-in-interval", "1"], &[]);
    fleet.run_agent(0);
    has_called(&fleet.admin(), "pump-1").await;
    fleet.publish(b"the bridge", "1.0.0");
    let image = fleet.path("far.img");
    fs::write(&image, b"the far side").expect("an image");
    let (keys, profile) = (fleet.path("keys"), fleet.path("server/client.toml"));
    let mut publish = vec!["release", "publish", &image, "--version", "2.0.0", "--min-from", "1"];
    publish.extend(["--product", "pump", "--hardware", "gw-a", "--keys", &keys]);
    fleet.slipway(&publish);
    let line = ["--profile", &profile, "release", "withdraw", "pump/1.0.0", "--keys", &keys, "--yes"];
    let refused = attempt("slipway", &line);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("see docs/errors/RELEASE_NEEDED.md") && said.contains("pump-1"), "{said}");
    bring(&fleet, "1.0.0").await;
    bring(&fleet, "2.0.0").await;
    fleet.slipway(&line[2..]);
    let listed = fleet.slipway(&["release", "list"]);
    assert!(listed.contains("1.0.0 (withdrawn)"), "{listed}");
}
