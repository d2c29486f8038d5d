//! Data points as readings.

use slipway_proto::{
    opentelemetry::proto::{
        common::v1::KeyValue,
        metrics::v1::{
            AggregationTemporality, DataPointFlags, HistogramDataPoint, Metric, NumberDataPoint,
            ResourceMetrics, SummaryDataPoint, metric::Data, number_data_point,
        },
    },
    v1,
};

use super::{CLASS, Fault, Tally, Why, component::component, count_of_metric, names, text};
use crate::model::{reading::MAX_METRIC, text::quoted};

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;
/// Quantiles of one summary; kits give five.
const QUANTILES: usize = 16;

/// One data point as readings: one, or of a histogram or a summary several. All have one class and one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The consent it needs.
    pub class: v1::DataClass,
    /// At least one.
    pub readings: Vec<v1::Reading>,
}

/// The data points of a resource, in their order; those that are none go to the tally.
pub fn points(of: &ResourceMetrics, tally: &mut Tally) -> Vec<Point> {
    let resource = of.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
    let mut points = Vec::new();
    for metric in of.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
        let count = count_of_metric(metric);
        let (name, unit) = match (names::metric(&metric.name), names::unit(&metric.unit)) {
            (None, _) => {
                tally.reject(count, format!("the metric {} is no name", quoted(&metric.name)));
                continue;
            }
            (_, None) => {
                tally.reject(
                    count,
                    format!("{} is no UCUM unit of at most 16 characters", quoted(&metric.unit)),
                );
                continue;
            }
            (Some(name), Some(unit)) => (name, unit),
        };
        let series = Series { name, unit, resource };
        for found in series.read(metric, tally) {
            match found {
                Ok(Some(point)) => points.push(point),
                // The sender says that there is no value at the moment.
                Ok(None) => {}
                Err(why) => tally.reject(1, why),
            }
        }
    }
    points
}

/// A point; none where the sender says that there is no value; or why it is refused.
type Read = Result<Option<Point>, Why>;

/// What the data points of one metric have in common.
struct Series<'a> {
    name: String,
    unit: String,
    resource: &'a [KeyValue],
}

/// How a sum or a histogram counts.
#[derive(Clone, Copy, PartialEq)]
enum Counts {
    /// What is now.
    Level,
    /// Since a start; after a reset the start is another one.
    SinceStart,
    /// Since the point before.
    SinceLast,
}

/// What every sort of data point has.
struct Head<'a> {
    attributes: &'a [KeyValue],
    start: u64,
    time: u64,
    flags: u32,
}

/// One value of a data point.
struct Part {
    /// Behind the metric's name.
    suffix: String,
    /// Other than the metric's.
    unit: Option<&'static str>,
    counts: Counts,
    value: f64,
}

impl Part {
    fn new(suffix: &str, unit: Option<&'static str>, counts: Counts, value: f64) -> Self {
        Self { suffix: suffix.to_owned(), unit, counts, value }
    }
}

