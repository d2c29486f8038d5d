use std::time::Duration;

use slipway_proto::opentelemetry::proto::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{
        Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ScopeMetrics, metric::Data,
        number_data_point::Value as Number,
    },
    resource::v1::Resource,
};

use super::*;
use crate::{
    model::{device::DataClass, time::DAY, token::Role},
    service::{
        Error,
        alert_testing::{caller, device, filter_limit},
        forecasts, ingest,
    },
    store::{
        alerts::alerts_of_device,
        devices::{device_get, device_update},
        inbox::{InboxRow, inbox_waiting},
    },
};

fn word(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), key_strindex: 0 }
}

fn point(at: Timestamp, value: f64) -> NumberDataPoint {
    NumberDataPoint {
        time_unix_nano: u64::try_from(at.millis()).unwrap() * 1_000_000,
        value: Some(Number::AsDouble(value)),
        ..Default::default()
    }
}

fn of_class(class: &str, point: NumberDataPoint) -> NumberDataPoint {
    NumberDataPoint { attributes: vec![word(otlp::CLASS, class)], ..point }
}

fn gauge(name: &str, points: Vec<NumberDataPoint>) -> Metric {
    let data = Some(Data::Gauge(Gauge { data_points: points }));
    Metric { name: name.to_owned(), unit: "Pa".to_owned(), data, ..Default::default() }
}

fn resource(attributes: Vec<KeyValue>, metrics: Vec<Metric>) -> ResourceMetrics {
    ResourceMetrics {
        resource: Some(Resource { attributes, ..Default::default() }),
        scope_metrics: vec![ScopeMetrics { metrics, ..Default::default() }],
        ..Default::default()
    }
}

fn request(resource_metrics: Vec<ResourceMetrics>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest { resource_metrics }
}

/// One pressure of a device.
fn pressure(device: &str, now: Timestamp) -> ResourceMetrics {
    resource(vec![word(otlp::DEVICE, device)], vec![gauge("pressure", vec![point(now, 1.0)])])
}

/// The owner decides anew.
async fn allow(ctx: &Context, id: &str, classes: &[DataClass]) {
    let mut tx = ctx.db.write().await.unwrap();
    let mut device = device_get(&mut tx, id).await.unwrap().unwrap();
    device.inventory.consent = classes.to_vec();
    assert!(device_update(&mut tx, &mut device, ctx.clock.now()).await.unwrap());
    tx.commit().await.unwrap();
    ctx.devices.refresh(ctx, id).await.unwrap();
}

/// How many were rejected, and what is said of it.
fn said(answer: ExportMetricsServiceResponse) -> (i64, String) {
    answer
        .partial_success
        .map_or_else(Default::default, |partial| (partial.rejected_data_points, partial.error_message))
}

async fn waiting(ctx: &Context) -> Vec<InboxRow> {
    let mut tx = ctx.db.read().await.unwrap();
    inbox_waiting(&mut tx, 10_000).await.unwrap()
}

#[tokio::test]
async fn the_same_request_again_adds_nothing() {
    let ctx = Context::for_test().await;
    let pump = Sender::Device(device(&ctx, "pump-1", "north").await);
    let now = ctx.clock.now();
    let points = (0..2500).map(|n| point(now.before(Duration::from_secs(n)), 1.0)).collect();
    let sent = request(vec![resource(vec![], vec![gauge("pressure", points)])]);
    for _ in 0..3 {
        assert_eq!(said(export(&ctx, &pump, sent.clone()).await.unwrap()), (0, String::new()));
        // The server's clock goes on between the attempts.
        ctx.clock.advance(Duration::from_secs(60));
    }
    let rows = waiting(&ctx).await;
    let sizes: Vec<usize> = rows.iter().map(|row| ingest::decode(&row.readings).unwrap().len()).collect();
    assert_eq!((rows.len(), sizes.iter().sum::<usize>()), (3, 2500));
    assert!(rows.iter().all(|row| row.sequence == 0 && row.nonce.len() == NONCE));
    let other = request(vec![resource(vec![], vec![gauge("pressure", vec![point(ctx.clock.now(), 1.0)])])]);
    export(&ctx, &pump, other).await.unwrap();
    assert_eq!(waiting(&ctx).await.len(), 4);
}

