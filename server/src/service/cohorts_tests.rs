use std::sync::Arc;

use slipway_insight::{DAY_MS, Side, Standing, cohort::track::Track, judge};
use slipway_proto::v1;

use super::*;
use crate::{
    model::{
        alert::{Alert, Kind as AlertKind},
        device::DataClass,
        erasure::Erasure,
        time::{DAY, Timestamp},
        token::Role,
    },
    service::{
        alert_testing::{METRIC, caller, device, filter_limit, reading, report},
        alerts,
        device_cache::DeviceEntry,
        erasure, limits,
        testing::{START, TestContext},
    },
    store::{
        alerts::alerts_living,
        cohorts::{cohort_learned, life_put},
        series::series_of_device,
        tracks::{TrackRow, tracks_of_devices},
    },
};

/// What a filter drops on a day of its life: it clogs faster and faster, from 100 Pa to the limit of 250.
fn clogged(day: f64, life: f64) -> f64 {
    // A little noise, the same each time.
    let noise = ((day * 37.0 + life * 11.0) % 7.0) / 7.0 - 0.5;
    100.0 + 150.0 * (day / life).powi(4) + 2.0 * noise
}

/// Readings of a filter that was new at `new`: eight a day, of these days of its life.
fn readings(new: Timestamp, life: f64, days: std::ops::Range<u32>) -> Vec<v1::Reading> {
    let three_hours = (days.start * 8..days.end * 8).map(|part| (DAY / 8 * part, f64::from(part) / 8.0));
    three_hours.map(|(after, day)| reading(new.after(after), clogged(day, life))).collect()
}

/// A pump whose filters clog.
struct Pump {
    entry: Arc<DeviceEntry>,
    sequence: u64,
}

impl Pump {
    async fn new(ctx: &Context, id: &str) -> Self {
        Pump { entry: device(ctx, id, "north").await, sequence: 0 }
    }

    async fn report(&mut self, ctx: &Context, readings: Vec<v1::Reading>) {
        // As agents do: batches of bounded size.
        for batch in readings.chunks(500) {
            self.sequence += 1;
            report(ctx, &self.entry, self.sequence, batch.to_vec()).await;
        }
    }

    /// Its filter is new now, and clogs in so many days; and is watched for three days more.
    async fn live(&mut self, ctx: &Context, new: Timestamp, life: u32) {
        self.report(ctx, readings(new, f64::from(life), 0..life + 3)).await;
    }
}

/// Lives of filters between 40 and 80 days.
fn life_of(number: u32) -> u32 {
    40 + number * 17 % 41
}

/// A fleet of so many pumps with a filter each, that reached its limit; the clock is at the end of it.
async fn fleet(ctx: &TestContext, pumps: u32) -> Vec<Pump> {
    filter_limit(ctx).await;
    let new = ctx.clock.now();
    ctx.clock.advance(DAY * 100);
    let mut fleet = Vec::new();
    for number in 0..pumps {
        let mut pump = Pump::new(ctx, &format!("pump-{number}")).await;
        pump.live(ctx, new, life_of(number)).await;
        fleet.push(pump);
    }
    fleet
}

/// A further pump, whose filter will live for so many days and has lived for `day`, day by day as time goes on.
async fn one_more(ctx: &TestContext, id: &str, life: u32, day: u32) -> (Pump, Timestamp) {
    let new = ctx.clock.now();
    let mut pump = Pump::new(ctx, id).await;
    for day in 0..day {
        ctx.clock.advance(DAY);
        pump.report(ctx, readings(new, f64::from(life), day..day + 1)).await;
    }
    (pump, new)
}

async fn lives(ctx: &Context) -> Vec<(String, i64)> {
    let mut tx = ctx.db.read().await.unwrap();
    let Some(row) = cohorts_all(&mut tx).await.unwrap().pop() else { return Vec::new() };
    let lives = lives_of_cohort(&mut tx, &row.cohort, 1_000, 1_000).await.unwrap();
    lives.into_iter().map(|life| (life.device_id, (life.ended_at - life.began_at) / DAY_MS)).collect()
}

async fn alert_of(ctx: &Context, id: &str) -> Option<Alert> {
    let mut tx = ctx.db.read().await.unwrap();
    let living = alerts_living(&mut tx, "", 100).await.unwrap();
    living.into_iter().find(|alert| alert.device_id == id)
}

async fn fits(ctx: &Context) -> usize {
    let mut tx = ctx.db.read().await.unwrap();
    cohorts_fits(&mut tx).await.unwrap().len()
}

