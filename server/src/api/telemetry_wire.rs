//! Readings and what is asked of them on the wire.

use std::time::Duration;

use slipway_archive::Row;
use slipway_proto::v1;

use super::wire::{from_duration, from_timestamp, timestamp};
use crate::{
    model::{
        bucket::Point,
        device::DataClass,
        reading::{is_component, is_metric},
        refusal::{Reason, Refusal},
        text::quoted,
        time::{Timestamp, span_millis},
    },
    store::archive_series::ArchivedSeries,
};

/// A series as a client reads it.
pub fn series(series: &ArchivedSeries) -> v1::Series {
    v1::Series {
        component: series.component.clone(),
        metric: series.metric.clone(),
        unit: series.unit.clone(),
        data_class: class(series.class).into(),
        last_time: Some(timestamp(series.last_at)),
        last_value: series.last_value,
    }
}

/// A point of a chart.
pub fn point(point: &Point) -> v1::Point {
    v1::Point {
        time: Some(timestamp(Timestamp::from_millis(point.time))),
        min: point.min,
        mean: point.mean,
        max: point.max,
        count: point.count,
    }
}

/// One reading.
pub fn reading(row: &Row) -> v1::Reading {
    let data_class = DataClass::parse(&row.class).map_or(v1::DataClass::Unspecified, class);
    v1::Reading {
        component: row.component.to_string(),
        metric: row.metric.to_string(),
        unit: row.unit.to_string(),
        data_class: data_class.into(),
        time: Some(timestamp(Timestamp::from_millis(row.time))),
        value: row.value,
        boot_id: row.boot_id.to_string(),
    }
}

/// A data class.
pub fn class(class: DataClass) -> v1::DataClass {
    match class {
        DataClass::Essential => v1::DataClass::Essential,
        DataClass::Diagnostic => v1::DataClass::Diagnostic,
        DataClass::Usage => v1::DataClass::Usage,
        DataClass::Location => v1::DataClass::Location,
    }
}

fn invalid(field: &str, wrong: impl Into<String>, hint: &str) -> Refusal {
    Refusal::new(Reason::QueryInvalid, wrong, hint).field(field)
}

/// The stretch of time that is asked for; both ends may be left out.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

impl Times {
    /// Reads both ends.
    pub fn read(start: Option<&prost_types::Timestamp>, end: Option<&prost_types::Timestamp>) -> Self {
        Times { start: start.map(from_timestamp), end: end.map(from_timestamp) }
    }

    /// Both ends in ms since 1970, the second not included. Without an end it is the day after `now`, up to which the clock of
    /// a device may be ahead; without a beginning it is `span` before the end, or the beginning of time.
    pub fn or(self, now: Timestamp, span: Option<Duration>) -> Result<(i64, i64), Refusal> {
        let end = self.end.unwrap_or_else(|| now.after(crate::model::time::DAY));
        let reach = |span| self.end.unwrap_or(now).before(span);
        let start = self.start.unwrap_or_else(|| span.map_or(Timestamp::from_millis(i64::MIN), reach));
        if start >= end {
            return Err(invalid(
                "start_time",
                "the stretch of time ends before it begins",
                "give a start that is before the end",
            ));
        }
        Ok((start.millis(), end.millis()))
    }
}

/// How many points a chart may have.
pub fn points(asked: i32, default: usize, most: usize) -> Result<usize, Refusal> {
    match usize::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(points) if points <= most => Ok(points),
        _ => Err(invalid(
            "max_points",
            format!("{asked} points cannot be had"),
            &format!("ask for 1 to {most}, or 0 for {default}; every reading comes with ExportReadings"),
        )),
    }
}

/// The least length of a bucket, ms.
pub fn bucket(asked: Option<&prost_types::Duration>) -> Result<Option<i64>, Refusal> {
    let Some(asked) = asked else { return Ok(None) };
    let length = from_duration(asked).map(span_millis).filter(|millis| *millis > 0);
    length.map(Some).ok_or_else(|| {
        invalid("bucket", "a bucket has no length", "give a length of a second or more, or leave it out")
    })
}

/// The series that is asked for.
pub fn series_asked(component: &str, metric: &str) -> Result<(String, String), Refusal> {
    let hint = "ListSeries (slipway telemetry list DEVICE) shows what a device measures";
    if !is_component(component) {
        return Err(invalid("component", format!("{} is no name of a component", quoted(component)), hint));
    }
    if !is_metric(metric) {
        return Err(invalid("metric", format!("{} is no name of a metric", quoted(metric)), hint));
    }
    Ok((component.to_owned(), metric.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::DAY;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_356_185);

    fn at(at: Timestamp) -> prost_types::Timestamp {
        timestamp(at)
    }

    #[test]
    fn what_is_left_out_of_a_stretch_of_time() {
        let times = |start: Option<Timestamp>, end: Option<Timestamp>, span| {
            let (start, end) = (start.map(at), end.map(at));
            Times::read(start.as_ref(), end.as_ref()).or(NOW, span)
        };
        let ahead = NOW.after(DAY);
        assert_eq!(times(None, None, Some(7 * DAY)).unwrap(), (NOW.before(7 * DAY).millis(), ahead.millis()));
        assert_eq!(times(None, None, None).unwrap(), (i64::MIN, ahead.millis()));
        let end = NOW.before(DAY);
        assert_eq!(times(None, Some(end), Some(DAY)).unwrap(), (end.before(DAY).millis(), end.millis()));
        let refusal = times(Some(NOW), Some(NOW), None).unwrap_err();
        assert_eq!((refusal.reason, refusal.field.as_deref()), (Reason::QueryInvalid, Some("start_time")));
    }

    #[test]
    fn questions_that_make_no_sense() {
        assert_eq!(points(0, 500, 10_000), Ok(500));
        assert!(points(-1, 500, 10_000).is_err() && points(10_001, 500, 10_000).is_err());
        assert_eq!(bucket(None), Ok(None));
        assert!(bucket(Some(&prost_types::Duration { seconds: -1, nanos: 0 })).is_err());
        assert!(bucket(Some(&prost_types::Duration::default())).is_err());
        assert!(series_asked("", "m").is_err() && series_asked("c", "M").is_err());
        assert!(series_asked("nvme-0", "hw.wear").is_ok());
    }
}
