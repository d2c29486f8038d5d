//! What a filter may name, and what can stand there: a value that never can is a mistake to be
//! told, not a list without anything in it.

use slipway_trust::{Date, Version};

use super::{Test, equals};
use crate::model::text::quoted;

/// A field that a filter may name. One whose name ends in `.` is a map (`labels.`), of which any
/// key may be named.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub(super) name: &'static str,
    holds: Holds,
}

#[derive(Clone, Copy, Debug)]
enum Holds {
    Text,
    Version,
    Number,
    Time,
    Words(fn() -> Vec<&'static str>),
    Set,
    SetOf(fn() -> Vec<&'static str>),
}

/// What cannot be compared with a field, and what can.
pub(super) struct Mismatch {
    pub problem: String,
    pub hint: String,
}

impl Field {
    /// Any text; numbers in it compare as numbers.
    pub const fn text(name: &'static str) -> Self {
        Field { name, holds: Holds::Text }
    }

    /// The version of a release.
    pub const fn version(name: &'static str) -> Self {
        Field { name, holds: Holds::Version }
    }

    /// A whole number.
    pub const fn number(name: &'static str) -> Self {
        Field { name, holds: Holds::Number }
    }

    /// A moment, as `2026-11-22T14:03:05Z`.
    pub const fn time(name: &'static str) -> Self {
        Field { name, holds: Holds::Time }
    }

    /// One of some words, which have no order.
    pub const fn words(name: &'static str, words: fn() -> Vec<&'static str>) -> Self {
        Field { name, holds: Holds::Words(words) }
    }

    /// Several words at once, asked for one by one with `:`.
    pub const fn set(name: &'static str) -> Self {
        Field { name, holds: Holds::Set }
    }

    /// Several of these words at once.
    pub const fn set_of(name: &'static str, words: fn() -> Vec<&'static str>) -> Self {
        Field { name, holds: Holds::SetOf(words) }
    }

    /// Whether it is one that holds several words.
    pub(super) fn is_set(&self) -> bool {
        matches!(self.holds, Holds::Set | Holds::SetOf(..))
    }

    /// Whether `path` names it.
    pub(super) fn is_named(&self, path: &str) -> bool {
        match self.name.ends_with('.') {
            true => path.strip_prefix(self.name).is_some_and(|key| !key.is_empty()),
            false => self.name == path,
        }
    }

    /// The value as it is compared with the field, or why it cannot be.
    pub(super) fn check(&self, test: Test, value: String) -> Result<String, Mismatch> {
        let name = self.name;
        let is_order = !matches!(test, Test::Equal | Test::NotEqual | Test::Has);
        let refuse = |problem: String, hint: String| Err(Mismatch { problem, hint });
        match self.holds {
            Holds::Text => Ok(value),
            Holds::Set if test == Test::Has => Ok(value),
            Holds::SetOf(words) if test == Test::Has => {
                let words = words();
                if words.iter().any(|word| equals(word, &value)) {
                    return Ok(value);
                }
                let allowed = words.join(", ");
                refuse(
                    format!("{name} is never {}: it is one of {allowed}", quoted(&value)),
                    format!("write {name}: and one of: {allowed}"),
                )
            }
            Holds::Set | Holds::SetOf(..) => refuse(
                format!("{name} may hold several words at once"),
                format!("ask whether one of them is there, such as {name}:{value}, or NOT {name}:{value}"),
            ),
            Holds::Version if is_order && value.parse::<Version>().is_err() => refuse(
                format!("{} is not a version", quoted(&value)),
                format!("write {name} and a version with two or three numbers, such as {name} >= 2.0"),
            ),
            Holds::Version => Ok(value),
            Holds::Number if value == "*" && !is_order => Ok(value),
            Holds::Number => match value.parse::<i64>() {
                Ok(number) => Ok(number.to_string()),
                Err(_) => refuse(
                    format!("{} is not a whole number", quoted(&value)),
                    format!("compare {name} with a number, such as {name} = 1"),
                ),
            },
            Holds::Time if value == "*" && !is_order => Ok(value),
            Holds::Time => moment(test, &value).ok_or_else(|| Mismatch {
                problem: format!("{} is not a time", quoted(&value)),
                hint: format!(
                    "compare {name} with a day or a moment in UTC, such as {name} >= \"2026-11-01\" or {name} < \
                     \"2026-11-01T14:00:00Z\""
                ),
            }),
            Holds::Words(words) => {
                let words = words();
                let is_one = |word: &&str| match test {
                    Test::Has => value == "*" || word.contains(&value),
                    _ => equals(word, &value),
                };
                let allowed = words.join(", ");
                if is_order {
                    let hint = format!("write {name} = or != and one of: {allowed}");
                    return refuse(format!("{name} has no order"), hint);
                }
                if words.iter().any(is_one) {
                    return Ok(value);
                }
                refuse(
                    format!("{name} is never {}: it is one of {allowed}", quoted(&value)),
                    format!("write {name} and one of: {allowed}"),
                )
            }
        }
    }
}

/// A moment, or a day, as it is compared with moments. A day is from its first second to its last: `<=` and
/// `>` mean its end, `=` any moment of it.
fn moment(test: Test, value: &str) -> Option<String> {
    // Lists show a blank between day and time.
    let text = value.replacen(' ', "T", 1);
    if text.parse::<Date>().is_ok() {
        return Some(text);
    }
    let day = text.strip_suffix('*').unwrap_or(&text);
    let first: Date = format!("{day}T00:00:00Z").parse().ok()?;
    Some(match test {
        Test::Less | Test::GreaterOrEqual => first.to_string(),
        Test::Greater | Test::LessOrEqual => format!("{day}T23:59:59Z"),
        Test::Equal | Test::NotEqual => format!("{day}*"),
        Test::Has | Test::HasWord => day.to_owned(),
    })
}
