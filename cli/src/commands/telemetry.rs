//! `slipway telemetry`: what devices measure.

use std::fs;

use slipway_proto::v1;

use crate::{
    args::{Connection, Extent, TelemetryCommand, TelemetryShow},
    chart::{Chart, Point, draw, svg},
    commands::{listed, pages, telemetry_export},
    connect::Api,
    error::Failure,
    human, names,
    output::{Console, Format, columns},
};

/// Points of a chart: two for each column of the widest picture, and enough for a smooth line as SVG.
const POINTS: i32 = 640;

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(
    command: TelemetryCommand,
    connection: &Connection,
    console: &Console,
) -> Result<(), Failure> {
    let api = Api::open(connection, console).await?;
    match command {
        TelemetryCommand::List { device, extent } => list(&device, &extent, &api, console).await,
        TelemetryCommand::Show(args) => show(args, &api, console).await,
        TelemetryCommand::Export(args) => telemetry_export::run(args, &api, console).await,
    }
}

async fn list(device: &str, extent: &Extent, api: &Api, console: &Console) -> Result<(), Failure> {
    let series = series(device, extent.max, api, console).await?;
    console.show_all("Series", &series, |series| render_list(series, console.clock.now()))
}

async fn series(device: &str, max: usize, api: &Api, console: &Console) -> Result<Vec<v1::Series>, Failure> {
    let parent = names::full("devices", device);
    pages(console, max, |page_size, page_token| {
        let (mut telemetry, parent) = (api.telemetry(), parent.clone());
        async move {
            let request = v1::ListSeriesRequest { parent, page_size, page_token };
            let page = telemetry.list_series(request).await?.into_inner();
            Ok((page.series, page.next_page_token))
        }
    })
    .await
}

fn render_list(series: &[v1::Series], now: i64) -> String {
    let rows: Vec<_> = series
        .iter()
        .map(|one| {
            vec![
                one.component.clone(),
                one.metric.clone(),
                human::number(one.last_value),
                one.unit.clone(),
                human::enum_words(one.data_class().as_str_name(), "DATA_CLASS_"),
                human::maybe_relative(one.last_time.as_ref(), now),
            ]
        })
        .collect();
    let header = ["COMPONENT", "METRIC", "LAST VALUE", "UNIT", "CLASS", "READ"];
    listed(rows.len(), "no readings", columns(&header, &rows))
}

async fn show(args: TelemetryShow, api: &Api, console: &Console) -> Result<(), Failure> {
    let now = console.clock.now();
    let component = match args.component {
        Some(component) => component,
        None => only_component(&series(&args.device, 0, api, console).await?, &args.device, &args.metric)?,
    };
    let request = v1::QueryReadingsRequest {
        parent: names::full("devices", &args.device),
        component: component.clone(),
        metric: args.metric.clone(),
        start_time: Some(args.since.to_wire(now)),
        end_time: args.until.map(|until| until.to_wire(now)),
        max_points: POINTS,
        bucket: None,
    };
    let answer = api.telemetry().query_readings(request).await?.into_inner();
    let chart = Chart {
        title: format!(
            "{} of {component}, {}",
            args.metric,
            names::short(&names::full("devices", &args.device))
        ),
        unit: answer.unit.clone(),
        points: answer.points.iter().map(point).collect(),
        start: Some(args.since.at(now)),
        end: Some(args.until.map_or(now, |until| until.at(now))),
        ..Chart::default()
    };
    if let Some(path) = &args.plot {
        fs::write(path, svg(&chart)).map_err(|error| Failure::file("write the picture to", path, &error))?;
        console.say(&format!("the picture is in {}", path.display()));
    }
    match console.format {
        Format::Json => console.show("QueryReadingsResponse", &answer, |_| String::new()),
        Format::Table => {
            console.picture(&draw(&chart, console.screen))?;
            summary(&answer, now).map_or(Ok(()), |text| console.print(&text))
        }
    }
}

