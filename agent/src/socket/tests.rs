//! What programs tell, and what they cannot do to the agent.

use prost::Message as _;
use slipway_proto::{
    opentelemetry::proto::{
        collector::metrics::v1::ExportMetricsServiceRequest,
        common::v1::{AnyValue, KeyValue, any_value},
        metrics::v1::{
            AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
            HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
            SummaryDataPoint, metric::Data, number_data_point,
        },
        resource::v1::Resource,
    },
    v1::DataClass,
};

use super::{settings::Class, table::Value, *};

pub(super) const NOW: i64 = 1_795_305_600_000;

fn settings() -> Settings {
    let mut settings = Settings { series: 5, ..Settings::default() };
    settings.classes.insert("pump.".to_owned(), Class::Diagnostic);
    settings.classes.insert("pump.place".to_owned(), Class::Location);
    settings
}

fn table() -> Table {
    Table::new(&settings(), "boot.run")
}

/// Component, metric, value and unit of what is drained, and where it counts from.
fn drained(table: &mut Table) -> Vec<String> {
    let readings = table.drain(NOW);
    let line = |reading: &Reading| {
        let Reading { component, metric, unit, value, boot_id, .. } = reading;
        format!("{component} {metric} {value} {unit} {boot_id}").trim_end().to_owned()
    };
    readings.iter().map(line).collect()
}

#[test]
fn statsd_of_every_type() {
    let mut table = Table::new(&Settings::default(), "run");
    let datagram = "pump.starts:1|c\npump.starts:2|c|@0.5\npump.level:3.5|g|#component:tank,unit:m,site:x\n\
                    Pump-Level:7|g\nPump-Level:-2|g\nPump-Level:+0.5|g\npump.cycle:250|ms\npump.cycle:750|ms|@0.5\n\
                    load:4|h|#unit:By|c:abc|T1656581400\n";
    statsd::read(datagram.as_bytes(), &mut table);
    assert_eq!(
        drained(&mut table),
        [
            "app load.count 1 1 run.5",
            "app load.sum 4 By run.4",
            "app pump.cycle.count 3 1 run.3",
            "app pump.cycle.sum 1750 ms run.2",
            "app pump.starts 5 1 run.1",
            "app pump_level 5.5 1",
            "tank pump.level 3.5 m",
        ]
    );
    assert_eq!((table.refused(), drained(&mut table)), (0, vec![]));
    statsd::read(b"pump.starts:1|c", &mut table);
    assert_eq!(drained(&mut table), ["app pump.starts 6 1 run.1"], "it counts on");
}

#[test]
fn what_is_not_statsd_is_refused_and_counted() {
    let mut table = table();
    let lines = [
        "",
        "x",
        "x:1",
        "x:|g",
        "x:1|s",
        "x:1|g|@0",
        "x:1|c|@2",
        "x:nan|g",
        "x:inf|g",
        "x:-1|c",
        ":1|g",
        "a b:1|g",
        "größe:1|g",
        "x\u{7}:1|g",
        "slipway.boots:1|g",
        "x:1|g|#component:system",
        "x:1|g|#component:A",
        "x:1|g|#unit:no unit",
        "_e{5,4}:title|text",
        "x:1e999|c",
    ];
    for line in lines {
        statsd::read(line.as_bytes(), &mut table);
    }
    statsd::read(&[0xff, 0xfe], &mut table);
    assert_eq!(table.refused() as usize, lines.len(), "all but the empty one, and the one that is no text");
    assert_eq!(table.complaint().as_deref(), Some("\"x\" is not StatsD as it is understood here"));
    assert_eq!(table.complaint(), None);
    assert_eq!(drained(&mut table), [""; 0]);
    let long = format!("{}:1|g", "x".repeat(129));
    statsd::read(long.as_bytes(), &mut table);
    assert!(table.complaint().unwrap().len() < 100, "what a stranger says is cut");
}

