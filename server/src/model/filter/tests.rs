use std::{borrow::Cow, collections::BTreeMap};

use super::*;
use crate::rng::Rng;

struct Map(BTreeMap<&'static str, &'static str>);

impl Subject for Map {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        self.0.get(path).map(|value| Cow::Borrowed(*value))
    }
}

const FIELDS: &[Field] = &[
    Field::text("id"),
    Field::text("hardware"),
    Field::version("version"),
    Field::number("count"),
    Field::time("time"),
    Field::words("state", || vec!["open", "closed"]),
    Field::text("labels."),
];

fn subject() -> Map {
    Map(BTreeMap::from([
        ("id", "pump-7"),
        ("hardware", "gw-a"),
        ("version", "1.10.0"),
        ("count", "12"),
        ("time", "2026-11-22T14:03:05Z"),
        ("state", "open"),
        ("labels.site", "north"),
        ("labels.my key", "x\"y"),
    ]))
}

#[test]
fn a_day_is_from_its_first_second_to_its_last() {
    for (text, expected) in [
        ("time >= 2026-11-22", true),
        ("time < 2026-11-22", false),
        ("time <= 2026-11-22", true),
        ("time > 2026-11-22", false),
        ("time = 2026-11-22", true),
        ("time != '2026-11-22*'", false),
        ("time:2026-11-22", true),
        ("time:*", true),
        ("time <= 2026-11-21", false),
        ("time > 2026-11-21", true),
        ("time = 2026-11-22T14:03:05Z", true),
        ("time > '2026-11-22 14:03:05Z'", false),
        ("time > '2026-11-22 14:03:04Z'", true),
    ] {
        assert_eq!(
            Filter::parse(text, FIELDS, Reason::FilterInvalid).unwrap().matches(&subject()),
            expected,
            "{text}"
        );
    }
    for bad in ["yesterday", "2026", "2026-13-01", "22.11.2026", "2026-11-22T14:03", "1h", "17"] {
        let refusal = Filter::parse(&format!("time >= {bad}"), FIELDS, Reason::FilterInvalid).unwrap_err();
        assert!(refusal.message.starts_with(&format!("\"{bad}\" is not a time\n")), "{refusal:?}");
        assert!(refusal.hint.contains("time >= \"2026-11-01\""), "{refusal:?}");
    }
}

#[test]
fn what_matches() {
    let table = [
        ("", true),
        ("  \n ", true),
        ("id = pump-7", true),
        ("id=\"pump-7\"", true),
        ("id = 'pump-7'", true),
        ("id != pump-7", false),
        ("id = \"pump-*\"", true),
        ("id = *-7", true),
        ("id = *ump*", true),
        ("id = *", true),
        ("id = *-8", false),
        ("labels.site = north AND hardware = gw-b", false),
        ("labels.site = north AND NOT hardware = gw-b", true),
        ("labels.ring = canary", false),
        ("labels.ring != canary", true),
        ("NOT labels.ring = canary", true),
        ("labels.ring < z", false),
        ("labels:site", true),
        ("labels:ring", false),
        ("labels.site:*", true),
        ("labels.ring:*", false),
        ("labels.site:ort", true),
        ("labels.\"my key\" = \"x\\\"y\"", true),
        // Versions compare as versions, numbers as numbers.
        ("version >= 1.9", true),
        ("version < 1.9", false),
        ("count > 9", true),
        ("count <= 12", true),
        ("count = 012", true),
        ("count != 13", true),
        ("count = *", true),
        ("version = 1.*", true),
        // Words: as they are, with a wildcard that some word fits, in part.
        ("state = open", true),
        ("state != open", false),
        ("state = clo*", false),
        ("state:pen", true),
        ("state:*", true),
        // OR binds tighter than AND.
        ("id = nobody AND hardware = gw-a OR labels.site = north", false),
        ("(id = nobody AND hardware = gw-a) OR labels.site = north", true),
        ("NOT (id = pump-7 OR id = pump-8)", false),
    ];
    for (text, expected) in table {
        let filter =
            Filter::parse(text, FIELDS, Reason::FilterInvalid).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(filter.matches(&subject()), expected, "{text}");
    }
}

