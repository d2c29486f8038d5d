//! The OpenTelemetry SDK for Python exports metrics; they arrive, and raise an alert.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use slipway_proto::v1::{Alert, AlertState, CreateLimitRequest, DataClass, Limit, ListAlertsRequest, Role};
use slipway_tests::clock::wait_for;
use slipway_tests::member::Member;
use slipway_tests::world::World;

use crate::judges;
use crate::reading::assert_success;

/// What python has to have; the versions that this test was written with.
const REQUIREMENTS: [&str; 2] =
    ["opentelemetry-sdk==1.45.2", "opentelemetry-exporter-otlp-proto-grpc==1.45.2"];
const SOON: Duration = Duration::from_secs(30);

/// A server with a limit on the filter, and two pumps whose owners allow diagnostic data.
async fn world() -> (World, [Member; 2]) {
    let world = World::start().await;
    world.init_trust();
    let limit = Limit {
        name: "limits/filter".into(),
        component: "filter".into(),
        metric: "filter.pressure_drop".into(),
        value: 250.0,
        ..Limit::default()
    };
    let request = CreateLimitRequest { limit: Some(limit), take_over: false };
    world.admin().alerts().create_limit(request).await.expect("a limit");
    let pump = async |id: &str, site: &str| {
        let mut pump = world.member(id, &[("site", site)]).await;
        pump.inventory.consent = vec![DataClass::Diagnostic.into()];
        pump.settle().await;
        pump
    };
    let pumps = [pump("pump-1", "north").await, pump("pump-2", "south").await];
    (world, pumps)
}

/// Exports with the SDK.
fn export(python: &Path, world: &World, how: [&str; 3]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/metrics.py");
    Command::new(python)
        .arg(script)
        .args([&world.port().to_string(), &world.path("server/server-ca.pem")])
        .args(how)
        .env_clear()
        .output()
        .expect("python starts")
}

async fn alert_of(world: &World, device: &str) -> Alert {
    let name = format!("devices/{device}");
    let answer = async || {
        let answer = world.admin().alerts().list_alerts(ListAlertsRequest::default()).await;
        answer.expect("alerts").into_inner().alerts.into_iter().find(|alert| alert.device == name)
    };
    wait_for("the alert", SOON, answer).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_opentelemetry_sdk_exports_with_a_token() {
    let Some(python) = judges::python_with("opentelemetry", &REQUIREMENTS) else { return };
    let (world, _pumps) = world().await;
    let token = world.token(Role::Ingest, "labels.site = \"north\"", Duration::from_secs(3600)).await;
    assert_success(&export(&python, &world, ["token", "pump-1", &token]));
    let alert = alert_of(&world, "pump-1").await;
    assert_eq!((alert.state(), alert.component.as_str()), (AlertState::Open, "filter"));
    let shown = world.slipway(&["telemetry", "show", "pump-1", "filter.pressure_drop"]);
    assert!(shown.contains("300") && shown.contains("Pa"), "{shown}");
    // The token is not for this one, and the answer says so without an error: nothing is sent again.
    assert_success(&export(&python, &world, ["token", "pump-2", &token]));
    let nobody = export(&python, &world, ["token", "pump-1", "slip_nobody_00"]);
    assert!(!nobody.status.success());
    let alerts = world.admin().alerts().list_alerts(ListAlertsRequest::default()).await.expect("alerts");
    assert_eq!(alerts.into_inner().alerts.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_opentelemetry_sdk_exports_with_the_certificate_of_a_device() {
    let Some(python) = judges::python_with("opentelemetry", &REQUIREMENTS) else { return };
    let (world, [_, pump]) = world().await;
    let (certificate, key) = (world.path("certificate.pem"), world.path("key.pem"));
    fs::write(&certificate, pump.identity().0).expect("a file");
    fs::write(&key, pump.identity().1).expect("a file");
    assert_success(&export(&python, &world, ["certificate", &key, &certificate]));
    assert_eq!(alert_of(&world, "pump-2").await.state(), AlertState::Open);
    world.stop().await;
}