async fn track_of(ctx: &Context, id: &str) -> Option<Track> {
    let mut tx = ctx.db.read().await.unwrap();
    let rows = tracks_of_devices(&mut tx, &[id]).await.unwrap();
    rows.first().map(|TrackRow { track, .. }| Track::decode(track).unwrap())
}

#[tokio::test]
async fn twelve_filters_foretell_the_thirteenth() {
    let ctx = Context::for_test().await;
    fleet(&ctx, 12).await;
    let known = lives(&ctx).await;
    assert_eq!(known.len(), 12);
    for number in 0..12 {
        let id = format!("pump-{number}");
        let (_, days) = known.iter().find(|(device, _)| *device == id).unwrap();
        assert!((days - i64::from(life_of(number))).abs() <= 1, "{id} lived for {days} days");
    }
    assert_eq!(learn(&ctx).await.unwrap(), 1);
    assert_eq!(learn(&ctx).await.unwrap(), 0, "nothing is new");

    let (_, new) = one_more(&ctx, "pump-x", 60, 42).await;
    let truth = new.after(DAY * 60).millis();
    let alert = alert_of(&ctx, "pump-x").await.expect("an alert");
    let told = alert.forecast.clone().unwrap();
    assert_eq!((alert.kind, told.comparable, told.percent), (AlertKind::Prognosis, 12, Some(80)));
    assert!(
        alert.summary.ends_with(", judging by 12 before it on devices of this model."),
        "{}",
        alert.summary
    );
    assert!(told.p10_ms <= truth && told.p90_ms.is_none_or(|p90| truth <= p90), "{told:?}");

    let mut tx = ctx.db.read().await.unwrap();
    let row = series_of_device(&mut tx, "pump-x").await.unwrap().remove(0);
    drop(tx);
    let series = slipway_insight::State::decode(&row.state).unwrap().series;
    let bound = filter_limit(&ctx).await.bound();
    let line = match judge(&series, &bound, Standing::Expected) {
        slipway_insight::Finding::Expected(line) => line.p50_ms,
        // Further away than it looks ahead.
        _ => series.last().unwrap().0 + bound.horizon_ms,
    };
    let (wrong, line) = ((told.p50_ms - truth).abs(), (line - truth).abs());
    assert!(wrong < 4 * DAY_MS && wrong * 3 < line, "{} and {} days", wrong / DAY_MS, line / DAY_MS);
}

#[tokio::test]
async fn nine_devices_teach_nothing_and_the_tenth_does() {
    let ctx = Context::for_test().await;
    let mut pumps = fleet(&ctx, 9).await;
    // A second life of the first pump is one more life, and not one more device.
    let new = ctx.clock.now();
    ctx.clock.advance(DAY * 60);
    pumps[0].live(&ctx, new, 50).await;
    assert_eq!(lives(&ctx).await.len(), 10);
    assert_eq!((learn(&ctx).await.unwrap(), fits(&ctx).await), (0, 0));
    one_more(&ctx, "pump-x", 60, 45).await;
    let forecast = alert_of(&ctx, "pump-x").await.and_then(|alert| alert.forecast);
    assert!(forecast.is_none_or(|told| told.comparable == 0));

    let new = ctx.clock.now();
    ctx.clock.advance(DAY * 60);
    Pump::new(&ctx, "pump-y").await.live(&ctx, new, 55).await;
    assert_eq!((learn(&ctx).await.unwrap(), fits(&ctx).await), (1, 1));
}

#[tokio::test]
async fn devices_that_are_erased_take_what_they_taught_with_them() {
    let ctx = Context::for_test().await;
    fleet(&ctx, 12).await;
    learn(&ctx).await.unwrap();
    let class = Some(DataClass::Diagnostic);
    for (erased, class, left, fitted) in
        [("pump-0", None, 11, 1), ("pump-1", class, 10, 1), ("pump-2", None, 9, 0)]
    {
        let erasure = Erasure { device_id: erased.to_owned(), class };
        let before = cohorts_fits(&mut ctx.db.read().await.unwrap()).await.unwrap();
        erasure::begin(&ctx, "tests", &erasure).await.unwrap();
        erasure::finish(&ctx, &erasure).await.unwrap();
        assert_eq!((lives(&ctx).await.len(), fits(&ctx).await), (left, fitted), "{erased}");
        assert!(lives(&ctx).await.iter().all(|(device, _)| device != erased));
        assert_eq!(track_of(&ctx, erased).await, None);
        let after = cohorts_fits(&mut ctx.db.read().await.unwrap()).await.unwrap();
        assert_ne!(before, after, "it was learned again without {erased}");
    }
}

