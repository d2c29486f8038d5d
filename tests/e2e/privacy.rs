//! What an operator does when the owner of a device asks for a copy of his data, and then for its end.

use std::fs;

use serde_json::Value;
use slipway_proto::v1::{DataClass, Reading, SendTelemetryRequest};
use slipway_tests::{member::Member, processes, world::World};

const MARK: &str = "zebra4711";

/// A server and a pump that sent so many readings.
async fn world(readings: i64) -> (World, Member) {
    let world = World::start().await;
    world.init_trust();
    let mut pump = world.member("pump-1", &[("site", "north")]).await;
    pump.inventory.consent = vec![DataClass::Usage.into()];
    pump.settle().await;
    let now = world.clock.now().millis() / 1000;
    let reading = |second: i64| Reading {
        component: "door".into(),
        metric: "door.opened".into(),
        unit: MARK.into(),
        data_class: DataClass::Usage.into(),
        time: Some(prost_types::Timestamp { seconds: now - second, nanos: 0 }),
        value: 1.0,
        boot_id: String::new(),
    };
    for (batch, sequence) in (0..readings).collect::<Vec<_>>().chunks(1000).zip(1..) {
        let readings = batch.iter().map(|second| reading(*second)).collect();
        let request = SendTelemetryRequest { sequence, readings, ..Default::default() };
        pump.caller.device().send_telemetry(request).await.expect("taken");
    }
    (world, pump)
}

/// Exports into a new file; how many lines there are of each kind, and the bytes.
fn export(world: &World, file: &str) -> (Vec<(String, usize)>, String) {
    let path = world.path(file);
    world.slipway(&["device", "export", "pump-1", "--out", &path]);
    let text = fs::read_to_string(&path).expect("the export");
    let mut kinds: Vec<(String, usize)> = Vec::new();
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).expect("a line of JSON");
        let kind = value.as_object().and_then(|object| object.keys().next()).expect("a kind").clone();
        match kinds.last_mut().filter(|(last, _)| *last == kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((kind, 1)),
        }
    }
    (kinds, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_whole_and_an_erasure_leaves_the_device_alone() {
    let (world, mut pump) = world(2_500).await;
    let of = |kinds: &[(&str, usize)]| -> Vec<(String, usize)> {
        kinds.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
    };
    let (kinds, text) = export(&world, "first.jsonl");
    assert_eq!(kinds, of(&[("device", 1), ("reading", 2_500), ("series", 1), ("metric", 1)]));
    assert!(text.contains(MARK) && text.contains("\"readings\":2500"), "{text:.2000}");
    assert!(text.lines().last().is_some_and(|line| line.contains("door.opened") && line.contains("owner")));
    let database = world.path("server/slipway.db");
    let log = world.path("server/slipway.db-wal");
    let holds = |path: &str| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.windows(MARK.len()).any(|part| part == MARK.as_bytes())
    };
    assert!(holds(&database) || holds(&log));

    let profile = world.path("server/client.toml");
    let line = ["--profile", &profile, "device", "erase", "pump-1"];
    let refused = tokio::task::block_in_place(|| {
        std::process::Command::new(processes::program("slipway")).args(line).output().expect("it starts")
    });
    assert_eq!(refused.status.code(), Some(2), "it takes a yes");
    assert!(holds(&database) || holds(&log));
    // Another class: nothing of it is there.
    world.slipway(&["device", "erase", "pump-1", "--class", "location", "--yes"]);
    assert!(holds(&database) || holds(&log));
    world.slipway(&["device", "erase", "pump-1", "--class", "usage", "--yes"]);
    assert!(!holds(&database) && !holds(&log), "the bytes are still there");
    world.slipway(&["device", "erase", "pump-1", "--yes"]);
    world.slipway(&["device", "erase", "pump-1", "--yes"]);
    assert!(!holds(&database) && !holds(&log), "the bytes are still there");
    let (kinds, _) = export(&world, "second.jsonl");
    assert_eq!(kinds, of(&[("device", 1)]));
    pump.check_in().await.expect("it is still a device");
    world.stop().await;
}
