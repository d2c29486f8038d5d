//! Versions of releases: read strictly, ordered as semantic versions are.
//!
//! The order is for people and for "is this newer": what a device enforces is the release counter.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::limits::NAME_BYTES;

/// `MAJOR.MINOR[.PATCH][-PRE][+BUILD]`, at most 63 bytes. Prints as it was written.
///
/// Equality is equality of the text; versions that differ only in spelling (`1.0`, `1.0.0`) or in
/// build metadata compare by the text last, so that the order is total.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    text: String,
    numbers: [u64; 3],
    /// Byte range of the pre-release within `text`; empty when there is none.
    pre: (usize, usize),
}

/// What is wrong with a version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VersionError {
    /// Nothing there, or more than 63 bytes.
    #[error("a version has 1 to 63 characters")]
    Length,
    /// A character outside `A-Z a-z 0-9 . + -`.
    #[error("a version has only letters, digits, '.', '+' and '-', not {0:?}")]
    Character(char),
    /// Not two or three numbers.
    #[error("a version starts with MAJOR.MINOR or MAJOR.MINOR.PATCH, not {0:?}")]
    Numbers(String),
    /// A number with a leading zero or beyond 2^53 - 1.
    #[error("{0:?} in a version is not a plain number")]
    Number(String),
    /// An empty part after `-` or `+`, or between dots.
    #[error("a version has an empty part")]
    EmptyPart,
}

impl Version {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has a pre-release part.
    pub fn is_prerelease(&self) -> bool {
        self.pre.0 != self.pre.1
    }

    /// Whether people would call it newer. Versions that differ in spelling (`5.0`, `5.0.0`) or in build
    /// metadata alone are the same one to them, although the order puts one before the other.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.precedence(other).is_gt()
    }

    fn precedence(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| compare_pre(self.pre(), other.pre()))
    }

    fn pre(&self) -> &str {
        &self.text[self.pre.0..self.pre.1]
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        if text.is_empty() || text.len() > NAME_BYTES {
            return Err(VersionError::Length);
        }
        let strange = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-'));
        if let Some(c) = text.chars().find(strange) {
            return Err(VersionError::Character(c));
        }
        let (rest, build) = split(text, '+');
        let (core, pre) = split(rest, '-');
        for part in [pre, build].into_iter().flatten() {
            if part.split('.').any(str::is_empty) {
                return Err(VersionError::EmptyPart);
            }
        }
        let fields: Vec<&str> = core.split('.').collect();
        if !(2..=3).contains(&fields.len()) {
            return Err(VersionError::Numbers(core.to_owned()));
        }
        let mut numbers = [0; 3];
        for (number, field) in numbers.iter_mut().zip(&fields) {
            *number = plain_number(field).ok_or_else(|| VersionError::Number((*field).to_owned()))?;
        }
        let pre = pre.map_or((0, 0), |pre| (core.len() + 1, core.len() + 1 + pre.len()));
        Ok(Self { text: text.to_owned(), numbers, pre })
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn plain_number(field: &str) -> Option<u64> {
    let digits = !field.is_empty() && field.bytes().all(|b| b.is_ascii_digit());
    if !digits || (field.len() > 1 && field.starts_with('0')) {
        return None;
    }
    field.parse().ok().filter(|n| *n <= crate::limits::INTEGER)
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.precedence(other).then_with(|| self.text.cmp(&other.text))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Semantic versioning, rule 11: no pre-release is later than any; numbers by value and before words.
fn compare_pre(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => match (x.parse::<u64>(), y.parse::<u64>()) {
                (Ok(m), Ok(n)) => m.cmp(&n),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => x.cmp(y),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_as_semantic_versions() {
        let ascending = [
            "0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0",
            "1.0.0",
            "1.0.0+build.5",
            "1.0.1",
            "1.2",
            "1.10",
            "2.0-rc1",
            "2.0",
        ];
        let parsed: Vec<Version> = ascending.iter().map(|text| text.parse().expect(text)).collect();
        assert!(parsed.is_sorted(), "{parsed:?}");
        assert!(parsed.iter().zip(&ascending).all(|(version, text)| version.to_string() == *text));
    }

    #[test]
    fn another_spelling_is_not_newer() {
        let newer = |a: &str, b: &str| {
            let [a, b] = [a, b].map(|text| text.parse::<Version>().expect(text));
            a.is_newer_than(&b)
        };
        for (a, b) in
            [("5.0.0", "5.0"), ("5.0", "5.0.0"), ("5.0.0+b2", "5.0.0+b1"), ("5.0", "5.0"), ("5.0-rc1", "5.0")]
        {
            assert!(!newer(a, b), "{a} {b}");
        }
        for (a, b) in [("5.0.1", "5.0"), ("5.0", "5.0.0-rc1"), ("5.0.0-rc2", "5.0-rc1")] {
            assert!(newer(a, b), "{a} {b}");
        }
    }

    #[test]
    fn refuses_ambiguity() {
        let long = format!("1.0-{}", "x".repeat(60));
        for bad in [
            "",
            "1",
            "1.",
            ".1",
            "1.2.3.4",
            "v1.0",
            "01.2",
            "1.02",
            "1.0-",
            "1.0-a..b",
            "1.0+",
            "1.0 ",
            "1.0/2",
            "1.-1",
            "1.0\u{e9}",
            "1.99999999999999999999",
            &long,
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad:?}");
        }
    }
}
