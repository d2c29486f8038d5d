//! The picture as lines of text.

use super::{
    Chart, Ink, Span,
    axis::{common, moments, values},
    frame::{Frame, around, joined_within, limit, points, wedge, window},
    grid::Grid,
};

/// Rows of the picture itself: enough to see a bend, and a page of text still fits above it.
const ROWS: usize = 14;
/// Narrower there is nothing to see, wider nothing more.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=160;

/// What the screen can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Characters across.
    pub width: usize,
    /// It shows characters beyond ASCII.
    pub unicode: bool,
    /// It shows colours.
    pub colour: bool,
}

impl Default for Screen {
    /// What every screen, pipe and mail can show.
    fn default() -> Self {
        Self { width: 80, unicode: false, colour: false }
    }
}

/// The picture, line by line. Nothing to draw is one line that says so.
pub fn draw(chart: &Chart, screen: Screen) -> Vec<Vec<Span>> {
    let mut lines = vec![title(chart)];
    let Some(frame) = around(chart) else {
        lines.push(vec![plain("no readings")]);
        return lines;
    };
    let marks = values(frame.low, frame.high, 5);
    let margin = marks.iter().map(|(_, text)| text.chars().count()).max().unwrap_or(0);
    let columns = screen.width.clamp(*WIDTHS.start(), *WIDTHS.end()).saturating_sub(margin + 2);
    let mut grid = Grid::new(columns, ROWS, screen.unicode);
    fill(&mut grid, chart, &frame);

    let (tick, edge) = if screen.unicode { ('┤', '│') } else { ('+', '|') };
    for row in 0..ROWS {
        let mark = marks.iter().find(|(value, _)| grid.line_of(frame.y(*value)) == row);
        let text = match mark {
            Some((_, text)) => format!("{text:>margin$} {tick}"),
            None => format!("{:margin$} {edge}", ""),
        };
        let mut line = vec![plain(text)];
        for (ink, character) in grid.characters(row) {
            match line.last_mut() {
                Some(span) if span.ink == ink => span.text.push(character),
                _ => line.push(Span { ink, text: character.into() }),
            }
        }
        lines.push(trimmed(line));
    }
    lines.extend(time_axis(&frame, margin, columns, screen));
    lines.push(vec![plain(format!("{:margin$}  {}", "", common(frame.start, frame.end)))]);
    lines.extend(legend(chart, margin, screen));
    lines
}

fn plain(text: impl Into<String>) -> Span {
    Span { ink: Ink::Plain, text: text.into() }
}

fn title(chart: &Chart) -> Vec<Span> {
    let unit = if chart.unit.is_empty() { String::new() } else { format!(" [{}]", chart.unit) };
    vec![plain(format!("{}{unit}", chart.title))]
}

fn fill(grid: &mut Grid, chart: &Chart, frame: &Frame) {
    if let Some(wedge) = wedge(chart) {
        let columns = grid.columns();
        for column in 0..columns {
            let share = (column as f64 + 0.5) / columns as f64;
            let time = frame.start as f64 + (frame.end as f64 - frame.start as f64) * share;
            if let Some((low, high)) = wedge.at(time) {
                let (top, bottom) = (grid.row(frame.y(high)), grid.row(frame.y(low)));
                grid.shade(column, top, bottom);
            }
        }
        let place = |grid: &Grid, at: (i64, f64)| (grid.column(frame.x(at.0)), grid.row(frame.y(at.1)));
        let (from, to) = (place(grid, wedge.from), place(grid, wedge.middle));
        grid.line(Ink::Forecast, from, to);
    }
    if let Some(window) = window(chart) {
        let (top, bottom) = (grid.row(1.0), grid.row(0.0));
        let columns = grid.columns();
        for column in 0..columns {
            let share = |column: usize| column as f64 / columns as f64;
            if frame.x(window.early) < share(column + 1) && frame.x(window.late) >= share(column) {
                grid.shade(column, top, bottom);
            }
        }
        let middle = grid.column(frame.x(window.middle));
        grid.line(Ink::Forecast, (middle, top), (middle, bottom));
    }
    if let Some(limit) = limit(chart) {
        let row = grid.row(frame.y(limit));
        let across = grid.dots().0 as f64 - 1.0;
        grid.line(Ink::Limit, (0.0, row), (across, row));
    }
    let reach = joined_within(chart);
    let mut before: Option<(i64, f64)> = None;
    for point in points(chart) {
        let column = grid.column(frame.x(point.time));
        let row = |grid: &Grid, value: f64| grid.row(frame.y(value));
        let (low, high) = ((column, row(grid, point.low)), (column, row(grid, point.high)));
        grid.line(Ink::Data, low, high);
        if let Some((time, value)) = before.filter(|(time, _)| point.time.saturating_sub(*time) <= reach) {
            let from = (grid.column(frame.x(time)), row(grid, value));
            let to = (column, row(grid, point.value));
            grid.line(Ink::Data, from, to);
        }
        before = Some((point.time, point.value));
    }
}

fn time_axis(frame: &Frame, margin: usize, columns: usize, screen: Screen) -> [Vec<Span>; 2] {
    let (corner, dash, tick) = if screen.unicode { ('└', '─', '┬') } else { ('+', '-', '+') };
    let mut line = vec![dash; columns];
    let mut labels = vec![' '; columns + margin + 2];
    for (time, text) in moments(frame.start, frame.end, columns / 12) {
        let column = (frame.x(time) * (columns as f64 - 1.0)).round() as usize;
        if let Some(place) = line.get_mut(column) {
            *place = tick;
        }
        let length = text.chars().count();
        // Centred below its tick, whole, and apart from the one before; else it is left out.
        let begin = (column + margin + 2).saturating_sub(length / 2).min(labels.len().saturating_sub(length));
        let clear = begin.saturating_sub(1)..(begin + length).min(labels.len());
        if labels.len() >= length && labels[clear].iter().all(|c| *c == ' ') {
            for (place, character) in labels[begin..].iter_mut().zip(text.chars()) {
                *place = character;
            }
        }
    }
    let line: String = line.into_iter().collect();
    let labels: String = labels.into_iter().collect();
    [vec![plain(format!("{:margin$} {corner}{line}", ""))], vec![plain(labels.trim_end())]]
}

/// What the lines are, where there is more than one.
fn legend(chart: &Chart, margin: usize, screen: Screen) -> Option<Vec<Span>> {
    if limit(chart).is_none() && window(chart).is_none() {
        return None;
    }
    let pick =
        |unicode: &str, ascii: &str| if screen.unicode { unicode.to_owned() } else { ascii.to_owned() };
    let mut line = vec![plain(format!("{:margin$}  ", ""))];
    if let Some(limit) = limit(chart) {
        line.push(Span { ink: Ink::Limit, text: pick("──", "--") });
        line.push(plain(format!(" limit {}", crate::human::number(limit))));
        if wedge(chart).is_some() {
            line.push(plain("   "));
        }
    }
    if wedge(chart).is_some() || window(chart).is_some() {
        line.push(Span { ink: Ink::Forecast, text: pick("░⠤░", ":+:") });
        line.push(plain(" forecast, P10 to P90"));
    }
    Some(line)
}

fn trimmed(mut line: Vec<Span>) -> Vec<Span> {
    if let Some(last) = line.last_mut() {
        last.text.truncate(last.text.trim_end_matches(' ').len());
    }
    line
}
