use slipway_proto::{
    opentelemetry::proto::{
        common::v1::AnyValue,
        metrics::v1::{
            ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
            NumberDataPoint, ScopeMetrics, Sum, Summary, SummaryDataPoint,
            number_data_point::Value as Number, summary_data_point::ValueAtQuantile,
        },
    },
    v1,
};

use super::*;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_795_305_600 * SECOND;
const NOW: u64 = START + 10 * SECOND;
const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;

fn word(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), key_strindex: 0 }
}

fn number(value: f64) -> NumberDataPoint {
    NumberDataPoint {
        start_time_unix_nano: START,
        time_unix_nano: NOW,
        value: Some(Number::AsDouble(value)),
        ..Default::default()
    }
}

fn gauge(points: Vec<NumberDataPoint>) -> Data {
    Data::Gauge(Gauge { data_points: points })
}

fn sum(aggregation_temporality: i32, is_monotonic: bool, points: Vec<NumberDataPoint>) -> Data {
    Data::Sum(Sum { data_points: points, aggregation_temporality, is_monotonic })
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Default::default() }
}

fn resource(metrics: Vec<Metric>) -> ResourceMetrics {
    ResourceMetrics {
        resource: Some(Resource { attributes: vec![word(COMPONENT, "pump")], ..Default::default() }),
        scope_metrics: vec![ScopeMetrics { metrics, ..Default::default() }],
        ..Default::default()
    }
}

/// The readings of one metric, as metric, unit, value and boot, and what the answer says.
fn read(name: &str, unit: &str, data: Data) -> (Vec<(String, String, f64, String)>, String) {
    let mut tally = Tally::default();
    let found = points(&resource(vec![metric(name, unit, data)]), &mut tally);
    let readings = found.into_iter().flat_map(|point| point.readings);
    let readings = readings.map(|one| (one.metric, one.unit, one.value, one.boot_id)).collect();
    (readings, tally.message())
}

fn row(metric: &str, unit: &str, value: f64, boot: &str) -> (String, String, f64, String) {
    (metric.to_owned(), unit.to_owned(), value, boot.to_owned())
}

#[test]
fn a_gauge_is_a_reading() {
    let mut tally = Tally::default();
    let found = points(&resource(vec![metric("pump.Pressure", "Pa", gauge(vec![number(4.5)]))]), &mut tally);
    let expected = v1::Reading {
        component: "pump".to_owned(),
        metric: "pump.pressure".to_owned(),
        unit: "Pa".to_owned(),
        data_class: v1::DataClass::Diagnostic.into(),
        time: Some(prost_types::Timestamp { seconds: 1_795_305_610, nanos: 0 }),
        value: 4.5,
        boot_id: String::new(),
    };
    assert_eq!(found, [Point { class: v1::DataClass::Diagnostic, readings: vec![expected] }]);
    assert_eq!(tally.message(), "");
}

#[test]
fn whole_numbers_are_values_too() {
    let point = NumberDataPoint { value: Some(Number::AsInt(-7)), ..number(0.0) };
    assert_eq!(read("m", "", gauge(vec![point])).0, [row("m", "", -7.0, "")]);
}

#[test]
fn a_counter_names_its_start_and_a_reset_is_another_one() {
    let again = NumberDataPoint { start_time_unix_nano: START + SECOND, ..number(1.0) };
    let unknown = NumberDataPoint { start_time_unix_nano: 0, ..number(2.0) };
    let (readings, said) = read("runs", "1", sum(CUMULATIVE, true, vec![number(9.0), again, unknown]));
    let boots = ["otlp-1795305600000000000", "otlp-1795305601000000000", ""];
    let values = [9.0, 1.0, 2.0];
    let expected: Vec<_> =
        boots.iter().zip(values).map(|(boot, value)| row("runs", "1", value, boot)).collect();
    assert_eq!((readings, said.as_str()), (expected, ""));
    // What goes up and down is no counter.
    assert_eq!(read("queue", "1", sum(CUMULATIVE, false, vec![number(3.0)])).0, [row("queue", "1", 3.0, "")]);
}

#[test]
fn a_difference_becomes_a_rate() {
    let (readings, _) = read("requests", "{request}", sum(DELTA, true, vec![number(50.0)]));
    assert_eq!(readings, [row("requests.rate", "{request}/s", 5.0, "")]);
    let none = NumberDataPoint { start_time_unix_nano: 0, ..number(1.0) };
    let backwards = NumberDataPoint { start_time_unix_nano: NOW + 1, ..number(1.0) };
    let (readings, said) = read("requests", "1", sum(DELTA, true, vec![none, backwards]));
    assert!(readings.is_empty() && said.starts_with("2 data points rejected: a difference"), "{said}");
}

