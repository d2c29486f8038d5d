//! Metrics of the OpenTelemetry protocol as readings. Pure: a message in, readings and what is wrong with the rest out.
//!
//! How each sort of metric is read stands in `docs/otlp.md`.

mod component;
mod names;
mod points;
mod tally;

pub use points::{Point, points};
pub use tally::{Fault, Tally, Why};

use slipway_proto::opentelemetry::proto::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{Metric, ResourceMetrics, metric::Data},
    resource::v1::Resource,
};

/// Attribute of a resource: the device, by the id it has here.
pub const DEVICE: &str = "slipway.device.id";
/// Attribute of a resource: the same, where a collector knows only the words of OpenTelemetry.
pub const INSTANCE: &str = "service.instance.id";
/// Attribute of a data point, else of its resource: the part of the device.
pub const COMPONENT: &str = "slipway.component";
/// Attribute of a data point, else of its resource: the consent it needs.
pub const CLASS: &str = "slipway.data_class";

/// The words of a resource that say which device it is of.
pub fn named<'a>(resource: Option<&'a Resource>, key: &str) -> Option<&'a str> {
    text(&resource?.attributes, key)
}

/// Data points in a whole request.
pub fn count(request: &ExportMetricsServiceRequest) -> usize {
    request.resource_metrics.iter().map(count_of_resource).sum()
}

/// Data points of one resource.
pub fn count_of_resource(of: &ResourceMetrics) -> usize {
    of.scope_metrics.iter().flat_map(|scope| &scope.metrics).map(count_of_metric).sum()
}

fn count_of_metric(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
        None => 0,
    }
}

/// The text of an attribute, if it has one.
fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
