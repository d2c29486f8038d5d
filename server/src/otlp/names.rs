//! Names and units as readings have them.

use crate::model::reading::{MAX_UNIT, is_metric};

/// The metric's name, in the letters that ours have; none when it is no name. OpenTelemetry's names do not
/// tell case apart either.
pub fn metric(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    is_metric(&name).then_some(name)
}

/// The unit; without its annotations, which mean nothing to UCUM, where it would be too long with them or
/// is written with what a unit cannot hold.
pub fn unit(text: &str) -> Option<String> {
    if fits(text) {
        return Some(text.to_owned());
    }
    let mut bare = String::new();
    let mut depth = 0_usize;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            c if depth == 0 => bare.push(c),
            _ => {}
        }
    }
    if bare.is_empty() || bare.starts_with('/') {
        bare.insert(0, '1');
    }
    fits(&bare).then_some(bare)
}

/// The unit of a rate.
pub fn per_second(text: &str) -> Option<String> {
    unit(&if text.is_empty() { "1/s".to_owned() } else { format!("{text}/s") })
}

fn fits(unit: &str) -> bool {
    unit.len() <= MAX_UNIT && unit.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(metric("http.Server-Requests").as_deref(), Some("http.server_requests"));
        for bad in ["", "no name", "a\u{7}b", "größe", &"x".repeat(129)] {
            assert_eq!(metric(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn units() {
        let of = |text| unit(text).unwrap_or_default();
        assert_eq!(["", "By", "{request}", "%"].map(of), ["", "By", "{request}", "%"]);
        assert_eq!(of("{packets that were dropped}"), "1");
        assert_eq!(of("By{of the whole journey}/s"), "By/s");
        assert_eq!(of("{requests of everybody}/s"), "1/s");
        for bad in ["no unit", "\u{7}", "kilogram.metre.per.second"] {
            assert_eq!(unit(bad), None, "{bad:?}");
        }
        assert_eq!(per_second("").as_deref(), Some("1/s"));
        assert_eq!(per_second("{requests so far}").as_deref(), Some("1/s"));
        assert_eq!(per_second("By").as_deref(), Some("By/s"));
    }
}
