//! The one spelling of a date in signed metadata: `YYYY-MM-DDTHH:MM:SSZ`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

const DAY: i64 = 86_400;
/// 9999-12-31T23:59:59Z, the last moment with a year of four digits.
const LAST: i64 = 253_402_300_799;

/// A moment in whole seconds since 1970-01-01T00:00:00Z, between the years 1970 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i64);

/// Text that is not a date in the one spelling.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a date is written YYYY-MM-DDTHH:MM:SSZ")]
pub struct DateError;

impl Date {
    /// From seconds since the epoch; what lies outside 1970 to 9999 becomes the nearest moment inside.
    pub const fn from_unix(seconds: i64) -> Self {
        Self(if seconds < 0 {
            0
        } else if seconds > LAST {
            LAST
        } else {
            seconds
        })
    }

    /// From milliseconds since the epoch, rounded down.
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self::from_unix(milliseconds.div_euclid(1000))
    }

    /// Seconds since the epoch.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0 * 1000
    }

    /// This many seconds later.
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self::from_unix(self.0.saturating_add(seconds))
    }

    /// This many days later.
    pub const fn plus_days(self, days: i64) -> Self {
        self.plus_seconds(days.saturating_mul(DAY))
    }
}

impl FromStr for Date {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, DateError> {
        let bytes: &[u8; 20] = text.as_bytes().try_into().map_err(|_| DateError)?;
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
        if marks.iter().any(|(at, mark)| bytes[*at] != *mark) {
            return Err(DateError);
        }
        let number = |from: usize, to: usize| {
            bytes[from..to].iter().try_fold(0i64, |sum, digit| {
                digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')).ok_or(DateError)
            })
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let valid = year >= 1970
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !valid {
            return Err(DateError);
        }
        Ok(Self(days_from_epoch(year, month, day) * DAY + hour * 3600 + minute * 60 + second))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.0 / DAY, self.0 % DAY);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days before 1 January of `year`, counted from the epoch.
fn days_before_year(year: i64) -> i64 {
    let leaps = |y: i64| y / 4 - y / 100 + y / 400;
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969)
}

fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    days_before_year(year) + (1..month).map(|m| days_in_month(year, m)).sum::<i64>() + day - 1
}

fn civil(days: i64) -> (i64, i64, i64) {
    // The mean year is 365.2425 days: the estimate is off by at most one, the comparison settles it.
    let estimate = 1970 + days * 400 / 146_097;
    let year = if days_before_year(estimate + 1) <= days {
        estimate + 1
    } else if days_before_year(estimate) > days {
        estimate - 1
    } else {
        estimate
    };
    let mut rest = days - days_before_year(year);
    let mut month = 1;
    while rest >= days_in_month(year, month) {
        rest -= days_in_month(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-22T01:02:03Z", 1_795_309_323),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", LAST),
        ] {
            assert_eq!(text.parse(), Ok(Date(seconds)), "{text}");
            assert_eq!(Date(seconds).to_string(), text);
        }
    }

    #[test]
    fn days_return_as_they_went() {
        for day in (0..=LAST / DAY).step_by(37).chain(47_000..48_000) {
            let date = Date(day * DAY + 86_399);
            assert_eq!(date.to_string().parse(), Ok(date));
        }
    }

    #[test]
    fn one_spelling_only() {
        for bad in [
            "",
            "2026-11-22",
            "2026-11-22T01:02:03",
            "2026-11-22 01:02:03Z",
            "2026-11-22T01:02:03+00:00",
            "2026-11-22T01:02:03.5Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T00:60:00Z",
            "2026-11-22T00:00:60Z",
            "1969-12-31T23:59:59Z",
            "+026-11-22T00:00:00Z",
            "2026-11-22T01:02:03z",
            "2026-1\u{e9}-2T01:02:03Z",
        ] {
            assert_eq!(bad.parse::<Date>(), Err(DateError), "{bad}");
        }
    }
}
