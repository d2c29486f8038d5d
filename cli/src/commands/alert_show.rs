//! `slipway alert show`: one alert in full, and a picture of its series, the limit and the forecast.

use std::{fs, path::Path, time::Duration};

use slipway_proto::v1;

use crate::{
    args::AlertShow,
    chart::{Chart, Forecast, Point, draw, svg},
    commands::alert::{severity, state},
    connect::Api,
    duration,
    error::Failure,
    human, names,
    output::{Console, Format, facts},
};

const DAY_MS: i64 = 86_400_000;

/// Shows the alert; draws its series where there is one.
///
/// # Errors
/// Why it was not done.
pub async fn run(args: AlertShow, api: &Api, console: &Console) -> Result<(), Failure> {
    let now = console.clock.now();
    let request = v1::GetAlertRequest { name: names::full("alerts", &args.alert) };
    let alert = api.alerts().get_alert(request).await?.into_inner();
    console.show("Alert", &alert, |alert| render(alert, now))?;
    if args.plot.is_none() && console.format == Format::Json {
        return Ok(());
    }
    let chart = match chart(&alert, api, now).await {
        Ok(chart) => chart,
        Err(failure) if args.plot.is_some() => return Err(failure),
        // The alert was shown; the picture is an extra.
        Err(failure) => {
            console.say(&format!("no picture: {failure}"));
            return Ok(());
        }
    };
    match (&args.plot, chart) {
        (Some(path), Some(chart)) => plot(path, &chart, console),
        (Some(_), None) => {
            Err(Failure::new(format!("alert {} is about no series", names::short(&alert.name)))
                .hint("alerts of limits and of unusual readings have one; leave --plot out"))
        }
        (None, Some(chart)) if console.format == Format::Table => {
            console.print("")?;
            console.picture(&draw(&chart, console.screen))
        }
        (None, _) => Ok(()),
    }
}

fn plot(path: &Path, chart: &Chart, console: &Console) -> Result<(), Failure> {
    fs::write(path, svg(chart)).map_err(|error| Failure::file("write the picture to", path, &error))?;
    console.say(&format!("the picture is in {}", path.display()));
    Ok(())
}

/// The series of the alert with its limit and forecast; none when it is about no series.
async fn chart(alert: &v1::Alert, api: &Api, now: i64) -> Result<Option<Chart>, Failure> {
    let Some(seen) = alert.evidence.as_ref().filter(|seen| seen.readings > 0) else { return Ok(None) };
    if alert.device.is_empty() || seen.metric.is_empty() {
        return Ok(None);
    }
    let request = v1::QueryReadingsRequest {
        parent: alert.device.clone(),
        component: alert.component.clone(),
        metric: seen.metric.clone(),
        start_time: Some(human::timestamp(now.saturating_sub(history(alert, now)))),
        ..v1::QueryReadingsRequest::default()
    };
    let found = api.telemetry().query_readings(request).await?.into_inner();
    Ok(Some(picture(alert, seen, &found)))
}

/// How far to look back: as far as the forecast looks ahead, so that trend and forecast are of one scale.
fn history(alert: &v1::Alert, now: i64) -> i64 {
    let late = alert.forecast.as_ref().and_then(|forecast| forecast.p90.as_ref().or(forecast.p50.as_ref()));
    let ahead = late.map_or(0, |time| milliseconds(time).saturating_sub(now));
    ahead.clamp(7 * DAY_MS, 365 * DAY_MS)
}

fn picture(alert: &v1::Alert, seen: &v1::Evidence, found: &v1::QueryReadingsResponse) -> Chart {
    let points = found.points.iter().filter_map(|point| {
        let time = milliseconds(point.time.as_ref()?);
        Some(Point { time, low: point.min, value: point.mean, high: point.max })
    });
    let forecast = alert.forecast.as_ref().and_then(|forecast| {
        Some(Forecast {
            p10: milliseconds(forecast.p10.as_ref()?),
            p50: milliseconds(forecast.p50.as_ref()?),
            p90: forecast.p90.as_ref().map(milliseconds),
        })
    });
    Chart {
        title: format!("{} of {} on {}", seen.metric, alert.component, names::short(&alert.device)),
        unit: found.unit.clone(),
        points: points.collect(),
        // A part that wears in all of its sensors has no bound on any of them.
        limit: alert.wear_model.is_empty().then_some(seen.limit),
        forecast,
        ..Chart::default()
    }
}

