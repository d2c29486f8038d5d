use slipway_insight::{DAY_MS, State};
use slipway_proto::v1;

use super::*;
use crate::{
    model::{
        alert::{AlertState, Kind, Severity},
        reading::MAX_SERIES,
        time::DAY,
    },
    service::alert_testing::{METRIC, device, filter_limit, month, reading, replace_filter, report},
    store::{
        alert_events::alert_events_after,
        alerts::alerts_living,
        series::{SeriesRow, series_of_device},
    },
};

async fn living(ctx: &Context) -> Vec<Alert> {
    let mut tx = ctx.db.read().await.unwrap();
    alerts_living(&mut tx, "", 100).await.unwrap()
}

async fn events(ctx: &Context) -> Vec<Alert> {
    let mut tx = ctx.db.read().await.unwrap();
    let events = alert_events_after(&mut tx, 0, 1000).await.unwrap();
    let positions: Vec<i64> = events.iter().map(|event| event.position).collect();
    let expected: Vec<i64> = (1..=i64::try_from(events.len()).unwrap()).collect();
    assert_eq!(positions, expected, "positions have no gaps");
    events.into_iter().map(|event| event.alert).collect()
}

async fn state(ctx: &Context) -> Vec<SeriesRow> {
    let mut tx = ctx.db.read().await.unwrap();
    series_of_device(&mut tx, "pump-1").await.unwrap()
}

#[tokio::test]
async fn a_wearing_filter_is_foretold_once() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    // 2 Pa a day, 16 Pa to go: eight days.
    report(&ctx, &pump, 1, month(now, 234.0, 2.0)).await;
    let alerts = living(&ctx).await;
    let [alert] = alerts.as_slice() else { panic!("{alerts:?}") };
    assert_eq!(
        (alert.kind, alert.severity, alert.state),
        (Kind::Prognosis, Severity::Warning, AlertState::Open)
    );
    let forecast = alert.forecast.as_ref().unwrap();
    let days = (forecast.p50_ms - now.millis()) / DAY_MS;
    assert!((7..=9).contains(&days), "{forecast:?}");
    assert_eq!(forecast.percent, Some(80));
    assert_eq!(alert.act_by, Some(Timestamp::from_millis(forecast.p10_ms).before(DAY * 3)));

    // More of the same: nothing anybody would act on.
    for hour in 1..=20_u32 {
        ctx.clock.advance(DAY / 24);
        let value = 234.0 + 2.0 * f64::from(hour) / 24.0;
        report(&ctx, &pump, u64::from(hour) + 1, vec![reading(ctx.clock.now(), value)]).await;
    }
    assert_eq!(events(&ctx).await.len(), 1);

    replace_filter(&ctx, &pump, 100).await;
    assert_eq!(living(&ctx).await, []);
    let events = events(&ctx).await;
    assert_eq!(events.len(), 2);
    assert_eq!((events[1].state, &events[1].id), (AlertState::Resolved, &events[0].id));
}

#[tokio::test]
async fn a_backlog_is_history_until_it_ends() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let pump = device(&ctx, "pump-1", "north").await;
    let readings = month(ctx.clock.now(), 270.0, 2.0);
    let (old, new) = readings.split_at(110);
    report(&ctx, &pump, 1, old.to_vec()).await;
    assert_eq!(living(&ctx).await, []);
    report(&ctx, &pump, 2, new.to_vec()).await;
    assert_eq!(living(&ctx).await[0].kind, Kind::StateDetection);
}

#[tokio::test]
async fn a_crossing_is_told_at_once_and_not_by_one_reading() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    let minute = |minute: u32| now.after(DAY / 1440 * minute);
    let calm = (0..10).map(|m| reading(minute(m), 100.0)).collect();
    report(&ctx, &pump, 1, calm).await;
    report(&ctx, &pump, 2, vec![reading(minute(10), 400.0)]).await;
    assert_eq!(living(&ctx).await, []);
    report(&ctx, &pump, 3, vec![reading(minute(11), 401.0)]).await;
    let alerts = living(&ctx).await;
    assert_eq!((alerts[0].kind, alerts[0].severity), (Kind::StateDetection, Severity::Critical));
    assert_eq!(alerts[0].recommendation, "Inspect the air filter of pump-1 now.");
}