#[test]
fn there_are_never_more_series_than_configured_and_old_ones_make_room() {
    let mut table = table();
    let tell = |table: &mut Table, names: std::ops::Range<u32>| {
        for name in names {
            let _ = table.take("", &format!("m{name}"), "", Value::More(1.0));
        }
    };
    tell(&mut table, 0..100_000);
    assert_eq!((table.drain(NOW).len(), table.refused()), (5, 99_995));
    tell(&mut table, 0..2);
    assert_eq!(table.drain(NOW + 1_800_000).len(), 2);
    assert_eq!(table.drain(NOW + 3_600_000).len(), 0, "three of them were idle for an hour");
    tell(&mut table, 2..9);
    let readings = table.drain(NOW + 3_600_001);
    assert_eq!(readings.len(), 3);
    assert_eq!(
        (readings[0].boot_id.as_str(), readings[0].value),
        ("boot.run.6", 1.0),
        "it counts anew, and says so"
    );
    tell(&mut table, 0..1);
    assert_eq!(table.drain(5).len(), 1, "a clock that goes back ends the others");
    tell(&mut table, 20..24);
    assert_eq!(table.drain(6).len(), 4);
}

#[test]
fn the_owner_decides_what_class_it_is() {
    let mut table = table();
    for metric in ["pump.load", "pump.place.east", "door.opened"] {
        table.take("", metric, "", Value::Is(1.0)).unwrap();
    }
    let classes: Vec<DataClass> = table.drain(NOW).iter().map(Reading::data_class).collect();
    assert_eq!(classes, [DataClass::Usage, DataClass::Diagnostic, DataClass::Location]);
    // As people write it, and twice.
    let written =
        [("Pump.Geo-Fix", Class::Location), ("pump.geo-fix", Class::Usage), ("PUMP.", Class::Diagnostic)];
    let classes = written.map(|(prefix, class)| (prefix.to_owned(), class)).into();
    let mut table = Table::new(&Settings { classes, ..settings() }, "run");
    table.take("", "Pump.geo-fix.lon", "", Value::Is(1.0)).unwrap();
    assert_eq!(table.drain(NOW)[0].data_class(), DataClass::Location);
}

pub(super) fn word(key: &str, value: &str) -> KeyValue {
    let value = Some(any_value::Value::StringValue(value.to_owned()));
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value }), ..KeyValue::default() }
}

pub(super) fn point(value: f64, attributes: &[KeyValue]) -> NumberDataPoint {
    NumberDataPoint {
        value: Some(number_data_point::Value::AsDouble(value)),
        attributes: attributes.to_vec(),
        start_time_unix_nano: 77,
        time_unix_nano: 99,
        ..NumberDataPoint::default()
    }
}

pub(super) fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}

pub(super) fn request(attributes: &[KeyValue], metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let resource = Resource { attributes: attributes.to_vec(), ..Resource::default() };
    let scope = ScopeMetrics { metrics, ..ScopeMetrics::default() };
    let of = ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![scope],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest { resource_metrics: vec![of] }
}

/// A request with a metric of every sort.
pub(super) fn every_sort() -> ExportMetricsServiceRequest {
    let cumulative = AggregationTemporality::Cumulative.into();
    let delta = AggregationTemporality::Delta.into();
    let integer = NumberDataPoint {
        value: Some(number_data_point::Value::AsInt(-4)),
        ..point(0.0, &[word("slipway.component", "tank"), word("slipway.data_class", "essential")])
    };
    let sum = |temporality, is_monotonic, value| {
        Data::Sum(Sum {
            data_points: vec![point(value, &[])],
            aggregation_temporality: temporality,
            is_monotonic,
        })
    };
    let nothing = NumberDataPoint { flags: 1, ..point(9.0, &[]) };
    let histogram = HistogramDataPoint {
        count: 3,
        sum: Some(6.5),
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![1.0],
        start_time_unix_nano: 77,
        ..HistogramDataPoint::default()
    };
    let exponential = ExponentialHistogramDataPoint {
        count: 2,
        sum: Some(1.5),
        attributes: vec![word("way", "in")],
        ..ExponentialHistogramDataPoint::default()
    };
    let summary = SummaryDataPoint { count: 8, sum: 2.25, ..SummaryDataPoint::default() };
    let metrics = vec![
        metric(
            "pump.level",
            "m",
            Data::Gauge(Gauge { data_points: vec![point(1.5, &[]), integer, nothing] }),
        ),
        metric("pump.starts", "{start}", sum(cumulative, true, 12.0)),
        metric("pump.queue", "1", sum(cumulative, false, 5.0)),
        metric("pump.bytes", "By", sum(delta, true, 100.0)),
        metric("pump.open", "", sum(delta, false, -2.0)),
        metric(
            "cycle",
            "s",
            Data::Histogram(Histogram { data_points: vec![histogram], aggregation_temporality: cumulative }),
        ),
        metric(
            "wait",
            "s",
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: vec![exponential],
                aggregation_temporality: cumulative,
            }),
        ),
        metric("old", "s", Data::Summary(Summary { data_points: vec![summary] })),
    ];
    request(&[word("service.name", "pumpd")], metrics)
}

