//! Canonical JSON as TUF signs it (the OLPC form): keys sorted, no spaces, integers only, strings
//! with nothing escaped but `"` and `\`.
//!
//! Documents are read once, strictly, into a [`Value`]; the canonical bytes and the typed bodies
//! are both made from that value, so that there is a single reading of a document.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::limits;

/// Why bytes are no document, or a value has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CanonError {
    /// Not JSON, or JSON with a duplicate key, a float, an integer beyond 2^53 - 1, too deep or too dense.
    #[error("{0}")]
    Json(String),
    /// A number with a fraction or beyond 2^53 - 1.
    #[error("the number {0} is not an integer of at most 2^53 - 1")]
    Number(String),
    /// Nested deeper than the limit.
    #[error("nested deeper than {}", limits::JSON_DEPTH)]
    Depth,
}

/// Reads JSON strictly: duplicate keys, floats, integers beyond 2^53 - 1, nesting beyond the limit, more
/// values than documents of this length have, and anything after the value are errors.
pub fn parse(bytes: &[u8]) -> Result<Value, CanonError> {
    let left = Cell::new(limits::JSON_VALUES + bytes.len() / limits::JSON_BYTES_PER_VALUE);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { left: &left }.deserialize(&mut reader);
    value.and_then(|value| reader.end().map(|()| value)).map_err(|error| CanonError::Json(error.to_string()))
}

/// The canonical bytes of a value: what is signed.
pub fn to_bytes(value: &Value) -> Result<Vec<u8>, CanonError> {
    let mut bytes = Vec::new();
    write(value, 0, write_string, &mut bytes)?;
    Ok(bytes)
}

/// A value as a file. The canonical form, but for control characters: JSON escapes them, the canonical
/// form does not, and so is not always JSON.
pub fn to_file(value: &Value) -> Result<Vec<u8>, CanonError> {
    let mut bytes = Vec::new();
    write(value, 0, write_json_string, &mut bytes)?;
    Ok(bytes)
}

fn write(
    value: &Value,
    depth: usize,
    string: fn(&str, &mut Vec<u8>),
    out: &mut Vec<u8>,
) -> Result<(), CanonError> {
    if depth > limits::JSON_DEPTH {
        return Err(CanonError::Depth);
    }
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            let fits = match (number.as_u64(), number.as_i64()) {
                (Some(n), _) => n <= limits::INTEGER,
                (None, Some(n)) => n.unsigned_abs() <= limits::INTEGER,
                (None, None) => false,
            };
            if !fits {
                return Err(CanonError::Number(number.to_string()));
            }
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, depth + 1, string, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            // Sorted here, whatever the map: a feature of serde_json elsewhere may keep file order.
            let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| *key);
            out.push(b'{');
            for (index, (key, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                string(key, out);
                out.push(b':');
                write(member, depth + 1, string, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn write_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..b' ' => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// A value read without the liberties that `serde_json::Value` takes. Depth is bounded by the
/// recursion limit of `serde_json`, which equals [`limits::JSON_DEPTH`].
#[derive(Clone, Copy)]
struct Strict<'a> {
    /// Values that may still come.
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(D::Error::custom("more values than documents of this length have"));
        };
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with unique keys and integers of at most 2^53 - 1")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        if value > limits::INTEGER {
            return Err(E::custom(format_args!("the integer {value} is beyond 2^53 - 1")));
        }
        Ok(value.into())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() > limits::INTEGER {
            return Err(E::custom(format_args!("the integer {value} is beyond 2^53 - 1")));
        }
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Err(E::custom(format_args!("{value:?} is not an integer of at most 2^53 - 1")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} appears twice")));
            }
            let member = members.next_value_seed(self)?;
            map.insert(key, member);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Result<String, CanonError> {
        let bytes = to_bytes(&parse(text.as_bytes())?)?;
        Ok(String::from_utf8(bytes).expect("canonical JSON of UTF-8 is UTF-8"))
    }

    #[test]
    fn one_form() {
        for (text, expected) in [
            ("{ \"b\" : 1, \"a\" : [ true, null, -7 ] }", "{\"a\":[true,null,-7],\"b\":1}"),
            ("\"a\\u0041\\n\\\"\\\\\\/\"", "\"aA\n\\\"\\\\/\""),
            ("{\"\u{e9}\":1,\"z\":2}", "{\"z\":2,\"\u{e9}\":1}"),
            ("9007199254740991", "9007199254740991"),
            ("-9007199254740991", "-9007199254740991"),
            ("{}", "{}"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_implementations_disagree_about() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let deep_objects = "{\"a\":".repeat(10_000);
        for bad in [
            "",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "1.0",
            "1e3",
            "-0",
            "0.5",
            "9007199254740992",
            "-9007199254740992",
            "99999999999999999999999",
            "NaN",
            "Infinity",
            "\u{feff}{}",
            "{} x",
            "{}{}",
            "[1,]",
            "'a'",
            "01",
            "\"\\ud800\"",
            "\"\n\"",
            &deep,
            &deep_objects,
        ] {
            assert!(canonical(bad).is_err(), "{:.40}", bad);
        }
        assert!(parse(b"\"\xff\"").is_err());
        // Thirty times as large in memory as it is long.
        let dense = |values: usize| format!("[0{}]", ",[]".repeat(values));
        assert!(parse(dense(1000).as_bytes()).is_ok() && parse(dense(100_000).as_bytes()).is_err());
        let long = format!("[\"{}\"{}]", "x".repeat(40_000), ",1".repeat(3_000));
        assert!(parse(long.as_bytes()).is_ok(), "what is long may have more");
        assert!(parse(b"{}\0").is_err());
    }
}
