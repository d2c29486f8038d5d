use std::{sync::Arc, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use slipway_insight::DAY_MS;
use slipway_proto::v1;

use super::*;
use crate::{
    model::time::DAY,
    service::{
        alert_testing::{METRIC, device, filter_limit, reading},
        ingest,
        testing::TestContext,
    },
    store::{
        alert_events::alert_events_after,
        series::{SeriesRow, series_of_device},
        tracks::tracks_of_devices,
    },
};

const DEVICES: [&str; 3] = ["pump-1", "pump-2", "pump-3"];

/// A batch, when it is received, and of which device.
struct Sent {
    pause: Duration,
    device: usize,
    readings: Vec<v1::Reading>,
}

/// Four days of three pumps: gauges that jump, a filter that clogs, counters that start over, units that change,
/// batches that are lost and come days later, and readings that make no sense.
fn days(rng: &mut StdRng, start: Timestamp) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut lost: Vec<(usize, Vec<v1::Reading>)> = Vec::new();
    let (mut now, mut total, mut boot) = (start, 0.0, 1);
    for hour in 0..4 * 24_u32 {
        let pause = DAY / 24;
        now = now.after(pause);
        for device in 0..DEVICES.len() {
            let mut readings = Vec::new();
            for index in 0..12_u32 {
                let at = now.before(DAY / 288 * (11 - index));
                let wear = f64::from(hour) * 0.9 + 160.0;
                readings.push(reading(at, wear + rng.random_range(-1.0..1.0)));
                let jump = if rng.random_range(0..200) == 0 { 60.0 } else { 0.0 };
                let gauge = reading(at, 40.0 + jump + rng.random_range(-1.0..1.0));
                let unit = if device == 1 && hour > 70 { "K" } else { "Cel" };
                readings.push(v1::Reading { metric: "hw.temperature".into(), unit: unit.into(), ..gauge });
                if rng.random_range(0..200) == 0 {
                    (total, boot) = (0.0, boot + rng.random_range(0..2));
                }
                total += rng.random_range(50.0..60.0);
                readings.push(v1::Reading {
                    metric: "hw.errors".into(),
                    boot_id: format!("boot-{boot}"),
                    ..reading(at, total)
                });
            }
            if rng.random_range(0..20) == 0 {
                lost.push((device, readings));
            } else {
                sent.push(Sent { pause: if device == 0 { pause } else { Duration::ZERO }, device, readings });
            }
        }
        if hour % 30 == 29 {
            let late = lost.drain(..);
            sent.extend(late.map(|(device, readings)| Sent { pause: Duration::ZERO, device, readings }));
        }
    }
    sent
}

/// What came of it: series with their courses by device, and the events by device, without what is drawn at random.
type Outcome = Vec<(Vec<SeriesRow>, Vec<TrackRow>, Vec<Alert>)>;

/// Sends the batches and consumes `rows` at a time, at moments that chance chooses.
async fn outcome(seed: u64, bytes: usize, rows: usize, seldom: u32) -> Outcome {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let mut pumps: Vec<Arc<DeviceEntry>> = Vec::new();
    for id in DEVICES {
        pumps.push(device(&ctx, id, "north").await);
    }
    let mut moments = StdRng::seed_from_u64(seed + 1_000);
    let mut sequences = [0; DEVICES.len()];
    for Sent { pause, device, readings } in days(&mut StdRng::seed_from_u64(seed), ctx.clock.now()) {
        ctx.clock.advance(pause);
        sequences[device] += 1;
        let request = v1::SendTelemetryRequest {
            sequence: sequences[device],
            readings,
            ..v1::SendTelemetryRequest::default()
        };
        ingest::batch(&ctx, &pumps[device], request).await.unwrap();
        if moments.random_range(0..seldom) == 0 {
            consume_chunk(&ctx, bytes, rows).await.unwrap();
        }
    }
    while consume_chunk(&ctx, bytes, rows).await.unwrap().batches > 0 {}
    collected(&ctx).await
}

async fn collected(ctx: &TestContext) -> Outcome {
    let mut tx = ctx.db.read().await.unwrap();
    let events = alert_events_after(&mut tx, 0, 10_000).await.unwrap();
    let mut outcome = Vec::new();
    for id in DEVICES {
        let of_device = events.iter().filter(|event| event.alert.device_id == id);
        let alerts = of_device.map(|event| Alert { id: String::new(), ..event.alert.clone() });
        let tracks = tracks_of_devices(&mut tx, &[id]).await.unwrap();
        outcome.push((series_of_device(&mut tx, id).await.unwrap(), tracks, alerts.collect()));
    }
    outcome
}

#[tokio::test]
async fn the_same_batches_in_any_chunks_are_the_same_series_and_alerts() {
    for seed in 0..2 {
        let all_at_once = outcome(seed, usize::MAX, 1_000_000, 1_000_000).await;
        let one = |(series, tracks, _): &(Vec<_>, Vec<_>, _)| series.len() == 3 && tracks.len() == 1;
        assert!(all_at_once.iter().all(one), "seed {seed}");
        let alerts: Vec<&Alert> = all_at_once.iter().flat_map(|(_, _, alerts)| alerts).collect();
        let told = |cause: &str| alerts.iter().filter(|alert| alert.cause == cause).count();
        assert!(
            told("filter") >= 3 && told("anomaly/hw.temperature") >= 1,
            "seed {seed} tests nothing: {alerts:?}"
        );
        let first = &all_at_once[0].0[0];
        assert!(first.metric == METRIC && first.last_at > 3 * DAY_MS);
        for (bytes, rows, seldom) in [(usize::MAX, 1, 1), (20_000, 7, 3), (CHUNK_BYTES, CHUNK_ROWS, 40)] {
            let cut = outcome(seed, bytes, rows, seldom).await;
            assert!(cut == all_at_once, "seed {seed}, chunks of {bytes} bytes and {rows} batches");
        }
    }
}
