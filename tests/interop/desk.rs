//! The example of a service desk, in Python, made from the interface's description, watches a running server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use slipway_proto::v1::{
    CreateLimitRequest, DataClass, Limit, ListAlertsRequest, Reading, Role, SendTelemetryRequest,
};
use slipway_tests::{clock::wait_for, world::World};

use crate::judges;

/// The versions that this was written with.
const REQUIREMENTS: [&str; 2] = ["grpcio==1.85.1", "grpcio-tools==1.85.1"];
const DAY: i64 = 86_400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A month of readings that rise by one a day, up to 231 now.
fn month(now: i64) -> Vec<Reading> {
    let reading = |quarter: i64| {
        let ago = f64::from(u32::try_from(quarter).expect("a small number")) / 4.0;
        // A little noise, the same each time.
        let noise = f64::from(u32::try_from(quarter * 7 % 11).expect("a small number")) / 11.0 - 0.5;
        Reading {
            component: "filter".into(),
            metric: "filter.pressure_drop".into(),
            unit: "Pa".into(),
            data_class: DataClass::Essential.into(),
            time: Some(prost_types::Timestamp { seconds: now - quarter * DAY / 4, nanos: 0 }),
            value: 231.0 - ago + noise,
            ..Reading::default()
        }
    };
    (0..120).rev().map(reading).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_desk_says_what_to_inspect_by_when_and_goes_on_where_it_stopped() {
    let Some(python) = judges::python_with("desk", &REQUIREMENTS) else { return };
    let world = World::start().await;
    world.init_trust();
    let limit = Limit {
        name: "limits/filter".into(),
        metric: "filter.pressure_drop".into(),
        value: 250.0,
        part: "air filter".into(),
        ..Limit::default()
    };
    let admin = world.admin();
    admin
        .alerts()
        .create_limit(CreateLimitRequest { limit: Some(limit), take_over: false })
        .await
        .expect("a limit");
    let pump = world.member("pump-3", &[("customer", "acme")]).await;
    let readings = month(world.clock.now().seconds());
    let request = SendTelemetryRequest { sequence: 1, readings, ..Default::default() };
    pump.caller.device().send_telemetry(request).await.expect("taken");
    wait_for("an alert", Duration::from_secs(60), || async {
        let list = admin.alerts().list_alerts(ListAlertsRequest::default()).await.expect("alerts");
        (!list.into_inner().alerts.is_empty()).then_some(())
    })
    .await;

    let folder = PathBuf::from(world.path("desk"));
    fs::create_dir(&folder).expect("a folder");
    let protoc = Command::new(&python)
        .args(["-m", "grpc_tools.protoc", "-I", "proto", "proto/slipway/v1/alert.proto"])
        .arg(format!("--python_out={}", folder.display()))
        .arg(format!("--grpc_python_out={}", folder.display()))
        .current_dir(root())
        .output()
        .expect("python starts");
    assert!(protoc.status.success(), "{}", said(&protoc));
    let token = world.token(Role::Client, "labels.customer = \"acme\"", Duration::from_secs(3600)).await;
    fs::write(folder.join("desk.token"), token).expect("a file");
    let desk = || {
        let mut command = Command::new(&python);
        command
            .arg(root().join("docs/examples/service_desk.py"))
            .args([
                "--server",
                &format!("localhost:{}", world.port()),
                "--ca",
                &world.path("server/server-ca.pem"),
            ])
            .args([
                "--token-file",
                "desk.token",
                "--position",
                "desk.position",
                "--acknowledge",
                "--stop-after",
                "1",
            ])
            .env("PYTHONPATH", &folder)
            .current_dir(&folder);
        tokio::task::block_in_place(|| command.output().expect("python starts"))
    };
    let first = desk();
    assert!(first.status.success(), "{}", said(&first));
    let text = said(&first);
    assert!(
        text.contains(" open ") && text.contains(" pump-3 filter: inspect by ") && text.contains("250 Pa"),
        "{text}"
    );

    // What it did itself is the next change; what it dealt with does not come again.
    let second = desk();
    assert!(second.status.success(), "{}", said(&second));
    let text = said(&second);
    assert!(text.lines().count() == 1 && text.contains(" acknowledged "), "{text}");
    world.stop().await;
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
