//! A series over time as a picture: in the terminal, and as SVG. Both draw the same [`Chart`].

mod axis;
mod frame;
mod grid;
mod svg;
mod terminal;
#[cfg(test)]
mod tests;

pub use svg::svg;
pub use terminal::{Screen, draw};

/// What is drawn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chart {
    /// What it is, above the picture.
    pub title: String,
    /// Unit of the values; empty when there is none to say.
    pub unit: String,
    /// The line, oldest first.
    pub points: Vec<Point>,
    /// First moment of the time axis, ms since 1970 [the first point].
    pub start: Option<i64>,
    /// Last moment of the time axis, if nothing later is drawn, ms since 1970 [the last point].
    pub end: Option<i64>,
    /// A level that should not be crossed.
    pub limit: Option<f64>,
    /// When the line is expected to cross the limit, drawn from the last point on; without a limit, when something will happen,
    /// drawn as that time.
    pub forecast: Option<Forecast>,
}

/// One place of the line: a reading, or what several amount to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Milliseconds since 1970.
    pub time: i64,
    /// Smallest value.
    pub low: f64,
    /// The value, or the mean.
    pub value: f64,
    /// Largest value.
    pub high: f64,
}

impl Point {
    /// A single reading.
    pub fn at(time: i64, value: f64) -> Self {
        Self { time, low: value, value, high: value }
    }

    /// Whether it has a place in a picture: beyond this, differences of values are no numbers any more.
    fn is_drawable(&self) -> bool {
        [self.low, self.value, self.high].iter().all(|value| value.abs() < 1e300)
    }
}

/// When a limit is crossed, ms since 1970: with a chance of 10, 50 and 90 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// One in ten crosses before.
    pub p10: i64,
    /// Half do.
    pub p50: i64,
    /// Nine in ten do; none when that is beyond what was forecast.
    pub p90: Option<i64>,
}

/// With what something is drawn, so that a screen with colours can tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Words and axes.
    Plain,
    /// The series.
    Data,
    /// The limit.
    Limit,
    /// The forecast.
    Forecast,
}

/// A piece of one line of text, in one ink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Its ink.
    pub ink: Ink,
    /// Its text.
    pub text: String,
}
