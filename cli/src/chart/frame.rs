//! Which part of time and value a picture shows, and where the forecast runs in it.

use super::{Chart, Point};

/// Points farther apart than this many times the usual distance are not joined: nobody knows what was between.
const GAP: i64 = 4;

/// The corners of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    pub start: i64,
    pub end: i64,
    pub low: f64,
    pub high: f64,
}

impl Frame {
    /// Where a moment is, 0 at the left and 1 at the right; outside of that when it is not shown.
    pub fn x(&self, time: i64) -> f64 {
        (time as f64 - self.start as f64) / (self.end as f64 - self.start as f64)
    }

    /// Where a value is, 0 at the bottom and 1 at the top.
    pub fn y(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

/// The points that can be drawn.
pub fn points(chart: &Chart) -> impl Iterator<Item = &Point> {
    chart.points.iter().filter(|point| point.is_drawable())
}

/// The limit, if it can be drawn.
pub fn limit(chart: &Chart) -> Option<f64> {
    chart.limit.filter(|limit| limit.abs() < 1e300)
}

/// The frame around everything that is drawn; none when there is nothing to draw.
pub fn around(chart: &Chart) -> Option<Frame> {
    let (first, last) = (points(chart).next()?.time, points(chart).last()?.time);
    let start = chart.start.unwrap_or(first).min(first);
    let mut end = chart.end.unwrap_or(last).max(last);
    if let Some(wedge) = wedge(chart) {
        end = end.max(wedge.late.0).max(wedge.middle.0);
    }
    if let Some(window) = window(chart) {
        end = end.max(window.late).max(window.middle);
    }
    if end <= start {
        // One moment alone stands in the middle of a minute.
        return Some(with_values(chart, start.saturating_sub(30_000), end.saturating_add(30_000)));
    }
    Some(with_values(chart, start, end))
}

fn with_values(chart: &Chart, start: i64, end: i64) -> Frame {
    let limit = limit(chart);
    let low = points(chart).map(|point| point.low).chain(limit).fold(f64::INFINITY, f64::min);
    let high = points(chart).map(|point| point.high).chain(limit).fold(f64::NEG_INFINITY, f64::max);
    // A line that never moves stands in the middle; others touch neither edge.
    let room = if high > low { (high - low) * 0.05 } else { high.abs().max(1.0) * 0.1 };
    Frame { start, end, low: low - room, high: high + room }
}

/// The forecast as three lines that begin at the last point: to where the limit is crossed early, in the
/// middle and late.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wedge {
    pub from: (i64, f64),
    pub early: (i64, f64),
    pub middle: (i64, f64),
    /// When that is beyond the horizon, level with the last point as far as the picture goes.
    pub late: (i64, f64),
}

/// See [`Wedge`].
pub fn wedge(chart: &Chart) -> Option<Wedge> {
    let forecast = chart.forecast?;
    let limit = limit(chart)?;
    let last = points(chart).last()?;
    let from = (last.time, last.value);
    // What was to be crossed before the last point is crossed there.
    let after = |time: i64| time.max(last.time);
    let middle = after(forecast.p50);
    let late = match forecast.p90 {
        Some(p90) => (after(p90), limit),
        None => (middle.saturating_add(middle.saturating_sub(last.time) / 2), last.value),
    };
    Some(Wedge { from, early: (after(forecast.p10), limit), middle: (middle, limit), late })
}

/// The time that a forecast without a limit covers, after the last point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub early: i64,
    pub middle: i64,
    /// When that is beyond the horizon, as far from the middle as the early end.
    pub late: i64,
}

/// See [`Window`].
pub fn window(chart: &Chart) -> Option<Window> {
    let forecast = chart.forecast.filter(|_| chart.limit.is_none())?;
    let last = points(chart).last()?.time;
    let (early, middle) = (forecast.p10.max(last), forecast.p50.max(last));
    let beyond = || middle.saturating_add(middle.saturating_sub(early));
    Some(Window { early, middle, late: forecast.p90.map_or_else(beyond, |p90| p90.max(last)) })
}

impl Wedge {
    /// What the forecast covers at `time`, from the lower to the higher value; none before its beginning and
    /// after its end.
    pub fn at(&self, time: f64) -> Option<(f64, f64)> {
        if time < self.from.0 as f64 || time > self.late.0.max(self.early.0) as f64 {
            return None;
        }
        let along = |to: (i64, f64)| {
            let span = to.0 as f64 - self.from.0 as f64;
            if span <= 0.0 {
                return to.1;
            }
            let share = ((time - self.from.0 as f64) / span).min(1.0);
            self.from.1 + (to.1 - self.from.1) * share
        };
        let (one, other) = (along(self.early), along(self.late));
        Some((one.min(other), one.max(other)))
    }
}

/// The longest distance of two points that are still joined, ms.
pub fn joined_within(chart: &Chart) -> i64 {
    let times: Vec<i64> = points(chart).map(|point| point.time).collect();
    let mut distances: Vec<i64> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    distances.sort_unstable();
    distances.get(distances.len() / 2).map_or(i64::MAX, |usual| usual.saturating_mul(GAP).max(1))
}
