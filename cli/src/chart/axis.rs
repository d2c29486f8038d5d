//! Round numbers and round moments along the axes.

use crate::human;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Steps of a time axis. Those of more than a day count days since 1970, which is as good as any beginning.
const STEPS: [i64; 22] = [
    SECOND,
    5 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    60 * DAY,
    90 * DAY,
    180 * DAY,
    365 * DAY,
    5 * 365 * DAY,
];

/// Round values from `low` to `high`, at most `most` (two at least), and how each is written.
pub fn values(low: f64, high: f64, most: usize) -> Vec<(f64, String)> {
    let rough = (high - low) / most.saturating_sub(1).max(1) as f64;
    if !rough.is_finite() || rough <= 0.0 {
        return vec![(low, number(low, 0))];
    }
    let magnitude = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|n| n * magnitude).find(|step| *step >= rough * 0.999_999);
    let step = step.unwrap_or(10.0 * magnitude);
    let decimals = usize::try_from(-(step.log10() + 1e-9).floor() as i64).unwrap_or(0);
    let first = (low / step - 1e-9).ceil();
    (0..=most)
        .map(|i| (first + i as f64) * step)
        .take_while(|value| *value <= high + step * 1e-9)
        .map(|value| (value, number(value, decimals)))
        .collect()
}

/// A value with so many decimals; very large and very small ones by powers of ten.
fn number(value: f64, decimals: usize) -> String {
    // No minus before a zero.
    let value = if value == 0.0 { 0.0 } else { value };
    if value.abs() >= 1e7 || decimals > 6 { format!("{value:.2e}") } else { format!("{value:.decimals$}") }
}

/// Round moments from `start` to `end`, at most `most`, and how each is written (UTC). What they have in
/// common is not repeated in each: the caller says it in [`common`].
pub fn moments(start: i64, end: i64, most: usize) -> Vec<(i64, String)> {
    let span = end.saturating_sub(start).max(1);
    let most = i64::try_from(most.max(1)).unwrap_or(1);
    let step = STEPS.into_iter().find(|step| span / step < most).unwrap_or(span / most + 1);
    let mut moments = Vec::new();
    let mut at = start.div_euclid(step).saturating_mul(step);
    while at <= end {
        if at >= start {
            moments.push((at, label(at, step)));
        }
        at = at.saturating_add(step);
        if at == i64::MAX {
            break;
        }
    }
    moments
}

/// What the labels of [`moments`] leave out: the first moment in full.
pub fn common(start: i64, end: i64) -> String {
    let written = |at| human::absolute(&human::timestamp(at));
    format!("{} to {}", written(start), written(end))
}

fn label(at: i64, step: i64) -> String {
    let text = human::absolute(&human::timestamp(at));
    // `2026-11-22 14:03:05Z`: years before 0 and after 9999 are longer, and shown whole.
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or(&text).to_owned();
    if text.len() != 20 {
        return text;
    }
    match step {
        ..MINUTE => part(11, 19),
        MINUTE..DAY if at.rem_euclid(DAY) == 0 => part(5, 10),
        MINUTE..DAY => part(11, 16),
        _ if step < 300 * DAY => part(5, 10),
        _ => part(0, 7),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_round() {
        let texts = |low, high, most| -> Vec<String> {
            values(low, high, most).into_iter().map(|(_, text)| text).collect()
        };
        assert_eq!(texts(0.0, 100.0, 5), ["0", "50", "100"]);
        assert_eq!(texts(0.12, 0.31, 4), ["0.2", "0.3"]);
        assert_eq!(texts(-1.0, 1.0, 5), ["-1.0", "-0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(texts(3.0, 3.0, 5), ["3"]);
        assert_eq!(texts(0.0, 4e9, 3), ["0", "2.00e9", "4.00e9"]);
        assert_eq!(values(f64::NEG_INFINITY, f64::INFINITY, 5).len(), 1);
    }

    #[test]
    fn moments_are_round() {
        let texts = |start, end, most| -> Vec<String> {
            moments(start, end, most).into_iter().map(|(_, text)| text).collect()
        };
        // 2026-11-22 14:03:05Z.
        let now = 1_795_356_185_000;
        assert_eq!(texts(now - HOUR, now, 5), ["13:15", "13:30", "13:45", "14:00"]);
        assert_eq!(texts(now - DAY, now, 5), ["18:00", "11-22", "06:00", "12:00"]);
        assert_eq!(texts(now - 7 * DAY, now, 4), ["11-17", "11-19", "11-21"]);
        assert_eq!(texts(now - 3 * 365 * DAY, now, 5), ["2023-12", "2024-12", "2025-12"]);
        assert!(texts(i64::MIN / 2, i64::MAX / 2, 5).len() <= 7);
        assert_eq!(common(now - HOUR, now), "2026-11-22 13:03:05Z to 2026-11-22 14:03:05Z");
    }
}
