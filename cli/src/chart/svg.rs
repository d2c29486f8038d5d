//! The picture as SVG, to be mailed or put into a ticket: no script, no style sheet, no font of its own.

use std::fmt::Write as _;

use super::{
    Chart,
    axis::{common, moments, values},
    frame::{around, joined_within, limit, points, wedge, window},
};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 420.0;
/// Room for labels at the left, the right, the top and the bottom.
const MARGIN: (f64, f64, f64, f64) = (80.0, 20.0, 40.0, 60.0);

/// The picture as a document of its own.
pub fn svg(chart: &Chart) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let unit = if chart.unit.is_empty() { String::new() } else { format!(" [{}]", chart.unit) };
    text(&mut out, (MARGIN.0, 24.0), "start", &format!("{}{unit}", chart.title));
    draw(&mut out, chart);
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, chart: &Chart) {
    let Some(frame) = around(chart) else {
        text(out, (WIDTH / 2.0, HEIGHT / 2.0), "middle", "no readings");
        return;
    };
    let (wide, high) = (WIDTH - MARGIN.0 - MARGIN.1, HEIGHT - MARGIN.2 - MARGIN.3);
    let x = |time: i64| MARGIN.0 + frame.x(time) * wide;
    let y = |value: f64| MARGIN.2 + (1.0 - frame.y(value)) * high;
    let (left, right, bottom) = (MARGIN.0, WIDTH - MARGIN.1, HEIGHT - MARGIN.3);

    for (value, label) in values(frame.low, frame.high, 6) {
        line(out, (left, y(value)), (right, y(value)), "stroke=\"#dddddd\"");
        text(out, (left - 8.0, y(value) + 4.0), "end", &label);
    }
    for (time, label) in moments(frame.start, frame.end, 9) {
        line(out, (x(time), bottom), (x(time), bottom + 5.0), "stroke=\"#555555\"");
        text(out, (x(time), bottom + 20.0), "middle", &label);
    }
    line(out, (left, bottom), (right, bottom), "stroke=\"#555555\"");
    text(out, (left, HEIGHT - 12.0), "start", &common(frame.start, frame.end));

    if let Some(wedge) = wedge(chart) {
        let place = |(time, value): (i64, f64)| format!("{:.1},{:.1}", x(time), y(value));
        let corners = [wedge.from, wedge.early, wedge.late].map(place).join(" ");
        let _ = writeln!(out, "<polygon points=\"{corners}\" fill=\"#e69f00\" fill-opacity=\"0.25\"/>");
        let (from, to) = ((x(wedge.from.0), y(wedge.from.1)), (x(wedge.middle.0), y(wedge.middle.1)));
        line(out, from, to, "stroke=\"#e69f00\" stroke-width=\"2\" stroke-dasharray=\"6 4\"");
        text(out, (right, 24.0), "end", "band: forecast, P10 to P90");
    }
    if let Some(window) = window(chart) {
        let (from, to, top) = (x(window.early), x(window.late), MARGIN.2);
        let _ = writeln!(
            out,
            "<rect x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{high:.1}\" fill=\"#e69f00\" fill-opacity=\"0.25\"/>",
            (to - from).max(1.0)
        );
        let middle = x(window.middle);
        line(
            out,
            (middle, top),
            (middle, bottom),
            "stroke=\"#e69f00\" stroke-width=\"2\" stroke-dasharray=\"6 4\"",
        );
        text(out, (right, 24.0), "end", "band: forecast, P10 to P90");
    }
    if let Some(limit) = limit(chart) {
        line(out, (left, y(limit)), (right, y(limit)), "stroke=\"#d55e00\" stroke-width=\"1.5\"");
        let label = format!("limit {}", crate::human::number(limit));
        text(out, (right, y(limit) - 5.0), "end", &label);
    }
    readings(out, chart, x, y);
}

/// The line, one piece for each stretch without a gap, and what lay below and above it.
fn readings(out: &mut String, chart: &Chart, x: impl Fn(i64) -> f64, y: impl Fn(f64) -> f64) {
    let reach = joined_within(chart);
    let mut path = String::new();
    let mut spread = String::new();
    let mut before: Option<i64> = None;
    for point in points(chart) {
        let at = x(point.time);
        let joined = before.is_some_and(|before| point.time.saturating_sub(before) <= reach);
        // A point of its own is a line of no length, with round ends.
        let step = if joined { "L" } else { "M" };
        let _ = write!(path, "{step}{at:.1} {:.1}", y(point.value));
        if !joined {
            path.push_str("h0");
        }
        if point.high > point.low {
            let _ = write!(spread, "M{at:.1} {:.1}V{:.1}", y(point.low), y(point.high));
        }
        before = Some(point.time);
    }
    if !spread.is_empty() {
        let _ =
            writeln!(out, "<path d=\"{spread}\" stroke=\"#0072b2\" stroke-opacity=\"0.35\" fill=\"none\"/>");
    }
    let _ = writeln!(
        out,
        "<path d=\"{path}\" stroke=\"#0072b2\" stroke-width=\"2\" stroke-linecap=\"round\" fill=\"none\"/>"
    );
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), look: &str) {
    let _ = writeln!(
        out,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" {look}/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(out: &mut String, at: (f64, f64), anchor: &str, words: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"#222222\">{}</text>",
        at.0,
        at.1,
        escaped(words)
    );
}

/// What came from a device is text, and stays text. Control characters are none that XML could hold.
fn escaped(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