impl Series<'_> {
    fn read(&self, metric: &Metric, tally: &mut Tally) -> Vec<Read> {
        match &metric.data {
            Some(Data::Gauge(data)) => {
                data.data_points.iter().map(|point| self.number(point, Counts::Level)).collect()
            }
            Some(Data::Sum(data)) => {
                let counts = match (data.aggregation_temporality(), data.is_monotonic) {
                    (AggregationTemporality::Delta, _) => Counts::SinceLast,
                    (_, true) => Counts::SinceStart,
                    (_, false) => Counts::Level,
                };
                data.data_points.iter().map(|point| self.number(point, counts)).collect()
            }
            Some(Data::Histogram(data)) => {
                let counts = counts(data.aggregation_temporality());
                data.data_points.iter().map(|point| self.histogram(point, counts, tally)).collect()
            }
            Some(Data::ExponentialHistogram(data)) => {
                let counts = counts(data.aggregation_temporality());
                let points = data.data_points.iter().map(|point| HistogramDataPoint {
                    attributes: point.attributes.clone(),
                    start_time_unix_nano: point.start_time_unix_nano,
                    time_unix_nano: point.time_unix_nano,
                    count: point.count,
                    sum: point.sum,
                    flags: point.flags,
                    min: point.min,
                    max: point.max,
                    ..Default::default()
                });
                points.map(|point| self.histogram(&point, counts, tally)).collect()
            }
            Some(Data::Summary(data)) => data.data_points.iter().map(|point| self.summary(point)).collect(),
            None => Vec::new(),
        }
    }

    fn number(&self, point: &NumberDataPoint, counts: Counts) -> Read {
        let head = Head {
            attributes: &point.attributes,
            start: point.start_time_unix_nano,
            time: point.time_unix_nano,
            flags: point.flags,
        };
        let value = match point.value {
            Some(number_data_point::Value::AsDouble(value)) => Some(value),
            // Beyond 2^53 the last digits of a count are lost, as everywhere.
            Some(number_data_point::Value::AsInt(value)) => Some(value as f64),
            None => None,
        };
        let parts = value.map(|value| Part::new("", None, counts, value));
        self.point(&head, parts.into_iter().collect())
    }

    fn histogram(&self, point: &HistogramDataPoint, counts: Counts, tally: &mut Tally) -> Read {
        let head = Head {
            attributes: &point.attributes,
            start: point.start_time_unix_nano,
            time: point.time_unix_nano,
            flags: point.flags,
        };
        tally.left_out_buckets();
        let mut parts = vec![Part::new(".count", Some("1"), counts, point.count as f64)];
        parts.extend(point.sum.map(|sum| Part::new(".sum", None, counts, sum)));
        parts.extend(point.min.map(|min| Part::new(".min", None, Counts::Level, min)));
        parts.extend(point.max.map(|max| Part::new(".max", None, Counts::Level, max)));
        self.point(&head, parts)
    }

    fn summary(&self, point: &SummaryDataPoint) -> Read {
        let head = Head {
            attributes: &point.attributes,
            start: point.start_time_unix_nano,
            time: point.time_unix_nano,
            flags: point.flags,
        };
        if point.quantile_values.len() > QUANTILES {
            return Err(format!("a summary has more than {QUANTILES} quantiles").into());
        }
        let mut parts = vec![
            Part::new(".count", Some("1"), Counts::SinceStart, point.count as f64),
            Part::new(".sum", None, Counts::SinceStart, point.sum),
        ];
        for at in &point.quantile_values {
            if !(0.0..=1.0).contains(&at.quantile) {
                return Err("a quantile lies outside of 0 and 1".to_owned().into());
            }
            // As percent to a thousandth: 0.999 is .p99.9, and no name gets longer than that.
            let percent = (at.quantile * 100_000.0).round() / 1000.0;
            parts.push(Part {
                suffix: format!(".p{percent}"),
                ..Part::new("", None, Counts::Level, at.value)
            });
        }
        self.point(&head, parts)
    }

    fn point(&self, head: &Head<'_>, parts: Vec<Part>) -> Read {
        if head.flags & DataPointFlags::NoRecordedValueMask as u32 != 0 {
            return Ok(None);
        }
        if parts.is_empty() {
            return Err(Why(Fault::Value, "without a value".to_owned()));
        }
        let class = self.class(head.attributes)?;
        let component = component(head.attributes, self.resource)?;
        let seconds = i64::try_from(head.time / SECOND).unwrap_or(i64::MAX);
        let nanos = i32::try_from(head.time % SECOND).unwrap_or(0);
        let time = (head.time > 0).then_some(prost_types::Timestamp { seconds, nanos });
        let mut readings = Vec::with_capacity(parts.len());
        for part in parts {
            let unit = part.unit.unwrap_or(&self.unit);
            let mut reading = v1::Reading {
                component: component.clone(),
                metric: format!("{}{}", self.name, part.suffix),
                unit: unit.to_owned(),
                data_class: class.into(),
                time,
                value: part.value,
                boot_id: String::new(),
            };
            match part.counts {
                Counts::Level => {}
                Counts::SinceStart if head.start == 0 => {}
                Counts::SinceStart => reading.boot_id = format!("otlp-{}", head.start),
                Counts::SinceLast => {
                    let span = head.time.checked_sub(head.start).filter(|span| head.start > 0 && *span > 0);
                    let span = span.ok_or_else(|| {
                        Why(Fault::Time, "a difference (delta) without the time it was counted in".to_owned())
                    })?;
                    reading.value /= span as f64 / SECOND as f64;
                    reading.metric.push_str(".rate");
                    reading.unit = names::per_second(unit).ok_or_else(|| {
                        format!("{} is no UCUM unit of at most 14 characters", quoted(unit))
                    })?;
                }
            }
            if reading.metric.len() > MAX_METRIC {
                return Err(
                    format!("the metric {} is longer than {MAX_METRIC}", quoted(&reading.metric)).into()
                );
            }
            readings.push(reading);
        }
        Ok(Some(Point { class, readings }))
    }

    fn class(&self, attributes: &[KeyValue]) -> Result<v1::DataClass, String> {
        match text(attributes, CLASS).or_else(|| text(self.resource, CLASS)) {
            None | Some("diagnostic") => Ok(v1::DataClass::Diagnostic),
            Some("usage") => Ok(v1::DataClass::Usage),
            Some("location") => Ok(v1::DataClass::Location),
            // What is essential leaves the device without its owner's word: no program may say that of itself.
            Some("essential") => Err("only the agent's own readings are essential".to_owned()),
            Some(other) => Err(format!("{} is no class of data", quoted(other))),
        }
    }
}

fn counts(temporality: AggregationTemporality) -> Counts {
    match temporality {
        AggregationTemporality::Delta => Counts::SinceLast,
        _ => Counts::SinceStart,
    }
}
