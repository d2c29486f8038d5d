//! Keys change hands: real agents follow, and those that slept catch up.

use std::fs;

use http_body_util::BodyExt as _;
use slipway_proto::v1::UpdateState;
use slipway_tests::{
    fleet::{Fleet, PRODUCT},
    processes::attempt,
    world::World,
};
use tonic::body::Body;
use tower::{Service as _, ServiceExt as _};

use crate::steps::{assert_holds, bring, end_of, has_called, noise, plan, roll_out};

/// Brings a version to the first device; the other one sleeps.
async fn bring_to_the_first(fleet: &Fleet, version: &str) {
    let name = roll_out(&fleet.admin(), plan(version, "")).await;
    let update = end_of(fleet, "pump-1", &name).await;
    assert_eq!(update.state(), UpdateState::Succeeded, "{update:?}");
    fleet.slipway(&["rollout", "abort", &name]);
}

/// Rotates these roles with the keys of the desk, and says what was said.
fn rotate(fleet: &Fleet, roles: &[&str]) {
    let keys = fleet.path("keys");
    let mut line = vec!["trust", "rotate"];
    line.extend(roles);
    line.extend(["--keys", &keys, "--no-passphrase", "--yes"]);
    fleet.slipway(&line);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_follow_three_rotations_and_one_sleeps_through_them() {
    let options = ["--check-in-interval", "1"];
    let mut fleet = Fleet::start(2, b"factory", &options, &[]);
    fleet.run_agent(0);
    let images: Vec<Vec<u8>> = (1..=4).map(|seed| noise(seed, 5_000)).collect();
    fleet.publish(&images[0], "1.0.0");
    has_called(&fleet.admin(), "pump-1").await;
    bring_to_the_first(&fleet, "1.0.0").await;
    assert_holds(&fleet.devices[0], "b", &images[0], "release 1");

    // Everybody's keys; then the server's own; then all of them.
    let people = ["root", "targets", "publisher"];
    let server = ["timestamp", "snapshot", "director"];
    let all = [people, server].concat();
    for (number, roles) in (1..).zip([&people[..], &server[..], &all[..]]) {
        rotate(&fleet, roles);
        let version = format!("{}.0.0", number + 1);
        fleet.publish(&images[number], &version);
        bring_to_the_first(&fleet, &version).await;
        let slot = fleet.devices[0].boot("running");
        assert_holds(&fleet.devices[0], &slot, &images[number], &version);
    }
    let shown = fleet.slipway(&["trust", "show"]);
    assert!(shown.starts_with("root      version 4"), "{shown}");
    for number in 1..=4 {
        let root = fleet.devices[0].state.join(format!("metadata/{number}.root.json"));
        assert!(root.is_file(), "{}", root.display());
    }

    // A server that starts again signs with the new keys.
    fleet.restart_server();
    rotate(&fleet, &[]);
    let shown = fleet.slipway(&["trust", "show"]);
    assert!(shown.starts_with("root      version 5"), "{shown}");

    // It was enrolled with root 1, and never called.
    fleet.run_agent(1);
    let last = noise(9, 5_000);
    fleet.publish(&last, "5.0.0");
    has_called(&fleet.admin(), "pump-2").await;
    bring(&fleet, "5.0.0").await;
    for device in &fleet.devices {
        assert_holds(device, &device.boot("running"), &last, "the newest");
    }
    // The keys that were replaced publish nothing more.
    let old = fleet.path("old");
    fs::create_dir(&old).expect("a folder");
    for name in ["publisher.pem", "publisher.pub", "root.json"] {
        fs::copy(fleet.path(&format!("keys/{name}")), format!("{old}/{name}")).expect("a copy");
    }
    let (profile, image) = (fleet.path("server/client.toml"), fleet.path("5.0.0.img"));
    let mut line = vec!["--profile", &profile, "release", "publish", &image, "--version", "6.0.0"];
    line.extend(["--product", PRODUCT, "--hardware", "gw-a", "--keys", &old]);
    let refused = attempt("slipway", &line);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("see docs/errors/PUBLISHER_NOT_AUTHORIZED.md"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_key_is_replaced_by_those_who_are_left() {
    let world = World::start().await;
    let keys = world.path("keys");
    let mut line = vec!["trust", "init", "--keys", &keys, "--no-passphrase", "--root-keys", "3"];
    line.extend(["--targets-keys", "2"]);
    world.slipway(&line);
    // Somebody lost his; somebody new made hers at home.
    fs::remove_file(format!("{keys}/root-3.pem")).expect("lost");
    let (new, draft) = (world.path("new.pem"), world.path("draft"));
    let public = world.slipway(&["trust", "key", &new, "--no-passphrase"]);
    fs::copy(format!("{keys}/root.json"), world.path("root.json")).expect("a copy");
    let kept: Vec<String> = (1..=2).map(|n| format!("{keys}/root-{n}.pub")).collect();
    let mut line = vec!["trust", "rotate", "root", "--keys", &keys, "--out", &draft];
    line.extend(["--root-key", &kept[0], "--root-key", &kept[1], "--root-key", public.trim()]);
    let said = world.slipway(&line);
    assert!(said.contains("~ root: 2 of 3 keys to sign (was 2 of 3 keys to sign)"), "{said}");
    assert!(said.contains(&format!("+ key {}", public.trim())), "{said}");

    let profile = world.path("server/client.toml");
    let run = |arguments: &[&str]| {
        let all = [&["--profile", profile.as_str()], arguments].concat();
        tokio::task::block_in_place(|| attempt("slipway", &all))
    };
    let first = format!("{keys}/root-1.pem");
    world.slipway(&["trust", "sign", &draft, "--key", &first, "--yes"]);
    world.slipway(&["trust", "sign", &draft, "--key", &new, "--yes"]);
    let refused = run(&["trust", "publish", &draft]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("root 2, for root 1, is signed by 1 of the 2 keys that it needs"), "{said}");
    assert!(said.contains("`slipway trust sign DRAFT --key FILE`"), "{said}");
    world.slipway(&["trust", "sign", &draft, "--key", &format!("{keys}/root-2.pem"), "--yes"]);
    world.slipway(&["trust", "publish", &draft]);
    let shown = world.slipway(&["trust", "show"]);
    assert!(shown.starts_with("root      version 2") && shown.contains(public.trim()), "{shown}");
    world.stop().await;
}

/// What Prometheus reads.
async fn scrape(world: &World) -> String {
    let mut channel = world.admin().channel;
    let request = http::Request::get("https://localhost/metrics").body(Body::empty()).expect("a request");
    let answer = channel.ready().await.expect("a connection").call(request).await.expect("an answer");
    let bytes = answer.into_body().collect().await.expect("a page").to_bytes();
    String::from_utf8(bytes.into()).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_soon_is_said_by_the_command_and_on_metrics() {
    let world = World::start().await;
    world.init_trust();
    world.publish(b"an image", "1.0.0");
    let everything = world.slipway(&["trust", "expiring"]);
    for role in ["root", "targets", PRODUCT, "snapshot", "timestamp", "director"] {
        assert!(everything.lines().any(|line| line.starts_with(role)), "{role}:\n{everything}");
    }
    let profile = world.path("server/client.toml");
    let within = |span: &str| {
        let line = ["--profile", &profile, "trust", "expiring", "--within", span];
        tokio::task::block_in_place(|| attempt("slipway", &line))
    };
    let calm = within("60d");
    assert!(
        calm.status.success() && String::from_utf8_lossy(&calm.stdout).contains("nothing that people sign")
    );
    let soon = within("370d");
    let text = String::from_utf8_lossy(&soon.stdout).into_owned();
    assert_eq!(soon.status.code(), Some(1), "{text}");
    assert!(text.contains(PRODUCT) && text.contains("targets") && !text.contains("root"), "{text}");

    let day = 86_400;
    let left = |text: &str| -> i64 {
        let line = text.lines().find(|line| line.contains("signature_seconds_left{role=\"root\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("a gauge")
    };
    let before = left(&scrape(&world).await);
    assert!((399 * day..=400 * day).contains(&before), "{before}");
    world.clock.advance(std::time::Duration::from_secs(390 * 86_400));
    let after = left(&scrape(&world).await);
    assert_eq!(before - after, 390 * day);
    world.stop().await;
}