#[tokio::test]
async fn a_limit_that_asks_something_else_begins_anew() {
    let ctx = Context::for_test().await;
    fleet(&ctx, 10).await;
    assert_eq!(learn(&ctx).await.unwrap(), 1);
    let limit = filter_limit(&ctx).await;
    let higher = Limit { value: 300.0, ..limit.clone() };
    limits::create(&ctx, "tests", higher, false).await.unwrap();
    assert_eq!((learn(&ctx).await.unwrap(), fits(&ctx).await), (0, 0));
    assert_eq!(lives(&ctx).await, []);
    limits::delete(&ctx, "tests", &limit.id).await.unwrap();
    assert_eq!(learn(&ctx).await.unwrap(), 0);
}

#[tokio::test]
async fn a_life_that_came_meanwhile_is_learned_from_next() {
    let ctx = Context::for_test().await;
    fleet(&ctx, 10).await;
    let mut tx = ctx.db.write().await.unwrap();
    let row = cohorts_all(&mut tx).await.unwrap().remove(0);
    assert_eq!((row.changed, row.learned), (10, 0));
    let life = lives_of_cohort(&mut tx, &row.cohort, 1, 1).await.unwrap().remove(0);
    life_put(&mut tx, &row.cohort, &life).await.unwrap();
    assert_eq!(cohorts_all(&mut tx).await.unwrap()[0], row, "a life is a life once");
    let another = LifeRow { device_id: "pump-z".to_owned(), ..life };
    life_put(&mut tx, &row.cohort, &another).await.unwrap();
    assert!(!cohort_learned(&mut tx, &row.cohort, row.changed, b"fit").await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!((fits(&ctx).await, learn(&ctx).await.unwrap(), fits(&ctx).await), (0, 1, 1));
}

/// Lives that a device makes up of parts that it does not have: near the limit within a day, and there after `days`.
async fn make_up(ctx: &TestContext, id: &str, parts: i64, days: i64, ended: Timestamp) {
    let mut tx = ctx.db.write().await.unwrap();
    let cohort = cohorts_all(&mut tx).await.unwrap().remove(0).cohort;
    let lives = (0..parts).map(|part| {
        let ended_at = ended.millis() - part * 1_000;
        let mut track = Track::begin(ended_at - days * DAY_MS, 100.0, true);
        for hour in 1..days * 24 {
            let way = 0.7 * (hour as f64 / 24.0).min(1.0);
            track.step(track.began_ms() + hour * DAY_MS / 24, 100.0 + 150.0 * way);
        }
        let mut bytes = Vec::new();
        track.encode(&mut bytes);
        let component = format!("part-{part}");
        let (device_id, began_at) = (id.to_owned(), track.began_ms());
        (cohort.clone(), LifeRow { device_id, component, began_at, ended_at, track: bytes })
    });
    put(&mut tx, lives.collect()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_device_that_makes_lives_up_teaches_as_much_as_any_other() {
    let ctx = Context::for_test().await;
    fleet(&ctx, 12).await;
    make_up(&ctx, "liar", 192, 60, ctx.clock.now()).await;
    make_up(&ctx, "other", 256, 1, ctx.clock.now()).await;
    assert_eq!(learn(&ctx).await.unwrap(), 1);
    let known = lives(&ctx).await;
    for (device, count) in [("liar", 8), ("other", 8), ("pump-0", 1), ("pump-11", 1)] {
        assert_eq!(known.iter().filter(|(id, _)| id == device).count(), count, "{device}");
    }
    let (_, new) = one_more(&ctx, "pump-x", 60, 42).await;
    let truth = new.after(DAY * 60).millis();
    let told = alert_of(&ctx, "pump-x").await.and_then(|alert| alert.forecast).expect("a forecast");
    // What two of fourteen say moves it, and does not make it.
    assert_eq!(told.comparable, 14);
    assert!((told.p50_ms - truth).abs() < 7 * DAY_MS, "{} days", (told.p50_ms - truth) / DAY_MS);
}

#[tokio::test]
async fn a_cohort_of_one_device_is_forgotten_after_a_year() {
    let ctx = Context::for_test().await;
    fleet(&ctx, 1).await;
    learn(&ctx).await.unwrap();
    assert_eq!(lives(&ctx).await.len(), 1);
    ctx.clock.advance(DAY * 400);
    learn(&ctx).await.unwrap();
    assert_eq!(lives(&ctx).await, []);
    assert_eq!(cohorts_all(&mut ctx.db.read().await.unwrap()).await.unwrap(), []);
}

#[tokio::test]
async fn a_course_begins_with_a_part_and_costs_little() {
    let ctx = Context::for_test().await;
    let (mut pump, new) = one_more(&ctx, "pump-1", 60, 20).await;
    assert_eq!(track_of(&ctx, "pump-1").await, None, "no limit watches it");
    filter_limit(&ctx).await;
    ctx.clock.advance(DAY * 38);
    pump.report(&ctx, readings(new, 60.0, 20..58)).await;
    let track = track_of(&ctx, "pump-1").await.unwrap();
    assert!(!track.is_whole(), "nobody knows how old the part was");
    // A new filter.
    let new = new.after(DAY * 58);
    ctx.clock.advance(DAY * 53);
    pump.report(&ctx, readings(new, 60.0, 0..50)).await;
    let track = track_of(&ctx, "pump-1").await.unwrap();
    assert!(track.is_whole() && track.samples() < 128);
    assert!(
        (track.began_ms() - new.millis()).abs() < DAY_MS / 2,
        "{}",
        (track.began_ms() - START.millis()) / DAY_MS
    );
    // It is dusted, and that makes no new one of it.
    let dusted = (0..8).map(|part| reading(new.after(DAY * 50 + DAY / 8 * part), 155.0));
    pump.report(&ctx, dusted.collect()).await;
    assert_eq!(track_of(&ctx, "pump-1").await.unwrap().began_ms(), track.began_ms());
    // In another unit it is another series of the same part.
    let bar = |hour| v1::Reading {
        unit: "bar".to_owned(),
        ..reading(new.after(DAY * 52 + DAY / 8 * hour), 0.0016)
    };
    pump.report(&ctx, vec![bar(0), bar(1)]).await;
    let track = track_of(&ctx, "pump-1").await.unwrap();
    assert!(!track.is_whole() && track.samples() == 2);
}

#[tokio::test]
async fn after_a_silence_of_years_nobody_knows_how_old_a_part_is() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let mut pump = Pump::new(&ctx, "pump-1").await;
    pump.report(&ctx, vec![reading(ctx.clock.now().before(DAY * 900), 100.0)]).await;
    assert!(track_of(&ctx, "pump-1").await.unwrap().is_whole());
    pump.report(&ctx, vec![reading(ctx.clock.now(), 100.0)]).await;
    let track = track_of(&ctx, "pump-1").await.unwrap();
    assert!(!track.is_whole() && track.began_ms() == START.millis());
}

#[tokio::test]
async fn a_part_that_was_put_right_begins_a_new_course() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let (mut pump, new) = one_more(&ctx, "pump-1", 60, 61).await;
    let alert = alert_of(&ctx, "pump-1").await.unwrap();
    let operator = caller(&ctx, "ann", Role::Operator, "").await;
    alerts::resolve(&ctx, &operator, &alert.id, "", "").await.unwrap();
    assert_eq!(track_of(&ctx, "pump-1").await, None);
    pump.report(&ctx, vec![reading(new.after(DAY * 62), 140.0)]).await;
    assert!(track_of(&ctx, "pump-1").await.unwrap().is_whole());
    assert_eq!(lives(&ctx).await, [("pump-1".to_owned(), 60)], "it had lived before");
}

#[tokio::test]
async fn a_device_has_so_many_courses_and_no_more() {
    let ctx = Context::for_test().await;
    let any = Limit { component: String::new(), side: Side::Above, ..filter_limit(&ctx).await };
    limits::create(&ctx, "tests", any, false).await.unwrap();
    let mut pump = Pump::new(&ctx, "pump-1").await;
    for batch in 0..2_u32 {
        let at = ctx.clock.now().after(DAY * batch);
        let part = |number| v1::Reading { component: format!("filter-{number}"), ..reading(at, 1.0) };
        pump.report(&ctx, (0..100).map(part).collect()).await;
    }
    let mut tx = ctx.db.read().await.unwrap();
    let rows = tracks_of_devices(&mut tx, &["pump-1"]).await.unwrap();
    assert_eq!((rows.len(), rows[0].metric.as_str()), (crate::model::cohort::MAX_TRACKS, METRIC));
}
