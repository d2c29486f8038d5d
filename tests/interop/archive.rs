//! Engines for data that know nothing of Slipway read its archive, and what the command line exports.

use std::path::Path;
use std::process::{Command, Output};

use slipway_proto::v1::{DataClass, Reading, SendTelemetryRequest};
use slipway_server::{model::archive::GATHER, service::archive};
use slipway_tests::world::World;

use crate::judges;
use crate::reading::assert_success;

/// What python has to have; the versions that this test was written with.
const REQUIREMENTS: [&str; 2] = ["pyarrow==26.0.1", "duckdb==2.0.0"];

#[tokio::test(flavor = "multi_thread")]
async fn pyarrow_and_duckdb_read_the_archive() {
    let Some(python) = judges::python_with("archive", &REQUIREMENTS) else { return };
    let world = World::start().await;
    world.init_trust();
    let now = world.clock.now().seconds();
    for (id, factor) in [("pump-1", 1.0), ("pump-2", 2.0)] {
        let pump = world.member(id, &[]).await;
        let readings = (0..100).map(|n| Reading {
            component: "filter".into(),
            metric: "pressure".into(),
            unit: "Pa".into(),
            data_class: DataClass::Essential.into(),
            time: Some(prost_types::Timestamp { seconds: now - 60 * n, nanos: 0 }),
            value: factor * n as f64,
            ..Reading::default()
        });
        let request =
            SendTelemetryRequest { sequence: 1, readings: readings.collect(), ..Default::default() };
        pump.caller.device().send_telemetry(request).await.expect("taken");
    }
    world.clock.advance(GATHER);
    archive::run(&world.running.context).await.expect("archived");

    let output = read(&python, &world.path("server/objects/telemetry"));
    assert_success(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    let expected =
        ["pyarrow", "duckdb"].map(|engine| format!("{engine} 200 14850.0 pump-1,pump-2 essential"));
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);

    std::fs::create_dir(world.path("export")).expect("a folder");
    let file = world.path("export/all.parquet");
    world.slipway(&["telemetry", "export", "--selector", "", "--format", "parquet", "--out", &file]);
    let output = read(&python, &world.path("export"));
    assert_success(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    world.stop().await;
}

fn read(python: &Path, folder: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/archive.py");
    Command::new(python).arg(script).arg(folder).env_clear().output().expect("python starts")
}