#[test]
fn what_is_refused_and_where() {
    let table = [
        ("id =", "expected a value", 5),
        ("id = AND hardware = a", "expected a value", 6),
        ("id", "expected one of = != < <= > >= :", 3),
        ("id ~ 3", "expected one of = != < <= > >= :", 4),
        ("= 3", "expected a field name", 1),
        ("serial = 3", "no field \"serial\" here", 1),
        ("labels = 3", "no field \"labels\" here", 1),
        ("labels. = 3", "expected the rest of the field name", 8),
        ("id = a hardware = b", "expected AND, OR or the end", 8),
        ("(id = a", "expected AND, OR or a closing parenthesis", 8),
        ("id = a)", "this parenthesis was never opened", 7),
        ("id = \"a", "this quote is never closed", 6),
        ("id = \"a\\n\"", "expected \\\\, \\\" or \\' after the backslash", 8),
        ("id = a and hardware = b", "expected AND, OR or the end", 8),
        ("not id = a", "expected a field name, found \"not\"", 1),
        ("state = bogus", "state is never \"bogus\": it is one of open, closed", 9),
        ("state != OPEN", "state is never \"OPEN\": it is one of open, closed", 10),
        ("id = a AND (state: \"x\")", "state is never \"x\": it is one of open, closed", 20),
        ("state = b*", "state is never \"b*\": it is one of open, closed", 9),
        ("state < open", "state has no order", 9),
        ("count > many", "\"many\" is not a whole number", 9),
        ("count = 1.5", "\"1.5\" is not a whole number", 9),
        ("count < *", "\"*\" is not a whole number", 9),
        ("version < 2", "\"2\" is not a version", 11),
        ("id = ä AND\n  x", "expected one of = != < <= > >= :", 4),
    ];
    for (text, problem, column) in table {
        let refusal = Filter::parse(text, FIELDS, Reason::FilterInvalid).map(drop).unwrap_err();
        assert_eq!(refusal.message.lines().next(), Some(problem), "{text}");
        assert_eq!(refusal.facts["column"], column.to_string(), "{text}");
        let caret = refusal.message.lines().last().unwrap_or_default();
        assert_eq!(caret.chars().count(), column + 2, "{text}\n{}", refusal.message);
        assert!(caret.ends_with('^'), "{}", refusal.message);
    }
}

#[test]
fn the_message_points_at_the_column() {
    let text = "labels.site = \"north\" AND colour = red";
    let refusal = Filter::parse(text, FIELDS, Reason::SelectorInvalid).map(drop).unwrap_err();
    assert_eq!(
        refusal.message,
        "no field \"colour\" here\n  labels.site = \"north\" AND colour = red\n                            ^"
    );
    assert_eq!(refusal.field.as_deref(), Some("selector"));
    assert!(
        refusal.hint.ends_with("fields: id, hardware, version, count, time, state, labels.KEY"),
        "{}",
        refusal.hint
    );
}

#[test]
fn limits() {
    let nested = |n: usize| format!("{}id = a{}", "(".repeat(n), ")".repeat(n));
    assert!(Filter::parse(&nested(MAX_DEPTH - 1), FIELDS, Reason::FilterInvalid).is_ok());
    for text in [
        nested(MAX_DEPTH),
        nested(1000),
        "NOT ".repeat(MAX_DEPTH) + "id = a",
        vec!["id = a"; MAX_TERMS + 1].join(" OR "),
        format!("id = {}", "ä".repeat(MAX_LENGTH)),
    ] {
        assert!(Filter::parse(&text, FIELDS, Reason::FilterInvalid).is_err(), "{text}");
    }
}

/// Whatever is typed gives a filter or a caret, never a panic; a caret stands within the line shown.
#[test]
fn no_input_panics() {
    let pieces =
        ["id", "labels.", "labels", " ", "=", "!=", ":", "<", "(", ")", "AND", "OR ", "NOT", "\"", "'", "\\"]
            .into_iter()
            .chain(["*", "ä", "\n", "\t", "\u{0}", "x", "1.2", ".", "-", "🦀"])
            .collect::<Vec<_>>();
    let rng = Rng::seeded(7);
    for _ in 0..20_000 {
        let bytes: [u8; 24] = rng.bytes();
        let text: String = bytes[1..][..usize::from(bytes[0] % 24)]
            .iter()
            .map(|b| pieces[usize::from(*b) % pieces.len()])
            .collect();
        match Filter::parse(&text, FIELDS, Reason::FilterInvalid) {
            Ok(filter) => drop(filter.matches(&subject())),
            Err(refusal) => assert_eq!(refusal.message.lines().count(), 3, "{text:?}\n{}", refusal.message),
        }
    }
}