/// The one component of the device that has the metric.
fn only_component(series: &[v1::Series], device: &str, metric: &str) -> Result<String, Failure> {
    let found: Vec<&str> =
        series.iter().filter(|one| one.metric == metric).map(|one| one.component.as_str()).collect();
    match found.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(Failure::new(format!("{device} has no readings of {metric}"))
            .hint(format!("slipway telemetry list {device} shows what it measures"))),
        several => Err(Failure::new(format!("{metric} is measured of {}", several.join(", ")))
            .hint("say which with --component")),
    }
}

/// A point of the picture.
pub fn point(point: &v1::Point) -> Point {
    let time =
        point.time.as_ref().map_or(0, |t| t.seconds.saturating_mul(1_000) + i64::from(t.nanos) / 1_000_000);
    Point { time, low: point.min, value: point.mean, high: point.max }
}

/// What the picture does not say: how many readings, how far they go, the last one itself, and whether points are means.
fn summary(answer: &v1::QueryReadingsResponse, now: i64) -> Option<String> {
    let points = &answer.points;
    let first = points.first()?;
    let min = points.iter().map(|point| point.min).fold(first.min, f64::min);
    let max = points.iter().map(|point| point.max).fold(first.max, f64::max);
    let number = human::number;
    let buckets = match &answer.bucket {
        Some(length) => {
            format!(
                "; each point is the mean of {}",
                crate::duration::show(crate::duration::from_wire(length))
            )
        }
        None => String::new(),
    };
    // A server of before does not say it, and a mean is not it.
    let last = match &answer.last_time {
        Some(time) => format!(", last {} at {}", number(answer.last_value), human::moment(time, now)),
        None => String::new(),
    };
    Some(format!(
        "{}, {} to {} {}{last}{buckets}",
        human::counted(answer.readings, "reading"),
        number(min),
        number(max),
        answer.unit,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(component: &str, metric: &str) -> v1::Series {
        v1::Series {
            component: component.into(),
            metric: metric.into(),
            unit: "Cel".into(),
            data_class: v1::DataClass::Diagnostic.into(),
            last_time: Some(human::timestamp(1_795_356_185_000 - 60_000)),
            last_value: 41.25,
        }
    }

    #[test]
    fn a_list_of_series() {
        assert_eq!(
            render_list(&[series("nvme-0", "hw.temperature")], 1_795_356_185_000),
            "COMPONENT  METRIC          LAST VALUE  UNIT  CLASS       READ\n\
             nvme-0     hw.temperature  41.25       Cel   diagnostic  1m ago\n"
        );
    }

    #[test]
    fn the_component_is_named_where_it_is_not_clear() {
        let all = [series("cpu", "t"), series("nvme-0", "t"), series("nvme-0", "wear")];
        assert_eq!(only_component(&all, "pump-1", "wear").ok().as_deref(), Some("nvme-0"));
        let several = only_component(&all, "pump-1", "t").unwrap_err().to_string();
        assert!(
            several.contains("t is measured of cpu, nvme-0") && several.contains("--component"),
            "{several}"
        );
        let none = only_component(&all, "pump-1", "x").unwrap_err().to_string();
        assert!(none.contains("pump-1 has no readings of x"), "{none}");
    }

    #[test]
    fn a_summary_says_what_the_picture_does_not() {
        let answer = v1::QueryReadingsResponse {
            unit: "Cel".into(),
            points: vec![
                v1::Point { min: 1.0, mean: 2.0, max: 3.0, count: 60, ..Default::default() },
                v1::Point { min: 0.5, mean: 1.5, max: 2.0, count: 60, ..Default::default() },
            ],
            bucket: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
            readings: 120,
            last_time: Some(human::timestamp(1_795_356_185_000 - 60_000)),
            last_value: 0.75,
            ..Default::default()
        };
        assert_eq!(
            summary(&answer, 1_795_356_185_000).unwrap(),
            "120 readings, 0.5 to 3 Cel, last 0.75 at 2026-11-22 14:02:05Z (1m ago); each point is the mean of 1h"
        );
        assert_eq!(summary(&v1::QueryReadingsResponse::default(), 0), None);
    }
}