#[tokio::test]
async fn a_crash_before_the_commit_replays_and_never_counts_twice() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let pump = device(&ctx, "pump-1", "north").await;
    let readings = month(ctx.clock.now(), 230.0, 2.0);
    let batches: Vec<Vec<v1::Reading>> = readings.chunks(40).map(<[_]>::to_vec).collect();
    for (index, readings) in batches.iter().enumerate() {
        let request = v1::SendTelemetryRequest {
            sequence: u64::try_from(index).unwrap() + 1,
            readings: readings.clone(),
            ..Default::default()
        };
        ingest::batch(&ctx, &pump, request).await.unwrap();
    }
    {
        // The process dies in the middle of a chunk: everything done, nothing committed.
        let mut tx = ctx.db.write().await.unwrap();
        let chunk = inbox_chunk(&mut tx, CHUNK_BYTES, CHUNK_ROWS).await.unwrap();
        let (consumed, changed) = step(&ctx, &mut tx, &chunk.rows).await.unwrap().unwrap();
        assert_eq!((consumed.readings, changed.len()), (120, 1));
    }
    assert_eq!((state(&ctx).await.len(), living(&ctx).await.len()), (0, 0));
    let consumed = consume(&ctx).await.unwrap();
    assert_eq!((consumed.batches, consumed.readings, consumed.changes), (3, 120, 1));
    let after = state(&ctx).await;

    // The device never heard the answer and sends everything again.
    for (index, readings) in batches.into_iter().enumerate() {
        report(&ctx, &pump, u64::try_from(index).unwrap() + 1, readings).await;
    }
    assert_eq!(state(&ctx).await, after);
    assert_eq!(events(&ctx).await.len(), 1);
    assert_eq!(State::decode(&after[0].state).unwrap().series.readings(), 120);
}

#[tokio::test]
async fn two_consumers_at_once_count_once() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    for (index, readings) in month(now, 230.0, 2.0).chunks(2).enumerate() {
        let sequence = u64::try_from(index).unwrap() + 1;
        let request =
            v1::SendTelemetryRequest { sequence, readings: readings.to_vec(), ..Default::default() };
        ingest::batch(&ctx, &pump, request).await.unwrap();
    }
    let all = futures_util::future::join_all((0..4).map(|_| consume(&ctx))).await;
    let batches: usize = all.into_iter().map(|consumed| consumed.unwrap().batches).sum();
    assert_eq!(batches, 60);
    assert_eq!(State::decode(&state(&ctx).await[0].state).unwrap().series.readings(), 120);
    assert_eq!(events(&ctx).await.iter().filter(|alert| alert.generation == 1).count(), 1);
}

#[tokio::test]
async fn a_limit_of_another_site_says_nothing() {
    let ctx = Context::for_test().await;
    let mut limit = filter_limit(&ctx).await;
    limit.selector = crate::model::selector::Selector::parse("labels.site = \"south\"").unwrap();
    super::super::limits::create(&ctx, "tests", limit, false).await.unwrap();
    let pump = device(&ctx, "pump-1", "north").await;
    report(&ctx, &pump, 1, month(ctx.clock.now(), 400.0, 2.0)).await;
    assert_eq!(living(&ctx).await, []);
    assert_eq!(state(&ctx).await[0].metric, METRIC);
}