#[test]
fn otlp_of_every_sort() {
    let mut table = Table::new(&Settings::default(), "run");
    let bytes = every_sort().encode_to_vec();
    for _ in 0..2 {
        assert_eq!(otlp::read(&bytes, &mut table), Ok(otlp::Outcome::default()));
    }
    assert_eq!(
        drained(&mut table),
        [
            "pumpd cycle.count 3 1 otlp-77",
            "pumpd cycle.sum 6.5 s otlp-77",
            "pumpd old.count 8 1",
            "pumpd old.sum 2.25 s",
            "pumpd pump.bytes 200 By run.1",
            "pumpd pump.level 1.5 m",
            "pumpd pump.open -4 1",
            "pumpd pump.queue 5 1",
            "pumpd pump.starts 12 {start} otlp-77",
            "pumpd/way.in wait.count 2 1",
            "pumpd/way.in wait.sum 1.5 s",
            "tank pump.level -4 m",
        ]
    );
}

#[test]
fn different_attributes_are_different_components() {
    let mut table = Table::new(&Settings::default(), "run");
    let long = "y".repeat(80);
    for attributes in [
        vec![word("b", "2"), word("a", "1")],
        vec![word("a", "é")],
        vec![word("a", "è")],
        vec![word("a", &long)],
    ] {
        let gauge = Data::Gauge(Gauge { data_points: vec![point(1.0, &attributes)] });
        otlp::read(&request(&[], vec![metric("m", "1", gauge)]).encode_to_vec(), &mut table).unwrap();
    }
    let components: Vec<String> = table.drain(NOW).into_iter().map(|reading| reading.component).collect();
    assert_eq!(components.len(), 4);
    assert!(components.contains(&"otlp/a.1/b.2".to_owned()));
    assert!(components.iter().all(|name| table::is_component(name)), "{components:?}");
}

#[test]
fn bytes_that_are_no_request_end_in_an_error_and_nothing_worse() {
    let bytes = every_sort().encode_to_vec();
    let mut table = Table::new(&Settings::default(), "run");
    for cut in 0..bytes.len() {
        let _ = otlp::read(&bytes[..cut], &mut table);
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = otlp::read(&flipped, &mut table);
    }
    assert!(
        otlp::read(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], &mut table)
            .is_err()
    );
    assert!(otlp::read(&[0x0b], &mut table).is_err(), "a group");
    assert!(table.drain(NOW).len() <= 200);
}

#[test]
fn a_request_that_is_partly_refused_says_how_much() {
    let mut table = table();
    let points = (0..3).map(|number| point(f64::from(number), &[])).collect();
    let bad = metric("no name", "1", Data::Gauge(Gauge { data_points: points }));
    let crowd = vec![word("k", "v"); 33];
    let crowded = metric("m", "1", Data::Gauge(Gauge { data_points: vec![point(1.0, &crowd)] }));
    let good = metric("m", "1", Data::Gauge(Gauge { data_points: vec![point(1.0, &[])] }));
    let outcome = otlp::read(&request(&[], vec![bad, crowded, good]).encode_to_vec(), &mut table).unwrap();
    assert_eq!(
        outcome,
        otlp::Outcome { rejected: 4, why: Some("the metric \"no name\" is no name".to_owned()) }
    );
    assert_eq!((table.refused(), table.drain(NOW).len()), (4, 1));
}
