//! Bytes, moments and enum values for people.

use std::time::Duration;

use prost_types::Timestamp;

use crate::duration;

/// Bytes in binary units: `812 B`, `1.5 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A moment in UTC with its distance: `2026-11-22 14:03:05Z (3m ago)`.
pub fn moment(time: &Timestamp, now: i64) -> String {
    format!("{} ({})", absolute(time), relative(time, now))
}

/// As [`moment`]; `-` when there is none.
pub fn maybe_moment(time: Option<&Timestamp>, now: i64) -> String {
    time.map_or_else(|| "-".into(), |time| moment(time, now))
}

/// A moment in UTC: `2026-11-22 14:03:05Z`.
pub fn absolute(time: &Timestamp) -> String {
    Timestamp { seconds: time.seconds, nanos: 0 }.to_string().replacen('T', " ", 1)
}

/// A day in UTC, and the hour where it is less than two days away: `2026-12-06`, `2026-11-22 14:49 UTC`.
pub fn date_near(time: &Timestamp, now: i64) -> String {
    const HOURS_MATTER: u64 = 2 * 86_400_000;
    match absolute(time).rsplit_once(':') {
        Some((minute, _)) if milliseconds(time).abs_diff(now) < HOURS_MATTER => format!("{minute} UTC"),
        _ => date(time),
    }
}

/// A day in UTC: `2026-11-22`.
pub fn date(time: &Timestamp) -> String {
    absolute(time).split(' ').next().unwrap_or_default().to_owned()
}

/// A distance from now: `3m ago`, `in 2d 4h`, `just now`.
pub fn relative(time: &Timestamp, now: i64) -> String {
    let span = milliseconds(time).saturating_sub(now);
    let distance = Duration::from_millis(span.unsigned_abs());
    match span {
        -999..=999 => "just now".into(),
        ..-999 => format!("{} ago", duration::show(distance)),
        _ => format!("in {}", duration::show(distance)),
    }
}

/// As [`relative`]; `-` when there is none.
pub fn maybe_relative(time: Option<&Timestamp>, now: i64) -> String {
    time.map_or_else(|| "-".into(), |time| relative(time, now))
}

/// Milliseconds since 1970 as the wire carries them.
pub fn timestamp(milliseconds: i64) -> Timestamp {
    Timestamp {
        seconds: milliseconds.div_euclid(1_000),
        nanos: i32::try_from(milliseconds.rem_euclid(1_000)).unwrap_or(0) * 1_000_000,
    }
}

fn milliseconds(time: &Timestamp) -> i64 {
    time.seconds.saturating_mul(1_000).saturating_add(i64::from(time.nanos) / 1_000_000)
}

/// `ROLLOUT_STATE_ROLLED_BACK` with prefix `ROLLOUT_STATE_` reads `rolled back`.
pub fn enum_words(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase().replace('_', " ")
}

/// `ALERT_KIND_STATE_DETECTION` with prefix `ALERT_KIND_` reads `state_detection`, as filters and selectors ask for it.
pub fn enum_word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
}

/// A count with its noun: `1 device`, `3 devices`.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// A number with six significant digits, all of those before the point, and no trailing zeros.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size > 0.0 && !(1e-9..1e15).contains(&size) {
        return format!("{value:e}");
    }
    let digits = (0..15).find(|digits| size >= 10_f64.powi(5 - digits)).unwrap_or(0);
    let text = format!("{value:.*}", usize::try_from(digits).unwrap_or(0));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_well() {
        for (n, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_572_864, "1.5 MiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn moments_have_a_date_and_a_distance() {
        let now = 1_795_356_185_000;
        let at = |seconds: i64| timestamp(now + seconds * 1_000);
        assert_eq!(moment(&at(0), now), "2026-11-22 14:03:05Z (just now)");
        assert_eq!(moment(&at(-180), now), "2026-11-22 14:00:05Z (3m ago)");
        assert_eq!(moment(&at(187_200), now), "2026-11-24 18:03:05Z (in 2d 4h)");
        assert_eq!(maybe_moment(None, now), "-");
        assert_eq!(date_near(&at(2_760), now), "2026-11-22 14:49 UTC");
        assert_eq!(date_near(&at(-2_760), now), "2026-11-22 13:17 UTC");
        assert_eq!(date_near(&at(172_800), now), "2026-11-24");
        assert_eq!(timestamp(-1), Timestamp { seconds: -1, nanos: 999_000_000 });
    }

    #[test]
    fn enums_and_numbers_read_well() {
        assert_eq!(enum_words("ROLLOUT_STATE_ROLLED_BACK", "ROLLOUT_STATE_"), "rolled back");
        assert_eq!(enum_word("ALERT_KIND_STATE_DETECTION", "ALERT_KIND_"), "state_detection");
        assert_eq!(counted(1, "device"), "1 device");
        assert_eq!(counted(0, "device"), "0 devices");
        assert_eq!(number(12.500), "12.5");
        for (value, text) in [
            (100.0, "100"),
            (0.0, "0"),
            (1_234_567.8, "1234568"),
            (-48.137_371, "-48.1374"),
            (0.0015, "0.0015"),
            (0.000_004_2, "0.0000042"),
            (1.0 / 3.0, "0.333333"),
            (1e-30, "1e-30"),
            (2.5e20, "2.5e20"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
