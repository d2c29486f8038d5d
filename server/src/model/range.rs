//! The `Range` header of RFC 9110, as far as a download of immutable bytes needs it.

use std::ops::Range;

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Everything: no range, or one that a server may pass over (several, another unit, nonsense).
    Whole,
    /// One stretch that lies within the object.
    Part(Range<u64>),
    /// One stretch of which no byte exists.
    Beyond,
}

/// Reads a header value against an object of `length` bytes.
pub fn parse(header: &str, length: u64) -> Asked {
    let Some((first, last)) =
        header.trim().strip_prefix("bytes=").and_then(|range| range.trim().split_once('-'))
    else {
        return Asked::Whole;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // Larger than any object is as good as the end.
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let (start, end) = match (first, number(first), number(last)) {
        ("", _, Some(0)) => return Asked::Beyond,
        ("", _, Some(suffix)) => (length.saturating_sub(suffix), length),
        (_, Some(start), None) if last.is_empty() => (start, length),
        (_, Some(start), Some(last)) if start <= last => (start, last.saturating_add(1).min(length)),
        _ => return Asked::Whole,
    };
    if start >= length { Asked::Beyond } else { Asked::Part(start..end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ten_bytes() {
        for (header, expected) in [
            ("bytes=0-", Asked::Part(0..10)),
            ("bytes=3-5", Asked::Part(3..6)),
            ("bytes=9-9", Asked::Part(9..10)),
            ("bytes=3-99999999999999999999999", Asked::Part(3..10)),
            ("bytes=-4", Asked::Part(6..10)),
            ("bytes=-40", Asked::Part(0..10)),
            (" bytes=3-5 ", Asked::Part(3..6)),
            ("bytes=10-", Asked::Beyond),
            ("bytes=99999999999999999999999-", Asked::Beyond),
            ("bytes=-0", Asked::Beyond),
            ("bytes=5-3", Asked::Whole),
            ("bytes=0-1,4-5", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("items=0-1", Asked::Whole),
            ("", Asked::Whole),
        ] {
            assert_eq!(parse(header, 10), expected, "{header:?}");
        }
        assert_eq!(parse("bytes=0-", 0), Asked::Beyond);
    }
}
