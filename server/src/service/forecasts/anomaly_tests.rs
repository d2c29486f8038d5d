use std::sync::Arc;

use slipway_proto::v1;

use super::*;
use crate::{
    model::{
        alert::{AlertState, Health, Kind, Severity},
        anomaly_rules::AnomalyRule,
        time::DAY,
    },
    service::{
        alert_testing::{METRIC, caller, device, filter_limit, reading, report},
        alerts,
        testing::TestContext,
    },
    store::{alerts::alerts_living, series::series_of_device},
};

/// Readings of an hour.
const HOURLY: u32 = 12;

/// A pump that reports once an hour what it read every five minutes.
struct Pump {
    ctx: TestContext,
    entry: Arc<DeviceEntry>,
    reported: u32,
    boot_id: &'static str,
}

impl Pump {
    async fn new(forecasts: Forecasts) -> Self {
        let ctx = Context::for_test_with(|ctx| ctx.forecasts = forecasts).await;
        let entry = device(&ctx, "pump-1", "north").await;
        Pump { ctx, entry, reported: 0, boot_id: "" }
    }

    /// Reports for so many hours what `value` makes of the number of the reading, 0 at first.
    async fn run(&mut self, hours: u32, value: impl Fn(u32) -> f64) {
        for _ in 0..hours {
            self.ctx.clock.advance(DAY / 24);
            let now = self.ctx.clock.now();
            let readings = (0..HOURLY).map(|index| {
                let at = now.before(DAY / 288 * (HOURLY - 1 - index));
                let boot_id = self.boot_id.to_owned();
                v1::Reading { boot_id, ..reading(at, value(self.reported * HOURLY + index)) }
            });
            let readings = readings.collect();
            self.reported += 1;
            report(&self.ctx, &self.entry, u64::from(self.reported), readings).await;
        }
    }

    async fn living(&self) -> Vec<Alert> {
        let mut tx = self.ctx.db.read().await.unwrap();
        alerts_living(&mut tx, "", 100).await.unwrap()
    }
}

/// 100 and some noise that looks like chance and is none.
fn steady(at: u32) -> f64 {
    100.0 + f64::from(at * 7_919 % 101) / 50.0
}

#[tokio::test]
async fn what_is_unusual_is_told_once_and_is_over_after_a_day() {
    let mut pump = Pump::new(Forecasts::default()).await;
    pump.run(72, steady).await;
    assert_eq!(pump.living().await, []);
    let from = 72 * HOURLY;
    pump.run(1, |at| if at == from + 5 { 180.0 } else { steady(at) }).await;
    let alerts = pump.living().await;
    let [alert] = alerts.as_slice() else { panic!("{alerts:?}") };
    assert_eq!((alert.kind, alert.cause.as_str()), (Kind::Anomaly, "anomaly/filter.pressure_drop"));
    assert_eq!((alert.severity, alert.health), (Severity::Warning, Health::CheckFunction));
    assert!(
        alert
            .summary
            .starts_with("The filter of pump-1: pressure drop jumped to 180 Pa; just before it was about 10"),
        "{}",
        alert.summary
    );
    assert_eq!(
        alert.recommendation,
        "Check the filter of pump-1; no limit says that anything is wrong with it."
    );
    assert_eq!((alert.evidence.value, alert.evidence.limit.round()), (180.0, 101.0));

    pump.run(23, steady).await;
    let during = pump.living().await;
    assert_eq!((during.len(), during[0].generation), (1, 1), "nothing more is told of it: {during:?}");
    pump.run(2, steady).await;
    assert_eq!(pump.living().await, []);
}

#[tokio::test]
async fn what_an_operator_switched_off_is_not_told() {
    let off = |selector: &str, alerts| AnomalyRule {
        metric: "filter.*".to_owned(),
        selector: selector.to_owned(),
        alerts,
    };
    let odd = |at| if at == 72 * HOURLY { 180.0 } else { steady(at) };
    for (rules, told) in [
        (vec![off("", false)], 0),
        (vec![off("labels.site = \"north\"", false)], 0),
        (vec![off("labels.site = \"south\"", false)], 1),
        (vec![off("labels.site = \"north\"", true), off("", false)], 1),
    ] {
        let mut pump = Pump::new(Forecasts::new(AnomalyRules::read(&rules).unwrap())).await;
        pump.run(73, odd).await;
        assert_eq!(pump.living().await.len(), told, "{rules:?}");
    }
}

#[tokio::test]
async fn a_counter_is_unusual_by_its_rate() {
    let mut pump = Pump::new(Forecasts::default()).await;
    pump.boot_id = "boot-1";
    // Ten a second, and from a moment on a hundred.
    let total = |at: u32| f64::from(at) * 3_000.0 + f64::from(at.saturating_sub(80 * HOURLY)) * 27_000.0;
    pump.run(80, total).await;
    // The machine boots, and the counter starts from zero.
    pump.boot_id = "boot-2";
    pump.run(1, |at| total(at) - total(80 * HOURLY)).await;
    let alerts = pump.living().await;
    let [alert] = alerts.as_slice() else { panic!("{alerts:?}") };
    assert_eq!((alert.evidence.unit.as_str(), alert.evidence.value.round()), ("Pa/s", 100.0), "{alert:?}");
    assert!(alert.summary.contains("100 Pa a second"), "{}", alert.summary);
}

#[tokio::test]
async fn a_limit_that_is_crossed_says_more() {
    let mut pump = Pump::new(Forecasts::default()).await;
    filter_limit(&pump.ctx).await;
    pump.run(72, steady).await;
    pump.run(1, |_| 400.0).await;
    let alerts = pump.living().await;
    assert_eq!(alerts.iter().map(|alert| alert.kind).collect::<Vec<_>>(), [Kind::StateDetection]);
}

#[tokio::test]
async fn to_resolve_an_anomaly_forgets_nothing() {
    let mut pump = Pump::new(Forecasts::default()).await;
    pump.run(73, |at| if at == 72 * HOURLY { 180.0 } else { steady(at) }).await;
    let desk = caller(&pump.ctx, "desk", crate::model::token::Role::Operator, "").await;
    let id = pump.living().await[0].id.clone();
    let resolved = alerts::resolve(&pump.ctx, &desk, &id, "", "").await.unwrap();
    assert_eq!(resolved.state, AlertState::Resolved);
    let mut tx = pump.ctx.db.read().await.unwrap();
    assert_eq!(series_of_device(&mut tx, "pump-1").await.unwrap()[0].metric, METRIC);
}

#[tokio::test]
async fn an_anomaly_of_a_series_that_nobody_reports_any_more_ends_after_a_week() {
    let mut pump = Pump::new(Forecasts::default()).await;
    pump.run(73, |at| if at == 72 * HOURLY { 180.0 } else { steady(at) }).await;
    pump.ctx.clock.advance(DAY * 6);
    assert_eq!(clear_silent(&pump.ctx).await.unwrap(), 0);
    pump.ctx.clock.advance(DAY + DAY / 24);
    assert_eq!(clear_silent(&pump.ctx).await.unwrap(), 1);
    assert_eq!((pump.living().await, clear_silent(&pump.ctx).await.unwrap()), (vec![], 0));
}