#[test]
fn histograms_keep_count_sum_and_ends() {
    let point = HistogramDataPoint {
        start_time_unix_nano: START,
        time_unix_nano: NOW,
        count: 20,
        sum: Some(40.0),
        bucket_counts: vec![5, 15],
        explicit_bounds: vec![1.0],
        min: Some(0.5),
        max: Some(9.0),
        ..Default::default()
    };
    let boot = "otlp-1795305600000000000";
    let data = Histogram { data_points: vec![point.clone()], aggregation_temporality: CUMULATIVE };
    let (readings, said) = read("journey", "s", Data::Histogram(data));
    let expected = [
        row("journey.count", "1", 20.0, boot),
        row("journey.sum", "s", 40.0, boot),
        row("journey.min", "s", 0.5, ""),
        row("journey.max", "s", 9.0, ""),
    ];
    assert_eq!(readings, expected);
    assert_eq!(said, "of 1 histogram only count, sum, minimum and maximum are kept, not the buckets");
    let data = Histogram { data_points: vec![point], aggregation_temporality: DELTA };
    let (readings, _) = read("journey", "s", Data::Histogram(data));
    assert_eq!(
        readings[..2],
        [row("journey.count.rate", "1/s", 2.0, ""), row("journey.sum.rate", "s/s", 4.0, "")]
    );
}

#[test]
fn exponential_histograms_are_histograms() {
    let point =
        ExponentialHistogramDataPoint { time_unix_nano: NOW, count: 3, scale: 20, ..Default::default() };
    let data = ExponentialHistogram { data_points: vec![point], aggregation_temporality: CUMULATIVE };
    let (readings, said) = read("journey", "s", Data::ExponentialHistogram(data));
    assert_eq!(readings, [row("journey.count", "1", 3.0, "")]);
    assert!(said.contains("1 histogram"), "{said}");
}

#[test]
fn summaries_keep_their_quantiles() {
    let at = |quantile, value| ValueAtQuantile { quantile, value };
    let summary = |quantile_values| {
        let point = SummaryDataPoint {
            time_unix_nano: NOW,
            count: 2,
            sum: 3.0,
            quantile_values,
            ..Default::default()
        };
        Data::Summary(Summary { data_points: vec![point] })
    };
    let (readings, _) =
        read("t", "s", summary(vec![at(0.0, 1.0), at(0.5, 1.5), at(0.999, 2.0), at(1.0, 2.0)]));
    let names: Vec<&str> = readings.iter().map(|row| row.0.as_str()).collect();
    assert_eq!(names, ["t.count", "t.sum", "t.p0", "t.p50", "t.p99.9", "t.p100"]);
    for (bad, why) in [
        (vec![at(f64::NAN, 1.0)], "outside of 0 and 1"),
        (vec![at(1.5, 1.0)], "outside of 0 and 1"),
        (vec![at(0.5, 1.0); 17], "more than 16 quantiles"),
    ] {
        let (readings, said) = read("t", "s", summary(bad));
        assert!(readings.is_empty() && said.contains(why), "{said}");
    }
}

#[test]
fn what_is_no_value_is_told_or_passed_over() {
    let stale = NumberDataPoint { flags: 1, value: None, ..number(0.0) };
    assert_eq!(read("m", "1", gauge(vec![stale])), (vec![], String::new()));
    let empty = NumberDataPoint { value: None, ..number(0.0) };
    let (_, said) = read("m", "1", gauge(vec![empty]));
    assert_eq!(said, "1 data point rejected: without a value");
    let (_, said) = read("a\u{7}b", "1", gauge(vec![number(1.0), number(2.0)]));
    assert_eq!(said, r#"2 data points rejected: the metric "a\u{7}b" is no name"#);
    let (_, said) = read("m", "no unit", gauge(vec![number(1.0)]));
    assert!(said.contains("is no UCUM unit"), "{said}");
    let (_, said) = read(&"m".repeat(126), "1", sum(DELTA, true, vec![number(1.0)]));
    assert!(said.contains("longer than 128"), "{said}");
}

#[test]
fn the_class_is_the_points_else_the_resources() {
    let class = |of_resource: Option<&str>, of_point: Option<&str>| {
        let attributes = of_point.map(|class| word(CLASS, class)).into_iter().collect();
        let point = NumberDataPoint { attributes, ..number(1.0) };
        let mut whole = resource(vec![metric("m", "1", gauge(vec![point]))]);
        if let (Some(resource), Some(class)) = (&mut whole.resource, of_resource) {
            resource.attributes.push(word(CLASS, class));
        }
        let mut tally = Tally::default();
        let class = points(&whole, &mut tally).first().map(|point| point.class);
        class.ok_or(tally.message())
    };
    assert_eq!(class(None, None), Ok(v1::DataClass::Diagnostic));
    assert_eq!(class(Some("usage"), None), Ok(v1::DataClass::Usage));
    assert_eq!(class(Some("usage"), Some("location")), Ok(v1::DataClass::Location));
    assert!(class(None, Some("essential")).unwrap_err().contains("only the agent's own"));
    assert!(class(None, Some("public")).unwrap_err().contains("no class of data"));
}

#[test]
fn an_answer_has_an_end_however_many_reasons_there_are() {
    let mut tally = Tally::default();
    for n in 0..100_000 {
        tally.reject(1, format!("of {n}"));
    }
    assert_eq!(tally.rejected(), 100_000);
    let said = tally.message();
    assert!(said.len() < 1000 && said.contains("for further reasons"), "{said}");
}
