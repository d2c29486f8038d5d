//! Filters and selectors: a subset of the filter language of AIP-160.
//!
//! `labels.site = "north" AND (hardware = gw-a OR hardware = gw-b) AND NOT version >= 2.0`
//!
//! - `AND`, `OR`, `NOT`, parentheses. As in AIP-160, `OR` binds tighter than `AND`.
//! - `=` and `!=`, with `*` at either end of the value as a wildcard; `!=` is the opposite of `=`,
//!   so it also holds for a field that is absent.
//! - `<`, `<=`, `>`, `>=`: versions as versions, numbers as numbers, anything else by bytes; never
//!   for a field that is absent.
//! - A field that holds one of some words, or numbers, is compared with nothing else.
//! - `field:text` when the field contains the text, `field:*` when it is there at all. Of a field that
//!   holds several words, `field:word` when one of them is the word, wildcards allowed.
//!
//! Matching is a walk over a small tree: no backtracking, nothing that grows with the value.

use std::{borrow::Cow, cmp::Ordering, fmt};

use slipway_trust::Version;

use super::refusal::{Reason, Refusal};

mod field;
mod parse;
#[cfg(test)]
mod tests;

pub use field::Field;

/// Longest filter, in bytes: what fits a command line and is still read by a person.
pub const MAX_LENGTH: usize = 2048;
/// Most nested parentheses and NOTs: more is a generated filter, and the walk is recursive.
pub const MAX_DEPTH: usize = 16;
/// Most comparisons: a check-in walks all of them for each rollout.
pub const MAX_TERMS: usize = 64;

/// What a filter is asked about.
pub trait Subject {
    /// The value of the field with this path, for example `id` or `labels.site`; none when absent.
    fn field(&self, path: &str) -> Option<Cow<'_, str>>;

    /// Whether one of the words of the field with this path, which holds several, passes the test.
    fn any(&self, _path: &str, _test: &dyn Fn(&str) -> bool) -> bool {
        false
    }
}

/// A parsed filter. The empty one matches everything.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    text: String,
    root: Option<Node>,
}

#[derive(Clone, Debug)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Compare { path: String, test: Test, value: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Has,
    /// Of a field that holds several words.
    HasWord,
}

impl Filter {
    /// Reads `text`. `allowed` lists the fields. What is wrong, or can never be, is refused with
    /// `reason` and a caret under the column.
    pub fn parse(text: &str, allowed: &[Field], reason: Reason) -> Result<Self, Refusal> {
        let root = parse::parse(text, allowed).map_err(|fault| fault.refusal(text, allowed, reason))?;
        Ok(Filter { text: text.to_owned(), root })
    }

    /// Whether the subject passes.
    pub fn matches(&self, subject: &impl Subject) -> bool {
        self.root.as_ref().is_none_or(|root| root.matches(subject))
    }

    /// Whether it matches everything because nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Whether whatever passes has one of the values that stand in it for this field, which is how somebody is named
    /// rather than described.
    pub fn names(&self, field: &str) -> bool {
        self.root.as_ref().is_some_and(|root| root.names(field))
    }

    /// Whether it asks for this field, whatever for.
    pub fn asks(&self, field: &str) -> bool {
        self.root.as_ref().is_some_and(|root| root.asks(field))
    }

    /// The words that it asks for of a field that holds several.
    pub fn words(&self, field: &str) -> Vec<&str> {
        let mut words = Vec::new();
        if let Some(root) = &self.root {
            root.words(field, &mut words);
        }
        words
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Node {
    fn names(&self, field: &str) -> bool {
        match self {
            Node::All(nodes) => nodes.iter().any(|node| node.names(field)),
            Node::Any(nodes) => !nodes.is_empty() && nodes.iter().all(|node| node.names(field)),
            Node::Not(_) => false,
            Node::Compare { path, test, value } => {
                path == field && *test == Test::Equal && !value.starts_with('*') && !value.ends_with('*')
            }
        }
    }

    fn asks(&self, field: &str) -> bool {
        match self {
            Node::All(nodes) | Node::Any(nodes) => nodes.iter().any(|node| node.asks(field)),
            Node::Not(node) => node.asks(field),
            Node::Compare { path, .. } => path == field,
        }
    }

    fn words<'a>(&'a self, field: &str, words: &mut Vec<&'a str>) {
        match self {
            Node::All(nodes) | Node::Any(nodes) => nodes.iter().for_each(|node| node.words(field, words)),
            Node::Not(node) => node.words(field, words),
            Node::Compare { path, test: Test::HasWord, value } if path == field => words.push(value),
            Node::Compare { .. } => {}
        }
    }

    fn matches(&self, subject: &impl Subject) -> bool {
        match self {
            Node::All(nodes) => nodes.iter().all(|node| node.matches(subject)),
            Node::Any(nodes) => nodes.iter().any(|node| node.matches(subject)),
            Node::Not(node) => !node.matches(subject),
            Node::Compare { path, test: Test::HasWord, value } => {
                subject.any(path, &|word| equals(word, value))
            }
            Node::Compare { path, test, value } => match subject.field(path) {
                Some(field) => test.holds(&field, value),
                None => *test == Test::NotEqual,
            },
        }
    }
}

impl Test {
    fn holds(self, field: &str, value: &str) -> bool {
        match self {
            Test::Equal => equals(field, value),
            Test::NotEqual => !equals(field, value),
            Test::Less => compare(field, value).is_lt(),
            Test::LessOrEqual => compare(field, value).is_le(),
            Test::Greater => compare(field, value).is_gt(),
            Test::GreaterOrEqual => compare(field, value).is_ge(),
            Test::HasWord => equals(field, value),
            Test::Has => value == "*" || field.contains(value),
        }
    }
}

/// Whether a word is the one that was asked for, which may have `*` at either end.
pub fn equals(field: &str, value: &str) -> bool {
    match (value.strip_prefix('*'), value.strip_suffix('*')) {
        (Some(""), _) => true,
        (Some(end), Some(_)) => field.contains(end.strip_suffix('*').unwrap_or(end)),
        (Some(end), None) => field.ends_with(end),
        (None, Some(start)) => field.starts_with(start),
        (None, None) => field == value,
    }
}

fn compare(field: &str, value: &str) -> Ordering {
    if let (Ok(field), Ok(value)) = (field.parse::<Version>(), value.parse::<Version>()) {
        return field.cmp(&value);
    }
    match (field.parse::<f64>(), value.parse::<f64>()) {
        (Ok(field), Ok(value)) => field.total_cmp(&value),
        _ => field.cmp(value),
    }
}