#[tokio::test]
async fn another_unit_is_another_series() {
    let ctx = Context::for_test().await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    report(&ctx, &pump, 1, month(now, 230.0, 2.0)).await;
    let bar = v1::Reading { unit: "bar".to_owned(), ..reading(now.after(DAY / 24), 0.002) };
    report(&ctx, &pump, 2, vec![bar]).await;
    let row = state(&ctx).await.remove(0);
    assert_eq!((row.unit.as_str(), State::decode(&row.state).unwrap().series.readings()), ("bar", 1));
}

#[tokio::test]
async fn a_state_of_another_version_starts_afresh() {
    let ctx = Context::for_test().await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    report(&ctx, &pump, 1, vec![reading(now, 1.0)]).await;
    let mut tx = ctx.db.write().await.unwrap();
    let mut row = series_of_device(&mut tx, "pump-1").await.unwrap().remove(0);
    row.state = vec![200, 1, 2, 3];
    let page = SeriesPage { device_id: "pump-1".to_owned(), page: 0, series: vec![row] };
    series_save(&mut tx, &[page]).await.unwrap();
    tx.commit().await.unwrap();
    report(&ctx, &pump, 2, vec![reading(now.after(DAY / 24), 2.0)]).await;
    assert_eq!(State::decode(&state(&ctx).await[0].state).unwrap().series.readings(), 1);
}

#[tokio::test]
async fn a_million_metrics_do_not_grow_the_store() {
    let ctx = Context::for_test().await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    for batch in 0..2_u64 {
        let readings = (0..700)
            .map(|index| v1::Reading { metric: format!("m.{batch}.{index}"), ..reading(now, 1.0) })
            .collect();
        report(&ctx, &pump, batch + 1, readings).await;
    }
    assert_eq!(state(&ctx).await.len(), MAX_SERIES);
    // Those that are known go on.
    let later = v1::Reading { metric: "m.0.0".to_owned(), ..reading(now.after(DAY / 24), 2.0) };
    report(&ctx, &pump, 3, vec![later]).await;
    assert_eq!(state(&ctx).await[0].last_value, 2.0);
}

#[tokio::test]
async fn batches_that_come_days_late_are_no_news() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let pump = device(&ctx, "pump-1", "north").await;
    let readings = month(ctx.clock.now(), 200.0, 2.0);
    report(&ctx, &pump, 1, readings.clone()).await;
    let before = (state(&ctx).await, living(&ctx).await);
    // A week that was lost on the way, and would be far beyond the limit.
    let late = readings[40..80].iter().map(|reading| v1::Reading { value: 900.0, ..reading.clone() });
    report(&ctx, &pump, 2, late.collect()).await;
    assert_eq!((state(&ctx).await, living(&ctx).await), before);
}

#[tokio::test]
async fn a_clock_that_was_ahead_and_is_set_right_does_not_silence_a_series() {
    let ctx = Context::for_test().await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    let minute = |minute: u32| now.after(DAY / 1440 * minute);
    report(&ctx, &pump, 1, (600..640).map(|at| reading(minute(at), 1.0)).collect()).await;
    report(&ctx, &pump, 2, (0..40).map(|at| reading(minute(at), 2.0)).collect()).await;
    assert_eq!((state(&ctx).await[0].last_value, state(&ctx).await[0].last_at), (2.0, minute(39).millis()));
}

#[tokio::test]
async fn wear_that_goes_on_as_it_went_is_nothing_unusual() {
    let ctx = Context::for_test().await;
    let pump = device(&ctx, "pump-1", "north").await;
    let start = ctx.clock.now();
    // A disk that fills by a percent a day, read once an hour, for two months.
    for hour in 0..1_500_u32 {
        let at = start.after(DAY / 24 * hour);
        ctx.clock.advance(DAY / 24);
        let noise = f64::from(hour * 7 % 11) / 50.0;
        report(&ctx, &pump, u64::from(hour) + 1, vec![reading(at, 10.0 + f64::from(hour) / 24.0 + noise)])
            .await;
    }
    assert_eq!(events(&ctx).await, []);
}
