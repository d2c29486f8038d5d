//! Patterns for ids: `*` stands for any characters, also none, and `?` for exactly one.

/// Longest pattern: one that names a device in full, and some stars.
const MAX_LENGTH: usize = 128;

/// Whether `pattern` can match a device id: made of what ids are made of, `*` and `?`.
pub fn is_pattern(pattern: &str) -> bool {
    let fits =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.' | b'*' | b'?');
    (1..=MAX_LENGTH).contains(&pattern.len()) && pattern.bytes().all(fits)
}

/// Whether `text` matches; takes time in the product of both lengths at most.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // After the last star, and what it has taken so far ends here.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                retry = Some((p, t));
            }
            Some(b) if *b == b'?' || *b == text[t] => {
                p += 1;
                t += 1;
            }
            // The star before takes one more.
            _ => match retry {
                Some((after, taken)) => {
                    retry = Some((after, taken + 1));
                    (p, t) = (after, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches() {
        for (pattern, text) in [
            ("pump-1", "pump-1"),
            ("*", ""),
            ("*", "anything"),
            ("pump-*", "pump-"),
            ("pump-*", "pump-17"),
            ("pump-??", "pump-17"),
            ("*-17", "pump-17"),
            ("p*m*-*7", "pump-17"),
            ("*a*a*b", "aaaaab"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("pump-1", "pump-12"),
            ("pump-?", "pump-"),
            ("*-17", "pump-171"),
            ("a*b", "ac"),
            ("?", ""),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        let hostile = "*a".repeat(60);
        assert!(!matches(&hostile, &"a".repeat(59)), "and it ends");
    }

    #[test]
    fn what_is_a_pattern() {
        assert!(is_pattern("pump-*") && is_pattern("*"));
        for bad in ["", "Pump-*", "pump/*", "[ab]", &"*".repeat(129)] {
            assert!(!is_pattern(bad), "{bad}");
        }
    }
}
