//! What a device sent is what `slipway telemetry` shows and exports, from the inbox and from the archive alike.

use std::{collections::BTreeSet, fs, time::Duration};

use slipway_proto::v1::{
    ExportReadingsRequest, ListSeriesRequest, QueryReadingsRequest, Role, SendTelemetryRequest,
};
use slipway_server::{model::archive::GATHER, service::archive};
use slipway_tests::{member::Member, world::World};
use tonic::Code;

use crate::steps::{assert_refused, reading};

const DAY: Duration = Duration::from_secs(24 * 3600);
const READINGS: i64 = 90;

/// Readings of a minute each, the newest a minute old.
async fn send(world: &World, member: &Member) {
    let now = world.clock.now().seconds();
    let readings = (0..READINGS).map(|n| reading(now - (READINGS - n) * 60, 100.0 + n as f64 / 8.0));
    let request = SendTelemetryRequest { sequence: 1, readings: readings.collect(), ..Default::default() };
    member.caller.device().send_telemetry(request).await.expect("taken");
}

/// The lines of a CSV export without its header, sorted.
fn exported(world: &World, name: &str, which: &[&str]) -> BTreeSet<String> {
    let path = world.path(name);
    world.slipway(&[&["telemetry", "export", "--out", &path], which].concat());
    let text = fs::read_to_string(&path).expect("the export");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("device,component,metric,unit,class,time,value,boot_id"));
    let all: Vec<&str> = lines.collect();
    let distinct: BTreeSet<String> = all.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(all.len(), distinct.len(), "a reading came twice");
    distinct
}

async fn archive(world: &World) -> archive::Archived {
    world.clock.advance(GATHER);
    archive::run(&world.running.context).await.expect("archived")
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_are_shown_and_exported_before_and_after_they_are_archived() {
    let world = World::start().await;
    world.init_trust();
    let pumps = [world.member("pump-1", &[("site", "north")]).await, world.member("pump-2", &[]).await];
    for pump in &pumps {
        send(&world, pump).await;
    }
    let look = |moment: &str| {
        let list = world.slipway(&["telemetry", "list", "pump-1"]);
        assert!(list.contains("filter     pressure  111.125     Pa    essential"), "{moment}: {list}");
        let picture = world.path("picture.svg");
        let show = ["telemetry", "show", "pump-1", "pressure", "--since", "3h", "--plot", &picture];
        let shown = world.slipway(&show);
        assert!(shown.starts_with("pressure of filter, pump-1 [Pa]\n"), "{moment}: {shown}");
        assert!(shown.contains("90 readings, 100 to 111.125 Pa, last 111.125"), "{moment}: {shown}");
        assert!(fs::read_to_string(&picture).expect("the picture").starts_with("<svg "));
        let json =
            world.slipway(&["--output", "json", "telemetry", "show", "pump-1", "pressure", "--since", "3h"]);
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(
            (json["readings"].as_u64(), json["points"].as_array().map(Vec::len)),
            (Some(90), Some(90))
        );
        // The last reading, and not the mean of the last bucket.
        assert_eq!(json["lastValue"].as_f64(), Some(111.125));
        let newest = &json["points"][89]["time"];
        assert_eq!(&json["lastTime"], newest, "{moment}");
    };
    look("before");
    let request = QueryReadingsRequest {
        parent: "devices/pump-1".into(),
        component: "filter".into(),
        metric: "pressure".into(),
        max_points: 2,
        ..Default::default()
    };
    let few = world.admin().telemetry().query_readings(request).await.expect("points").into_inner();
    let last = few.points.last().expect("a point");
    assert!(last.count > 1 && last.mean < 111.0 && few.last_value == 111.125, "{few:?}");
    let one = exported(&world, "one.csv", &["--device", "pump-1"]);
    assert_eq!(one.len(), 90);
    assert!(one.iter().all(|line| line.starts_with("pump-1,filter,pressure,Pa,essential,")), "{one:?}");
    let all = exported(&world, "all.csv", &["--selector", ""]);
    assert_eq!(all.len(), 180);
    assert_eq!(exported(&world, "north.csv", &["--selector", "labels.site = north"]), one);

    let archived = archive(&world).await;
    assert_eq!((archived.jobs, archived.readings), (1, 180));
    look("after");
    assert_eq!(exported(&world, "one.csv", &["--device", "pump-1", "--metric", "pressure"]), one);
    assert_eq!(exported(&world, "all.csv", &["--selector", "", "--component", "filter"]), all);
    assert_eq!(exported(&world, "none.csv", &["--device", "pump-1", "--metric", "temperature"]).len(), 0);
    assert_eq!(exported(&world, "none.csv", &["--device", "pump-1", "--since", "0"]).len(), 0);

    let world = world.restart().await;
    assert_eq!(exported(&world, "all.csv", &["--selector", ""]), all);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_sees_the_readings_of_its_own_machines() {
    let world = World::start().await;
    world.init_trust();
    for (id, customer) in [("pump-1", "acme"), ("pump-2", "other")] {
        send(&world, &world.member(id, &[("customer", customer)]).await).await;
    }
    let client = world.caller(&world.token(Role::Client, "labels.customer = acme", DAY).await);
    for archived in [false, true] {
        if archived {
            archive(&world).await;
        }
        let series = async |parent: &str| {
            let request = ListSeriesRequest { parent: parent.into(), ..Default::default() };
            client.telemetry().list_series(request).await
        };
        assert_eq!(series("devices/pump-1").await.expect("series").into_inner().series.len(), 1);
        let refused = series("devices/pump-2").await.unwrap_err();
        assert_refused(&refused, Code::NotFound, "DEVICE_NOT_FOUND", &["pump-2"]);
        let request = ExportReadingsRequest { parent: "devices/-".into(), ..Default::default() };
        let mut stream = client.telemetry().export_readings(request).await.expect("a stream").into_inner();
        let mut devices = BTreeSet::new();
        while let Some(message) = stream.message().await.expect("readings") {
            devices.insert(message.device);
        }
        assert_eq!(devices, BTreeSet::from(["devices/pump-1".to_owned()]));
    }
    world.stop().await;
}
