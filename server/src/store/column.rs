//! Columns that hold more than a number or a text, read with an error that names the place.

use serde::{Serialize, de::DeserializeOwned};
use slipway_trust::Sha256;

use super::StoreError;
use crate::model::text::shown;

/// A row's place, for errors.
pub(super) struct Place<'a> {
    pub table: &'static str,
    pub id: &'a str,
}

impl Place<'_> {
    /// The error that says what stands in `column`.
    pub fn inconsistent(&self, column: &'static str, value: impl ToString) -> StoreError {
        StoreError::Inconsistent {
            table: self.table,
            column,
            id: self.id.to_owned(),
            value: shown(&value.to_string()),
        }
    }

    /// A digest of 32 bytes.
    pub fn digest(&self, column: &'static str, bytes: &[u8]) -> Result<Sha256, StoreError> {
        Sha256::try_from(bytes).map_err(|_| self.inconsistent(column, format!("{} bytes", bytes.len())))
    }

    /// JSON text.
    pub fn json<T: DeserializeOwned>(&self, column: &'static str, text: &str) -> Result<T, StoreError> {
        serde_json::from_str(text).map_err(|_| self.inconsistent(column, text))
    }

    /// A number that must fit a narrower type.
    pub fn number<T: TryFrom<i64>>(&self, column: &'static str, value: i64) -> Result<T, StoreError> {
        T::try_from(value).map_err(|_| self.inconsistent(column, value))
    }

    /// A word of a fixed vocabulary.
    pub fn word<T>(&self, column: &'static str, text: &str, parsed: Option<T>) -> Result<T, StoreError> {
        parsed.ok_or_else(|| self.inconsistent(column, text))
    }
}

/// JSON text of a value whose keys are strings.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    // Maps with string keys, lists and plain structs always serialize.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}
