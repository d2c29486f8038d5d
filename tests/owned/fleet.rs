//! The fleet before it is betrayed: one server, its publishers, and devices that run a release of theirs.

use std::fs;

use slipway_proto::v1::{CreateRolloutRequest, Rollout, Wave};
use slipway_tests::{
    desk::{HARDWARE, PRODUCT},
    world::World,
};

/// The image of a release.
pub fn image(version: &str) -> Vec<u8> {
    format!("the firmware {version}, ").into_bytes().repeat(500)
}

/// A server whose devices come back each second, and its publishers' releases:
/// 1.0.0 and 2.0.0; 3.0.0, after which nothing below 2.0.0 is taken; 4.0.0 for other hardware; 5.0.0 for
/// devices that run 4.0.0; and one of another product.
pub async fn server() -> World {
    let world = World::start_with(|config| config.check_in_interval = 1).await;
    world.init_trust();
    publish(&world, "1.0.0", &[]);
    publish(&world, "2.0.0", &[]);
    publish(&world, "3.0.0", &["--floor", "2"]);
    publish(&world, "4.0.0", &["--hardware", "gw-z"]);
    publish(&world, "5.0.0", &["--min-from", "4"]);
    publish(&world, "1.0.0", &["--product", "gateway"]);
    world
}

/// Publishes a release, for the product and hardware of every device here unless `more` says otherwise.
pub fn publish(world: &World, version: &str, more: &[&str]) {
    let (file, keys) = (world.path(&format!("{version}.img")), world.path("keys"));
    fs::write(&file, image(version)).expect("an image");
    let mut line = vec!["release", "publish", &file, "--version", version, "--keys", &keys, "--new-hardware"];
    for standard in [["--product", PRODUCT], ["--hardware", HARDWARE]] {
        if !more.contains(&standard[0]) {
            line.extend(standard);
        }
    }
    line.extend(more);
    world.slipway(&line);
}

/// A claim for so many devices of a group; returns its file.
pub fn claim(world: &World, group: &str, count: usize) -> String {
    let (file, uses) = (world.path(&format!("{group}.json")), count.to_string());
    let label = format!("group={group}");
    let mut line = vec!["claim", "create", "--product", PRODUCT, "--hardware", HARDWARE, "--uses", &uses];
    line.extend(["--label", &label, "--out", &file]);
    world.slipway(&line);
    file
}

/// Rolls a release out to all devices that match, those of tomorrow among them; returns its name.
pub async fn roll_out(world: &World, version: &str, selector: &str) -> String {
    let rollout = Rollout {
        release: format!("releases/{PRODUCT}/{version}"),
        selector: selector.to_owned(),
        waves: vec![Wave { percent: 100.0, ..Wave::default() }],
        standing: true,
        ..Rollout::default()
    };
    let request = CreateRolloutRequest { rollout: Some(rollout), ..CreateRolloutRequest::default() };
    world.admin().rollouts().create_rollout(request).await.expect("a rollout").into_inner().name
}

/// The owners take what the thief had away from him: new keys for everything that the server signs.
pub fn rotate(world: &World) {
    let keys = world.path("keys");
    let mut line = vec!["trust", "rotate", "timestamp", "snapshot", "director", "--keys", &keys];
    line.extend(["--no-passphrase", "--yes"]);
    world.slipway(&line);
}
