//! The two sentences of an alert, for a service technician.

use slipway_insight::{Finding, Forecast};

use super::{alert::Observation, time::Timestamp};

/// What is nearer than this is told with the hour.
const HOURS_MATTER_MS: i64 = 2 * slipway_insight::DAY_MS;

/// The sentences.
pub(super) struct Text {
    pub summary: String,
    pub recommendation: String,
}

/// Says what a finding means and what to do by when.
pub(super) fn write(
    seen: &Observation,
    finding: &Finding,
    act_by: Option<Timestamp>,
    now: Timestamp,
) -> Text {
    let part = if seen.limit.part.is_empty() { seen.component } else { &seen.limit.part };
    let place = format!("{part} of {}", seen.device_id);
    let what = metric_words(&seen.evidence.metric);
    let say = |value| counted(value, &seen.evidence.unit, seen.evidence.limit, &what);
    let (limit, value) = (say(seen.evidence.limit), say(seen.evidence.value));
    let is = if is_plural(&what) { "are" } else { "is" };
    let consumable = seen.limit.consumable;
    let Finding::Expected(forecast) = finding else {
        let side = if seen.limit.side == slipway_insight::Side::Above { "above" } else { "below" };
        let deed = if consumable { "Refill or replace" } else { "Inspect" };
        return Text {
            summary: format!("The {place}: {what} {is} {value}, at or {side} the limit of {limit}."),
            recommendation: format!("{deed} the {place} now."),
        };
    };
    let when = when(forecast, now);
    let precedent = match forecast.comparable {
        0 => String::new(),
        parts => format!(", judging by {parts} before it on devices of this model"),
    };
    let deed = if consumable { "Reorder for" } else { "Inspect" };
    let by = match act_by {
        Some(date) if date > now => format!("by {}", day(date.millis(), now)),
        _ => "now".to_owned(),
    };
    Text {
        summary: format!("The {place}: {what} {is} {value} and will reach {limit} {when}{precedent}."),
        recommendation: format!("{deed} the {place} {by}: {what} will reach {limit} {when}."),
    }
}

/// When it will come about, and how sure that is.
pub(super) fn when(forecast: &Forecast, now: Timestamp) -> String {
    let claim = forecast.percent.map(|percent| format!(" ({percent} % sure)")).unwrap_or_default();
    match (forecast.percent, forecast.p90_ms) {
        (None, _) => format!("about {} (a rough date)", day(forecast.p50_ms, now)),
        (Some(_), None) => {
            format!("about {}, not before {}", day(forecast.p50_ms, now), day(forecast.p10_ms, now))
        }
        (Some(_), Some(p90_ms)) => {
            let is_one_day = moment(forecast.p10_ms, false, now) == moment(p90_ms, false, now);
            let last = if is_one_day { forecast.p10_ms } else { p90_ms };
            let hours = last.saturating_sub(now.millis()) < HOURS_MATTER_MS;
            let from = if hours { moment(forecast.p10_ms, true, now) } else { day(forecast.p10_ms, now) };
            let to = moment(p90_ms, hours, now);
            if from == to {
                format!("on {from}{claim}")
            } else {
                format!("between {} and {to}{claim}", without_common_end(&from, &to))
            }
        }
    }
}

/// "1" of "1 March" and "12 March"; the whole where the months differ.
fn without_common_end<'a>(from: &'a str, to: &str) -> &'a str {
    match (from.split_once(' '), to.split_once(' ')) {
        (Some((day, rest)), Some((_, other))) if rest == other => day,
        _ => from,
    }
}

/// The day, with the hour where it is near: "by 22 November" says nothing of 46 minutes.
pub(super) fn day(at_ms: i64, now: Timestamp) -> String {
    moment(at_ms, at_ms.saturating_sub(now.millis()).saturating_abs() < HOURS_MATTER_MS, now)
}

/// "3 March", with the year unless it is the present one, with the hour where asked; in UTC.
pub(crate) fn moment(at_ms: i64, hours: bool, now: Timestamp) -> String {
    let civil = |millis: i64| {
        jiff::Timestamp::from_millisecond(millis).ok().map(|time| time.to_zoned(jiff::tz::TimeZone::UTC))
    };
    let (Some(at), Some(now)) = (civil(at_ms), civil(now.millis())) else {
        return "a date beyond the calendar".to_owned();
    };
    let format = match (hours, at.year() == now.year()) {
        (false, true) => "%-d %B",
        (false, false) => "%-d %B %Y",
        (true, true) => "%-d %B %H:%M UTC",
        (true, false) => "%-d %B %Y %H:%M UTC",
    };
    at.strftime(format).to_string()
}

