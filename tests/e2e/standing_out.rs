//! A device that stands out among its like is told of, with a bound that nobody gave.

use std::time::Duration;

use slipway_proto::v1::SendTelemetryRequest;
use slipway_server::service::cross_section;
use slipway_tests::{clock::wait_for, member::Member, world::World};

use crate::steps::{PATIENCE, reading};

const PUMPS: u32 = 12;
/// A day and a half, every three minutes.
const READINGS: i64 = 720;
const STEP: i64 = 180;
/// What 30 of them take.
const LATER: Duration = Duration::from_secs(30 * 180);

/// Readings until now, in batches, around a level.
async fn send(world: &World, member: &Member, sequence: u64, count: i64, level: f64) {
    let now = world.clock.now().seconds();
    let noise = |n: i64| (n * 7 % 11) as f64 / 11.0;
    let readings = (0..count).map(|n| reading(now - (count - n) * STEP, level + noise(n)));
    let request = SendTelemetryRequest { sequence, readings: readings.collect(), ..Default::default() };
    member.caller.device().send_telemetry(request).await.expect("taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_is_learned_from_the_others() {
    let world = World::start().await;
    world.init_trust();
    world.slipway(&["limit", "set", "clogging", "--metric", "pressure", "--unit", "Pa", "--learn"]);
    assert!(world.slipway(&["limit", "list"]).contains("learning"), "{}", world.slipway(&["limit", "list"]));
    let mut pumps = Vec::new();
    for number in 0..PUMPS {
        let pump = world.member(&format!("pump-{number}"), &[]).await;
        send(&world, &pump, 1, READINGS, 100.0 + f64::from(number % 5)).await;
        pumps.push(pump);
    }
    wait_for("a bound to be learned", PATIENCE, async || {
        cross_section::look(&world.running.context).await.expect("a look");
        let shown = world.slipway(&["limit", "show", "clogging"]);
        shown.contains("12 devices").then_some(())
    })
    .await;
    world.clock.advance(LATER);
    send(&world, &pumps[3], 2, 30, 160.0).await;
    let alerts = wait_for("the alert", PATIENCE, async || {
        let alerts = world.slipway(&["alert", "list"]);
        alerts.contains("pump-3").then_some(alerts)
    })
    .await;
    assert!(alerts.contains("higher than of 12 of 12 devices"), "{alerts}");
    assert!(!alerts.contains("pump-4"), "{alerts}");
    world.stop().await;
}
