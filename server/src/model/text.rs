//! Text from outside: what may stand in a name, and how it is shown to somebody else.

/// Longest part of a caller's value that a message repeats, in characters: enough to recognise it.
pub const SHOWN: usize = 100;
/// Longest message, in characters: an error has to fit the headers of an answer.
const MESSAGE: usize = 2000;

/// Whether a character cannot be seen, or changes how those around it are seen: controls, line and
/// paragraph separators, bidirectional overrides and isolates, zero-width characters, tags.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// What a device says of itself, as it is kept: each character that is hidden becomes one that can be seen, so
/// that nobody's words pass for another line or run backwards where people read them.
pub fn visible(value: String) -> String {
    if value.chars().any(is_hidden) { value.replace(is_hidden, "\u{fffd}") } else { value }
}

/// A value as a message repeats it: in quotes, what is hidden escaped, and of a long one the
/// beginning and how long it is.
pub fn quoted(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        None => format!("{value:?}"),
        Some((end, _)) => format!("{:?}… ({} characters)", &value[..end], value.chars().count()),
    }
}

/// The same of a value that stands for itself, without quotes: an id, say, that nobody has.
pub fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        None => value.to_owned(),
        Some((end, _)) => format!("{}… ({} characters)", &value[..end], value.chars().count()),
    }
}

/// A message that is safe to print: lines stay lines, whatever else is hidden is escaped, and what
/// is too long is cut.
pub(super) fn printable(message: String) -> String {
    let is_fine = |c: char| c == '\n' || !is_hidden(c);
    if message.len() <= MESSAGE && message.chars().all(is_fine) {
        return message;
    }
    let mut out = String::with_capacity(message.len().min(MESSAGE));
    let mut chars = message.chars();
    for c in chars.by_ref().take(MESSAGE) {
        if is_fine(c) {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    let left = chars.count();
    if left > 0 {
        out.push_str(&format!("… (and {left} characters more)"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen() {
        for c in ['\0', '\n', '\u{7f}', '\u{85}', '\u{200b}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{e0041}']
        {
            assert!(is_hidden(c), "{c:?}");
        }
        for c in ['a', ' ', 'é', '漢', 'ש', '🚰', '\u{301}'] {
            assert!(!is_hidden(c), "{c:?}");
        }
    }

    #[test]
    fn what_is_kept_can_be_seen() {
        assert_eq!(visible("Zürich 漢 🚰".to_owned()), "Zürich 漢 🚰");
        let forged = visible("x\nstate  active\u{1b}[2K\u{202e}".to_owned());
        assert_eq!(forged, "x\u{fffd}state  active\u{fffd}[2K\u{fffd}");
    }

    #[test]
    fn a_value_is_repeated_up_to_its_beginning() {
        assert_eq!(quoted("pump\u{202e}1"), "\"pump\\u{202e}1\"");
        assert_eq!(quoted(&"ä".repeat(SHOWN)), format!("\"{}\"", "ä".repeat(SHOWN)));
        let long = quoted(&"ä".repeat(5000));
        assert_eq!(long, format!("\"{}\"… (5000 characters)", "ä".repeat(SHOWN)));
    }

    #[test]
    fn a_message_prints_as_what_it_is() {
        assert_eq!(printable("two\nlines".to_owned()), "two\nlines");
        assert_eq!(printable("a\u{1b}[2J\u{2066}b".to_owned()), "a\\u{1b}[2J\\u{2066}b");
        let long = printable("x".repeat(MESSAGE + 7));
        assert!(long.ends_with("x… (and 7 characters more)"), "{long}");
        assert_eq!(printable("ä".repeat(MESSAGE)), "ä".repeat(MESSAGE));
    }
}