/// "pressure drop" of "filter.pressure_drop": the last part of the name, in words.
pub(super) fn metric_words(metric: &str) -> String {
    let last = metric.rsplit(['.', '/']).next().unwrap_or(metric);
    // "utilization" alone says too little: take what it is the utilization of along.
    let words = if last.contains('_') || last.len() == metric.len() { last } else { two_last(metric) };
    words.replace(['_', '.', '/'], " ")
}

fn two_last(metric: &str) -> &str {
    let mut ends = metric.rmatch_indices(['.', '/']);
    match (ends.next(), ends.next()) {
        (Some(_), Some((second, _))) => &metric[second + 1..],
        _ => metric,
    }
}

/// "250 Pa", "95 %" of a ratio, "61.5 °C".
pub(super) fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "1" if value.abs() <= 1.0 => format!("{} %", number(value * 100.0)),
        "1" | "" => number(value),
        "Cel" => format!("{} °C", number(value)),
        "By" => format!("{} bytes", number(value)),
        other => match other.strip_prefix('{').and_then(|noun| noun.strip_suffix('}')) {
            // Turns a minute are many already.
            Some(noun) if value == 1.0 || noun == "rpm" || is_plural(noun) => {
                format!("{} {noun}", number(value))
            }
            Some(noun) => format!("{} {noun}s", number(value)),
            None => format!("{} {other}", number(value)),
        },
    }
}

/// A quantity beside its limit: "3" of "pending sectors", which says what it counts; "0" of what is no share,
/// because its limit is a whole number.
fn counted(value: f64, unit: &str, limit: f64, what: &str) -> String {
    let noun = unit.strip_prefix('{').and_then(|noun| noun.strip_suffix('}'));
    let is_said = noun.is_some_and(|noun| what.ends_with(noun) || what.ends_with(&format!("{noun}s")));
    let is_count = unit == "1" && limit.fract() == 0.0;
    if is_said || is_count { number(value) } else { quantity(value, unit) }
}

fn is_plural(words: &str) -> bool {
    words.ends_with('s') && !words.ends_with("ss")
}

/// Three significant digits below 1,000, whole numbers above.
fn number(value: f64) -> String {
    let size = value.abs();
    if size > 0.0 && size < 1e-9 {
        return format!("{value:e}");
    }
    let is_whole = size >= 100.0 || value.fract() == 0.0;
    let digits =
        if is_whole { 0 } else { (1..12).find(|digits| size >= 10_f64.powi(2 - digits)).unwrap_or(12) };
    let digits = usize::try_from(digits).unwrap_or(0);
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_and_quantities_read_like_words() {
        assert_eq!(metric_words("filter.pressure_drop"), "pressure drop");
        assert_eq!(metric_words("system.filesystem.utilization"), "filesystem utilization");
        assert_eq!(metric_words("load"), "load");
        assert_eq!(quantity(0.953, "1"), "95.3 %");
        assert_eq!(quantity(250.0, "Pa"), "250 Pa");
        assert_eq!(quantity(61.54, "Cel"), "61.5 °C");
        assert_eq!(quantity(12.0, "{errors}"), "12 errors");
        assert_eq!(quantity(12.0, "{sector}"), "12 sectors");
        assert_eq!(quantity(1.0, "{sector}"), "1 sector");
        assert_eq!(quantity(900.0, "{rpm}"), "900 rpm");
    }

    #[test]
    fn what_is_counted_is_said_once() {
        assert_eq!(counted(3.0, "{sector}", 1.0, "pending sectors"), "3");
        assert_eq!(counted(95_000.0, "{erase}", 90_000.0, "erase count"), "95000 erases");
        assert_eq!(counted(0.0, "1", 0.0, "smart passed"), "0");
        assert_eq!(counted(1.0, "1", 1.0, "ext4 errors"), "1");
        assert_eq!(counted(0.912, "1", 0.9, "life used"), "91.2 %");
        assert!(is_plural("pending sectors") && !is_plural("passed") && !is_plural("pressure loss"));
    }
}