#[tokio::test]
async fn what_the_owner_allows_later_is_kept_when_it_is_sent_again_and_nothing_twice() {
    let ctx = Context::for_test().await;
    let entry = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    let points = (1..1500).map(|n| {
        let at = point(now.before(Duration::from_secs(n)), 1.0);
        if n % 2 == 0 { of_class("usage", at) } else { at }
    });
    let sent = request(vec![resource(vec![], vec![gauge("pressure", points.collect())])]);
    let pump = Sender::Device(entry);
    assert_eq!(said(export(&ctx, &pump, sent.clone()).await.unwrap()).0, 749);
    allow(&ctx, "pump-1", &[DataClass::Diagnostic, DataClass::Usage]).await;
    let pump = Sender::Device(ctx.devices.get("pump-1").unwrap());
    for _ in 0..2 {
        assert_eq!(said(export(&ctx, &pump, sent.clone()).await.unwrap()), (0, String::new()));
    }
    let mut kept = Vec::new();
    for row in waiting(&ctx).await {
        let readings = ingest::decode(&row.readings).unwrap();
        kept.extend(readings.iter().map(|reading| reading.at.unwrap().millis()));
    }
    let count = kept.len();
    kept.sort_unstable();
    kept.dedup();
    assert_eq!((kept.len(), count), (1499, 1499));
}

#[tokio::test]
async fn a_device_speaks_for_itself_alone() {
    let ctx = Context::for_test().await;
    let pump = Sender::Device(device(&ctx, "pump-1", "north").await);
    device(&ctx, "pump-2", "north").await;
    let now = ctx.clock.now();
    // What kits put in by themselves is no claim to be somebody else.
    let kit = resource(
        vec![word(otlp::INSTANCE, "627cc493-f310-47de-96bd-71410b7dec09")],
        vec![gauge("pressure", vec![point(now, 1.0)])],
    );
    let sent = request(vec![pressure("pump-1", now), pressure("pump-2", now), kit]);
    let (rejected, why) = said(export(&ctx, &pump, sent).await.unwrap());
    assert_eq!(rejected, 1);
    assert!(why.contains("with the certificate of \"pump-1\""), "{why}");
    let rows = waiting(&ctx).await;
    assert!(rows.len() == 1 && rows[0].device_id == "pump-1");
}

#[tokio::test]
async fn a_gateway_speaks_for_the_devices_in_its_scope() {
    let ctx = Context::for_test().await;
    device(&ctx, "pump-1", "north").await;
    device(&ctx, "pump-2", "north").await;
    device(&ctx, "pump-3", "south").await;
    let token = caller(&ctx, "aa", Role::Ingest, "labels.site = \"north\"").await;
    let gateway = Sender::Gateway(token);
    let now = ctx.clock.now();
    let by_instance =
        resource(vec![word(otlp::INSTANCE, "pump-2")], vec![gauge("pressure", vec![point(now, 2.0)])]);
    let nobodys = resource(vec![], vec![gauge("pressure", vec![point(now, 2.0); 3])]);
    let sent = vec![
        pressure("pump-1", now),
        by_instance,
        pressure("pump-3", now),
        pressure("pump-9", now),
        pressure("no\u{7}name", now),
        nobodys,
    ];
    let (rejected, why) = said(export(&ctx, &gateway, request(sent)).await.unwrap());
    assert_eq!(rejected, 6);
    // One that is elsewhere and one that is not there look the same.
    for id in [r#""pump-3""#, r#""pump-9""#, r#""no\u{7}name""#] {
        assert!(why.contains(&format!("of {id}, which is no device in the scope of this token")), "{why}");
    }
    assert!(why.contains("3 data points rejected: of no device"), "{why}");
    let of: Vec<String> = waiting(&ctx).await.into_iter().map(|row| row.device_id).collect();
    assert_eq!(of, ["pump-1", "pump-2"]);
}