/// What the dates stand on, when that is more than the series itself.
fn learned_from(alert: &v1::Alert, forecast: &v1::Forecast) -> String {
    match forecast.comparable_parts {
        0 => String::new(),
        lives if !alert.wear_model.is_empty() => format!("{lives} recorded lives until a failure"),
        parts => format!("{} that came to this limit", human::counted(parts.into(), "comparable part")),
    }
}

fn milliseconds(time: &prost_types::Timestamp) -> i64 {
    time.seconds.saturating_mul(1_000).saturating_add(i64::from(time.nanos) / 1_000_000)
}

fn render(alert: &v1::Alert, now: i64) -> String {
    let when =
        |time: Option<&prost_types::Timestamp>| time.map(|t| human::moment(t, now)).unwrap_or_default();
    let mut rows = vec![
        ("alert", names::short(&alert.name).to_owned()),
        ("state", state(alert)),
        ("acknowledged", alert.acknowledged_by.clone()),
        ("note", alert.note.clone()),
        ("severity", severity(alert)),
        ("kind", human::enum_word(alert.kind().as_str_name(), "ALERT_KIND_")),
        ("health", human::enum_word(alert.health().as_str_name(), "ALERT_HEALTH_")),
        ("failure mode", alert.failure_mode.clone()),
        ("device", names::short(&alert.device).to_owned()),
        ("devices", alert.selector.clone()),
        ("component", alert.component.clone()),
        ("wear model", names::short(&alert.wear_model).to_owned()),
        ("summary", alert.summary.clone()),
        ("to do", alert.recommendation.clone()),
        ("update to", names::short(&alert.update_to).to_owned()),
        ("act by", when(alert.act_by.as_ref())),
        ("suppressed by", alert.suppressed_by.clone()),
    ];
    if let Some(forecast) = &alert.forecast {
        let beyond = |time: Option<&prost_types::Timestamp>| {
            time.map_or_else(|| "beyond the horizon".into(), |t| human::moment(t, now))
        };
        let [p10, p50, p90] = match alert.wear_model.as_str() {
            "" => ["crossed, 10%", "crossed, 50%", "crossed, 90%"],
            _ => ["fails, 10%", "fails, 50%", "fails, 90%"],
        };
        rows.extend([
            (p10, beyond(forecast.p10.as_ref())),
            (p50, beyond(forecast.p50.as_ref())),
            (p90, beyond(forecast.p90.as_ref())),
            ("learned from", learned_from(alert, forecast)),
            ("because", forecast.explanation.clone()),
        ]);
    }
    if let Some(seen) = &alert.evidence {
        rows.push(("evidence", evidence(alert, seen, now)));
    }
    rows.extend([
        ("opened", when(alert.create_time.as_ref())),
        ("changed", when(alert.update_time.as_ref())),
        ("resolved", when(alert.resolve_time.as_ref())),
    ]);
    facts(&rows)
}

