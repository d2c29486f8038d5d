use super::*;

/// 2026-11-22 00:00:00Z.
const START: i64 = 1_795_305_600_000;
const HOUR: i64 = 3_600_000;

fn wear() -> Chart {
    Chart {
        title: "hw.wear of nvme-0".into(),
        unit: "%".into(),
        points: (0..49).map(|hour| Point::at(START + hour * HOUR, 40.0 + hour as f64 / 2.0)).collect(),
        limit: Some(80.0),
        forecast: Some(Forecast {
            p10: START + 70 * HOUR,
            p50: START + 80 * HOUR,
            p90: Some(START + 95 * HOUR),
        }),
        ..Chart::default()
    }
}

fn text(lines: &[Vec<Span>]) -> String {
    let line = |line: &Vec<Span>| line.iter().map(|span| span.text.as_str()).collect::<String>();
    lines.iter().map(|l| line(l) + "\n").collect()
}

#[test]
fn a_forecast_in_plain_ascii() {
    let screen = Screen { width: 60, ..Screen::default() };
    assert_eq!(
        text(&draw(&wear(), screen)),
        "\
hw.wear of nvme-0 [%]
   |                                        ::::::::::::::::
80 +--------------------------------------------------------
   |                                   ::::++++:::::
   |                                ::::++++::
   |                             :::++++
   |                           **+++
   |                        ****
60 +                    ****
   |                ****
   |            ****
   |        ****
   |    ****
40 +****
   |
   ++-------------+-------------+-------------+-------------
  11-22         11-23         11-24         11-25
    2026-11-22 00:00:00Z to 2026-11-25 23:00:00Z
    -- limit 80   :+: forecast, P10 to P90
"
    );
}

#[test]
fn without_a_limit_the_time_of_the_forecast_is_drawn() {
    let chart = Chart { limit: None, ..wear() };
    let picture = text(&draw(&chart, Screen { width: 60, ..Screen::default() }));
    let lines: Vec<&str> = picture.lines().collect();
    assert!(lines[1].ends_with(" :::::+:::::::::"), "{picture}");
    assert!(lines[1..14].iter().all(|line| line.ends_with(&lines[1][lines[1].len() - 9..])), "{picture}");
    assert!(picture.ends_with("    :+: forecast, P10 to P90\n"), "{picture}");
    assert!(svg(&chart).contains("<rect x=") && svg(&chart).contains("band: forecast, P10 to P90"));
    let open = Chart { forecast: chart.forecast.map(|told| Forecast { p90: None, ..told }), ..chart.clone() };
    assert_eq!(frame::window(&open).map(|window| window.late), Some(START + 90 * HOUR));
}

#[test]
fn a_forecast_in_braille() {
    let screen = Screen { width: 60, unicode: true, colour: false };
    assert_eq!(
        text(&draw(&wear(), screen)),
        "\
hw.wear of nvme-0 [%]
80 ┤────────────────────────────────────────────────────────
   │                                      ░░░░⢀⡠⠔⠊⠁░░░░░░░
   │                                   ░░░⢀⡠⠔⠊⠁░░░░░
   │                                 ░░⣀⠤⠊⠁░░░░
   │                              ░⣀⠤⠒⠉░░
   │                           ⣀⡀⠒⠉░
   │                       ⢀⡠⠔⠊⠁
60 ┤                    ⣠⠴⠊⠉
   │                ⣀⠤⠚⠉
   │            ⢀⡤⠔⠋⠁
   │        ⢀⣠⠔⠊⠁
   │     ⣀⠴⠚⠁
   │ ⣀⡤⠒⠉
40 ┤⠊⠁
   └┬─────────────┬─────────────┬─────────────┬─────────────
  11-22         11-23         11-24         11-25
    2026-11-22 00:00:00Z to 2026-11-25 23:00:00Z
    ── limit 80   ░⠤░ forecast, P10 to P90
"
    );
}

#[test]
fn a_gap_is_not_bridged_and_a_spread_is_shown() {
    let mut points: Vec<Point> = (0..10).map(|i| Point::at(START + i * HOUR, 1.0)).collect();
    points.extend((30..40).map(|i| Point { time: START + i * HOUR, low: 0.0, value: 1.0, high: 2.0 }));
    let chart = Chart { title: "t".into(), points, ..Chart::default() };
    let drawn = text(&draw(&chart, Screen { width: 44, ..Screen::default() }));
    // The line of ones: ten readings, a night without, ten readings; above and below only the spread.
    let stars = |start: &str| {
        let line = drawn.lines().find(|line| line.starts_with(start)).unwrap_or_default();
        line.chars().skip(3).map(|c| c == '*').collect::<Vec<_>>()
    };
    let ones = stars("1 +");
    assert!(ones[..10].iter().all(|star| *star) && ones[11..30].iter().all(|star| !star), "{drawn}");
    assert!(ones[32..].iter().all(|star| *star), "{drawn}");
    assert!(!stars("2 +")[..30].contains(&true) && stars("2 +").contains(&true), "{drawn}");
}

#[test]
fn nothing_to_draw_says_so() {
    let chart = Chart { title: "t".into(), unit: "Cel".into(), limit: Some(1.0), ..Chart::default() };
    assert_eq!(text(&draw(&chart, Screen::default())), "t [Cel]\nno readings\n");
    assert!(svg(&chart).contains("no readings"));
}

#[test]
fn whatever_is_measured_is_drawn_or_left_out() {
    let values = [f64::NAN, f64::INFINITY, -1e299, 1e299, 0.0, f64::MIN_POSITIVE];
    let times = [i64::MIN, -1, 0, START, i64::MAX - 1];
    let all = || values.iter().flat_map(|value| times.iter().map(|time| Point::at(*time, *value)));
    for points in [all().collect::<Vec<_>>(), all().take(7).collect(), vec![Point::at(START, 1.0)]] {
        for limit in [None, Some(f64::NAN), Some(-5.0), Some(1e308)] {
            let forecast = Some(Forecast { p10: i64::MIN, p50: START, p90: None });
            let chart = Chart { points: points.clone(), limit, forecast, ..Chart::default() };
            for width in [0, 10, 80, 4_000] {
                for unicode in [false, true] {
                    draw(&chart, Screen { width, unicode, colour: false });
                }
            }
            assert!(!svg(&chart).contains("NaN"));
        }
    }
}

#[test]
fn an_svg_holds_the_same_and_no_text_breaks_out_of_it() {
    let chart = Chart { title: "<script>&\u{7}".into(), ..wear() };
    let picture = svg(&chart);
    assert!(picture.contains("&lt;script&gt;&amp;\u{fffd} [%]"), "{picture}");
    for part in ["<polygon", "limit 80", "stroke-dasharray", "2026-11-22 00:00:00Z to", "P10 to P90"] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
    assert!(picture.starts_with("<svg xmlns") && picture.ends_with("</svg>\n"));
}
