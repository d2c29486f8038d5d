//! What `/metrics` says of a fleet, and to whom.

use std::time::Duration;

use http_body_util::BodyExt as _;
use slipway_proto::v1::{RevokeDeviceRequest, Role};
use slipway_tests::{clock::wait_for, world::World};
use tonic::body::Body;
use tower::{Service as _, ServiceExt as _};

use crate::steps::{PATIENCE, measure, watch_filters};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Status and body, as somebody on this machine gets them.
async fn scrape(world: &World, token: Option<&str>) -> (u16, String) {
    let mut channel = world.anonymous().channel;
    let mut request = http::Request::get("https://localhost/metrics");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Body::empty()).expect("a request");
    let answer = channel.ready().await.expect("a connection").call(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(bytes.into()).expect("text"))
}

fn lines<'a>(text: &'a str, metric: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(metric)?.strip_prefix('{')).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fleet_is_counted_at_most_every_fifteen_seconds() {
    let world = World::start().await;
    world.init_trust();
    watch_filters(&world).await;
    let pump = world.member("pump-1", &[]).await;
    world.member("pump-2", &[]).await;
    let (status, text) = scrape(&world, None).await;
    assert_eq!(status, 200);
    let mut devices = lines(&text, "slipwayd_devices");
    devices.sort_unstable();
    let none =
        ["pending", "quarantined", "registered", "revoked"].map(|state| format!("state=\"{state}\"}} 0"));
    assert_eq!(devices, [&["state=\"active\"} 2".to_owned()][..], &none].concat());
    assert_eq!(lines(&text, "slipwayd_alerts").len(), 6, "{text}");
    assert!(!text.contains("pump-"), "names nobody: {text}");

    let request = RevokeDeviceRequest { name: "devices/pump-2".into(), reason: String::new() };
    world.admin().fleet().revoke_device(request).await.expect("revoked");
    assert!(scrape(&world, None).await.1.contains("slipwayd_devices{state=\"active\"} 2"));
    measure(&world, &pump, 1, 300.0).await;
    wait_for("the alert", PATIENCE, || async {
        let request = slipway_proto::v1::ListAlertsRequest::default();
        let found = world.admin().alerts().list_alerts(request).await.expect("alerts").into_inner();
        (!found.alerts.is_empty()).then_some(())
    })
    .await;
    world.clock.advance(Duration::from_secs(15));
    let (_, text) = scrape(&world, None).await;
    for line in [
        "slipwayd_devices{state=\"active\"} 1",
        "slipwayd_devices{state=\"revoked\"} 1",
        "slipwayd_alerts{severity=\"critical\",suppressed=\"false\"} 1",
        "slipwayd_alerts{severity=\"critical\",suppressed=\"true\"} 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_metrics_is_for_the_operator_to_say() {
    let world = World::start().await;
    let client = world.token(Role::Client, "labels.customer = \"acme\"", DAY).await;
    assert_eq!(scrape(&world, None).await.0, 200);
    assert_eq!(scrape(&world, Some(&client)).await.0, 403);
    world.stop().await;

    let world = World::start_with(|config| config.metrics_token = true).await;
    let viewer = world.token(Role::Viewer, "", DAY).await;
    let (status, text) = scrape(&world, None).await;
    assert!(status == 401 && text.contains("TOKEN_REQUIRED"), "{status}: {text}");
    assert_eq!(scrape(&world, Some(&viewer)).await.0, 200);
    world.stop().await;
}