#[tokio::test]
async fn the_owner_decides_and_bad_points_cost_only_themselves() {
    let ctx = Context::for_test().await;
    let pump = Sender::Device(device(&ctx, "pump-1", "north").await);
    let now = ctx.clock.now();
    let points = vec![
        point(now, 1.0),
        of_class("usage", point(now, 2.0)),
        of_class("location", point(now, 3.0)),
        of_class("essential", point(now, 4.0)),
        point(now, f64::NAN),
        point(now, f64::INFINITY),
        point(now, f64::NEG_INFINITY),
        point(Timestamp::from_seconds(0), 5.0),
        point(Timestamp::from_seconds(60), 5.0),
        point(now.after(DAY * 365 * 73), 6.0),
        NumberDataPoint { time_unix_nano: u64::MAX, ..point(now, 7.0) },
    ];
    let (rejected, why) =
        said(export(&ctx, &pump, request(vec![resource(vec![], vec![gauge("p", points)])])).await.unwrap());
    assert_eq!(rejected, 10);
    for words in [
        "1 data point rejected: of the class usage, which the owner of the device switched off",
        "1 data point rejected: of the class location, which",
        "1 data point rejected: only the agent's own readings are essential",
        "3 data points rejected: with a value that is not finite",
        "4 data points rejected: without a time, or one before 2000 or more than a day ahead",
    ] {
        assert!(why.contains(words), "{words}: {why}");
    }
    let rows = waiting(&ctx).await;
    let kept = ingest::decode(&rows[0].readings).unwrap();
    assert!(kept.len() == 1 && kept[0].value == 1.0, "{kept:?}");
    // Senders are told, and most of them tell nobody.
    let counted = ctx.metrics.text(0);
    for line in ["consent\"} 2", "metric\"} 1", "value\"} 3", "time\"} 4"] {
        let line = format!("slipwayd_otlp_rejected_total{{reason=\"{line}\n");
        assert!(counted.contains(&line), "{line}: {counted}");
    }
}

#[tokio::test]
async fn a_sum_that_is_not_finite_takes_its_histogram_along() {
    let ctx = Context::for_test().await;
    let pump = Sender::Device(device(&ctx, "pump-1", "north").await);
    let at = point(ctx.clock.now(), 0.0).time_unix_nano;
    let of = |sum| HistogramDataPoint { time_unix_nano: at, count: 3, sum: Some(sum), ..Default::default() };
    let data = Histogram { data_points: vec![of(f64::NAN), of(2.0)], aggregation_temporality: 2 };
    let metric = Metric { name: "h".into(), data: Some(Data::Histogram(data)), ..Default::default() };
    let (rejected, why) =
        said(export(&ctx, &pump, request(vec![resource(vec![], vec![metric])])).await.unwrap());
    assert_eq!(rejected, 1);
    assert!(why.contains("of 2 histograms only count"), "{why}");
    assert_eq!(ingest::decode(&waiting(&ctx).await[0].readings).unwrap().len(), 2);
}

#[tokio::test]
async fn a_request_has_an_end() {
    let ctx = Context::for_test().await;
    let pump = Sender::Device(device(&ctx, "pump-1", "north").await);
    let points = vec![point(ctx.clock.now(), 1.0); limits::OTLP_POINTS + 1];
    let sent = request(vec![resource(vec![], vec![gauge("p", points)])]);
    match export(&ctx, &pump, sent).await.unwrap_err() {
        Error::Refused(refusal) => assert_eq!(refusal.reason, Reason::BatchTooLarge),
        other => panic!("{other:?}"),
    }
    assert!(waiting(&ctx).await.is_empty());
    assert_eq!(said(export(&ctx, &pump, request(vec![])).await.unwrap()), (0, String::new()));
}

#[tokio::test]
async fn what_is_sent_raises_an_alert() {
    let ctx = Context::for_test().await;
    let limit = filter_limit(&ctx).await;
    let entry = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    let points = (0..48).rev().map(|hour| point(now.before(DAY / 24 * hour), 300.0)).collect();
    let sent = request(vec![resource(
        vec![word(otlp::COMPONENT, &limit.component)],
        vec![gauge(&limit.metric, points)],
    )]);
    export(&ctx, &Sender::Device(entry), sent).await.unwrap();
    while forecasts::consume(&ctx).await.unwrap().batches > 0 {}
    let mut tx = ctx.db.read().await.unwrap();
    let alerts = alerts_of_device(&mut tx, "pump-1", now.before(DAY)).await.unwrap();
    assert_eq!(alerts.iter().map(|alert| alert.cause.as_str()).collect::<Vec<_>>(), ["filter"]);
}
