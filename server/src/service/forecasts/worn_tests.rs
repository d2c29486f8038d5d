use super::*;
use crate::{
    service::{
        ingest,
        testing::TestContext,
        wear_testing::{HOUR, Machine, apply, parts, terms},
    },
    store::alert_events::alert_events_after,
};

/// The parts, and every alert of the device without what is drawn at random.
async fn outcome(ctx: &TestContext) -> (Vec<PartRow>, Vec<Alert>) {
    let mut tx = ctx.db.read().await.unwrap();
    let events = alert_events_after(&mut tx, 0, 1_000).await.unwrap();
    drop(tx);
    let alerts = events.into_iter().map(|event| Alert { id: String::new(), ..event.alert }).collect();
    (parts(ctx, "pump-1").await, alerts)
}

/// Sends the whole life of a fan, and consumes it as `consumer` says after each batch.
async fn lived(consumer: impl AsyncFn(&TestContext, u64)) -> (Vec<PartRow>, Vec<Alert>) {
    let ctx = Context::for_test().await;
    apply(&ctx, terms()).await.unwrap();
    let mut machine = Machine::new(&ctx, "pump-1", 1_001, Some(160)).await;
    for sequence in 1..=40 {
        let from = ctx.clock.now();
        ctx.clock.advance(HOUR * 4);
        let readings = machine.readings(from, 4);
        let request = slipway_proto::v1::SendTelemetryRequest { sequence, readings, ..Default::default() };
        ingest::batch(&ctx, &machine.entry, request).await.unwrap();
        consumer(&ctx, sequence).await;
    }
    while consume(&ctx).await.unwrap().batches > 0 {}
    outcome(&ctx).await
}

#[tokio::test]
async fn a_crash_and_other_chunks_come_to_the_same_as_an_undisturbed_run() {
    let undisturbed = lived(async |ctx, _| assert_eq!(consume(ctx).await.unwrap().batches, 1)).await;
    let (parts, alerts) = &undisturbed;
    assert_eq!((parts.len(), alerts.iter().any(|alert| alert.cause == "wear/fan")), (1, true));
    let all_at_once = lived(async |_, _| ()).await;
    assert!(all_at_once == undisturbed);
    let killed = lived(async |ctx, sequence| {
        // Everything was done, and nothing was committed.
        let mut tx = ctx.db.write().await.unwrap();
        let rows = inbox_chunk(&mut tx, usize::MAX, 100).await.unwrap().rows;
        step(ctx, &mut tx, &rows).await.unwrap().unwrap();
        drop(tx);
        if sequence % 3 == 0 {
            consume_chunk(ctx, 1, 1).await.unwrap();
        }
    })
    .await;
    assert!(killed == undisturbed);
}
