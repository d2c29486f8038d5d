//! Moments as people write them: so long ago (`7d`), a day (`2026-11-22`), or a time (`2026-11-22T14:03:05Z`).

use std::str::FromStr;

use prost_types::Timestamp;

use crate::{duration, human};

/// A moment, which may depend on when the command runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    /// So many ms before now.
    Ago(i64),
    /// ms since 1970.
    At(i64),
}

impl Moment {
    /// Milliseconds since 1970.
    pub fn at(self, now: i64) -> i64 {
        match self {
            Moment::Ago(span) => now.saturating_sub(span),
            Moment::At(at) => at,
        }
    }

    /// As the wire carries it.
    pub fn to_wire(self, now: i64) -> Timestamp {
        human::timestamp(self.at(now))
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(span) = duration::parse(text) {
            return Ok(Moment::Ago(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)));
        }
        let refused =
            || format!("`{text}` is no moment; write for example 7d, 2026-11-22 or 2026-11-22T14:03:05Z");
        // A day has ten characters, and a time says that it is UTC or where else.
        let is_day = text.len() == 10;
        let is_time =
            text.len() > 10 && text.contains(':') && (text.ends_with('Z') || text[10..].contains(['+', '-']));
        if !text.is_ascii() || !(is_day || is_time) {
            return Err(refused());
        }
        let at: Timestamp = text.parse().map_err(|_| refused())?;
        Ok(Moment::At(at.seconds.saturating_mul(1_000) + i64::from(at.nanos) / 1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_356_185_000;

    #[test]
    fn moments_are_read() {
        let at = |text: &str| text.parse::<Moment>().map(|moment| moment.at(NOW));
        assert_eq!(at("7d"), Ok(NOW - 7 * 86_400_000));
        assert_eq!(at("0"), Ok(NOW));
        assert_eq!(at("2026-11-22"), Ok(1_795_305_600_000));
        assert_eq!(at("2026-11-22T14:03:05Z"), Ok(NOW));
        assert_eq!(at("2026-11-22 14:03:05Z"), Ok(NOW));
        assert_eq!(at("2026-11-22T15:03:05.250+01:00"), Ok(NOW + 250));
        for wrong in ["", "yesterday", "2026-13-01", "2026-11-22T14:03:05", "7", "äöüäöüäöüä", "2026"]
        {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