/// What was seen, in the units that the summary speaks in.
fn evidence(alert: &v1::Alert, seen: &v1::Evidence, now: i64) -> String {
    let last = human::maybe_moment(seen.time.as_ref(), now);
    if alert.kind() == v1::AlertKind::Offline {
        let span = |seconds: f64| duration::show(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        return format!(
            "nothing heard for {} when it was told, which is done after {}; last {last}",
            span(seen.value),
            span(seen.limit)
        );
    }
    // Of a share a fraction of one is told, of a count in the same unit whole numbers.
    let is_share = seen.unit == "1" && seen.limit.fract() != 0.0;
    let (factor, unit) = match seen.unit.as_str() {
        "1" if is_share => (100.0, " %".to_owned()),
        "1" | "" => (1.0, String::new()),
        other => (1.0, format!(" {}", other.trim_matches(['{', '}']))),
    };
    let quantity = |value: f64| format!("{}{unit}", human::number(value * factor));
    let bound = match alert.kind() {
        _ if !alert.wear_model.is_empty() => "of a new part",
        v1::AlertKind::Anomaly => "usual",
        _ => "limit",
    };
    let mut text = format!("{} is {}, {bound} {}", seen.metric, quantity(seen.value), quantity(seen.limit));
    if seen.slope_per_day != 0.0 {
        let sign = if seen.slope_per_day < 0.0 { "" } else { "+" };
        let points = if is_share { " points" } else { unit.as_str() };
        text.push_str(&format!(", {sign}{}{points} a day", human::number(seen.slope_per_day * factor)));
    }
    if seen.readings > 0 {
        let by = if seen.slope_per_day == 0.0 { ", from" } else { " over" };
        text.push_str(&format!("{by} {}", human::counted(seen.readings, "reading")));
    }
    format!("{text}, last {last}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::alert::tests::{NOW, alert};

    #[test]
    fn an_alert_in_full() {
        assert_eq!(
            render(&alert(), NOW),
            "\
alert         a1
state         open
severity      warning
kind          prognosis
health        maintenance_required
device        pump-03
component     filter
summary       The air filter reaches 250 Pa around 2026-12-06.
to do         Order a new one before 2026-11-29.
act by        2026-11-29 14:03:05Z (in 7d)
crossed, 10%  2026-12-04 14:03:05Z (in 12d)
crossed, 50%  2026-12-06 14:03:05Z (in 14d)
crossed, 90%  beyond the horizon
learned from  31 comparable parts that came to this limit
because       linear trend over 200 readings
evidence      pressure is 212.5 Pa, limit 250 Pa, +2.7 Pa a day over 200 readings, last 2026-11-22 14:03:05Z (just now)
opened        2026-11-22 14:03:05Z (just now)
changed       2026-11-22 14:03:05Z (just now)
"
        );
    }

    #[test]
    fn evidence_speaks_as_the_summary_does() {
        let seen = v1::Evidence {
            metric: "system.filesystem.utilization".into(),
            unit: "1".into(),
            value: 0.695,
            limit: 0.95,
            slope_per_day: 0.0174,
            ..alert().evidence.unwrap()
        };
        let last = "last 2026-11-22 14:03:05Z (just now)";
        assert_eq!(
            evidence(&alert(), &seen, NOW),
            format!(
                "system.filesystem.utilization is 69.5 %, limit 95 %, +1.74 points a day over 200 readings, {last}"
            )
        );
        let errors = v1::Evidence { value: 3.0, limit: 1.0, slope_per_day: 0.0, ..seen.clone() };
        assert_eq!(
            evidence(&alert(), &errors, NOW),
            format!("system.filesystem.utilization is 3, limit 1, from 200 readings, {last}")
        );
        let odd = v1::Alert { kind: v1::AlertKind::Anomaly.into(), ..alert() };
        assert!(evidence(&odd, &errors, NOW).contains("is 3, usual 1, from"));
        let silent = v1::Alert { kind: v1::AlertKind::Offline.into(), ..alert() };
        let silence = v1::Evidence { value: 99.02, limit: 97.5, unit: "s".into(), readings: 0, ..errors };
        assert_eq!(
            evidence(&silent, &silence, NOW),
            format!("nothing heard for 1m 39s when it was told, which is done after 1m 37s; {last}")
        );
    }

    #[test]
    fn what_a_wear_model_foretells_is_an_end_and_no_crossing() {
        let worn = v1::Alert { wear_model: "wearModels/fan".into(), ..alert() };
        let text = render(&worn, NOW);
        for line in [
            "wear model    fan\n",
            "fails, 50%    2026-12-06 14:03:05Z (in 14d)\n",
            "learned from  31 recorded lives until a failure\n",
            "pressure is 212.5 Pa, of a new part 250 Pa",
        ] {
            assert!(text.contains(line), "{text}");
        }
        let picture = picture(&worn, worn.evidence.as_ref().unwrap(), &v1::QueryReadingsResponse::default());
        assert_eq!(picture.limit, None);
        assert!(picture.forecast.is_some());
    }

    #[test]
    fn a_picture_has_series_limit_and_forecast() {
        let (alert, seen) = (alert(), alert().evidence.unwrap());
        assert_eq!(history(&alert, NOW), 14 * DAY_MS, "as far back as ahead");
        let point = |day: i64, value: f64| v1::Point {
            time: Some(human::timestamp(NOW + day * DAY_MS)),
            min: value,
            mean: value,
            max: value + 1.0,
            count: 2,
        };
        let found = v1::QueryReadingsResponse {
            unit: "Pa".into(),
            points: vec![point(-2, 207.0), point(-1, 210.0)],
            ..v1::QueryReadingsResponse::default()
        };
        let chart = picture(&alert, &seen, &found);
        assert_eq!((chart.title.as_str(), chart.unit.as_str()), ("pressure of filter on pump-03", "Pa"));
        assert_eq!((chart.points.len(), chart.limit), (2, Some(250.0)));
        assert_eq!(chart.points[0], Point { time: NOW - 2 * DAY_MS, low: 207.0, value: 207.0, high: 208.0 });
        let forecast = chart.forecast.unwrap();
        assert_eq!((forecast.p50, forecast.p90), (NOW + 14 * DAY_MS, None));
        assert!(svg(&chart).contains("pressure of filter"));
    }
}
