//! Reading fields out of a JSON object with errors that say where.

use serde_json::{Map, Value};

use crate::date::Date;
use crate::digest::Sha256;
use crate::error::Error;

/// The hash algorithm that this crate verifies with, as `hashes` names it.
pub(crate) const SHA256: &str = "sha256";

/// One object of a document, and the path that led to it.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    document: &'a str,
    path: &'a str,
    value: &'a Value,
    members: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// `value` as an object; `path` is where it stands in the document, empty at the top.
    pub(crate) fn of(document: &'a str, path: &'a str, value: &'a Value) -> Result<Self, Error> {
        match value {
            Value::Object(members) => Ok(Self { document, path, value, members }),
            _ => Err(Error::Field {
                document: document.to_owned(),
                field: if path.is_empty() { "it".to_owned() } else { path.to_owned() },
                problem: "is not an object".to_owned(),
            }),
        }
    }

    pub(crate) fn document(&self) -> &'a str {
        self.document
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.members.iter()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name)
    }

    pub(crate) fn error(&self, name: &str, problem: impl Into<String>) -> Error {
        let field = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Error::Field { document: self.document.to_owned(), field, problem: problem.into() }
    }

    fn need(&self, name: &str) -> Result<&'a Value, Error> {
        self.get(name).ok_or_else(|| self.error(name, "is missing"))
    }

    pub(crate) fn string(&self, name: &str) -> Result<&'a str, Error> {
        self.need(name)?.as_str().ok_or_else(|| self.error(name, "is not a string"))
    }

    pub(crate) fn bool(&self, name: &str) -> Result<bool, Error> {
        self.need(name)?.as_bool().ok_or_else(|| self.error(name, "is not true or false"))
    }

    pub(crate) fn integer(&self, name: &str) -> Result<u64, Error> {
        self.need(name)?.as_u64().ok_or_else(|| self.error(name, "is not a whole number"))
    }

    /// Versions start at 1.
    pub(crate) fn version(&self, name: &str) -> Result<u64, Error> {
        match self.integer(name)? {
            0 => Err(self.error(name, "is 0; versions start at 1")),
            version => Ok(version),
        }
    }

    pub(crate) fn date(&self, name: &str) -> Result<Date, Error> {
        self.string(name)?.parse().map_err(|error| self.error(name, format!("is no date: {error}")))
    }

    pub(crate) fn optional_date(&self, name: &str) -> Result<Option<Date>, Error> {
        self.get(name).map(|_| self.date(name)).transpose()
    }

    pub(crate) fn array(&self, name: &str) -> Result<&'a [Value], Error> {
        self.need(name)?.as_array().map(Vec::as_slice).ok_or_else(|| self.error(name, "is not a list"))
    }

    pub(crate) fn object(&self, name: &'a str) -> Result<Fields<'a>, Error> {
        match self.need(name)? {
            value @ Value::Object(_) => Fields::of(self.document, name, value),
            _ => Err(self.error(name, "is not an object")),
        }
    }

    pub(crate) fn strings(&self, name: &str) -> Result<Vec<&'a str>, Error> {
        let not_strings = || self.error(name, "is not a list of strings");
        self.array(name)?.iter().map(|item| item.as_str().ok_or_else(not_strings)).collect()
    }

    /// The SHA-256 of a `hashes` object; other algorithms are left to those who know them.
    pub(crate) fn sha256(&self) -> Result<Sha256, Error> {
        self.object("hashes")?
            .string(SHA256)?
            .parse()
            .map_err(|error| self.error("hashes.sha256", format!("is no digest: {error}")))
    }
}
