//! Spans of time as people write them: `30s`, `5m`, `1h30m`, `30d`.

use std::time::Duration;

const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Reads a span such as `30s`, `5m`, `1h30m` or `30d`.
///
/// # Errors
/// What is wrong with the text, with an example.
pub fn parse(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut seconds = 0u64;
    let mut rest = text;
    if rest.is_empty() {
        return Err("a duration is missing; write for example 30s, 5m, 1h or 30d".into());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        if number.is_empty() {
            return Err(format!("`{text}` is not a duration; write for example 30s, 5m, 1h30m or 30d"));
        }
        let Some(unit) = tail.chars().next() else {
            return Err(format!(
                "`{text}` has no unit after {number}; write for example {number}s or {number}m"
            ));
        };
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("`{unit}` in `{text}` is not a unit; use s, m, h, d or w"));
        };
        seconds = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(*factor))
            .and_then(|n| n.checked_add(seconds))
            .filter(|n| *n <= i64::MAX as u64 / 1_000)
            .ok_or_else(|| format!("`{text}` is too long"))?;
        rest = &tail[unit.len_utf8()..];
    }
    Ok(Duration::from_secs(seconds))
}

/// A span for people, in its two largest units: `1d 4h`, `5m`, `12s`.
pub fn show(span: Duration) -> String {
    let mut left = span.as_secs();
    if left == 0 {
        return if span.is_zero() { "0s".into() } else { format!("{:.1}s", span.as_secs_f64()) };
    }
    let mut parts = Vec::new();
    for (name, size) in UNITS.into_iter().filter(|(name, _)| *name != 'w') {
        if left >= size {
            parts.push(format!("{}{name}", left / size));
            left %= size;
        }
        if parts.len() == 2 {
            break;
        }
    }
    parts.join(" ")
}

/// As the wire carries it.
pub fn to_wire(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or(0),
    }
}

/// From the wire; a negative span reads zero.
pub fn from_wire(span: &prost_types::Duration) -> Duration {
    Duration::new(u64::try_from(span.seconds).unwrap_or(0), u32::try_from(span.nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in [
            ("0", 0),
            ("30s", 30),
            ("5m", 300),
            ("1h", 3_600),
            ("1h30m", 5_400),
            ("30d", 2_592_000),
            ("2w", 1_209_600),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn refusals_say_what_to_write_instead() {
        let refusal = |text| parse(text).unwrap_err();
        assert_eq!(refusal(""), "a duration is missing; write for example 30s, 5m, 1h or 30d");
        assert_eq!(refusal("30"), "`30` has no unit after 30; write for example 30s or 30m");
        assert_eq!(refusal("5y"), "`y` in `5y` is not a unit; use s, m, h, d or w");
        assert_eq!(refusal("-5m"), "`-5m` is not a duration; write for example 30s, 5m, 1h30m or 30d");
        assert_eq!(refusal("99999999999999999w"), "`99999999999999999w` is too long");
        assert_eq!(refusal("5µ"), "`µ` in `5µ` is not a unit; use s, m, h, d or w");
    }

    #[test]
    fn shows_the_two_largest_units() {
        for (seconds, text) in [(0, "0s"), (12, "12s"), (300, "5m"), (93_784, "1d 2h"), (3_605, "1h 5s")] {
            assert_eq!(show(Duration::from_secs(seconds)), text);
        }
        assert_eq!(show(Duration::from_millis(420)), "0.4s");
    }
}
