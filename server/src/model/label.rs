//! Labels: what operators say of a device. Trusted, and therefore what scopes and selectors use.

use std::collections::BTreeMap;

use super::{
    refusal::{Reason, Refusal},
    text::{is_hidden, quoted},
};

/// A device's labels, by key.
pub type Labels = BTreeMap<String, String>;

/// More is a database in disguise; every check-in carries them through the selectors.
pub const MAX_LABELS: usize = 64;
/// Longest key and longest value, in characters.
pub const MAX_LENGTH: usize = 63;

/// Checks a whole map; the refusal names the key, and `field` is where the map stands in the request.
pub fn check(labels: &Labels, field: &str) -> Result<(), Refusal> {
    if labels.len() > MAX_LABELS {
        return Err(Refusal::new(
            Reason::LabelInvalid,
            format!("{} labels are more than the {MAX_LABELS} a device can have", labels.len()),
            "keep what selectors and scopes need; the rest belongs into another system",
        )
        .field(field));
    }
    for (key, value) in labels {
        check_key(key).map_err(|refusal| refusal.field(format!("{field}.{key}")))?;
        check_value(key, value).map_err(|refusal| refusal.field(format!("{field}.{key}")))?;
    }
    Ok(())
}

/// Checks one key: 1 to 63 of a-z, A-Z, 0-9, '-', '_' and '.', the first a letter or digit.
pub fn check_key(key: &str) -> Result<(), Refusal> {
    let ok = key.len() <= MAX_LENGTH
        && key.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if ok {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::LabelInvalid,
        format!("{} cannot be the key of a label", quoted(key)),
        "use 1 to 63 of a-z, A-Z, 0-9, '-', '_' and '.', the first a letter or digit",
    ))
}

fn check_value(key: &str, value: &str) -> Result<(), Refusal> {
    let length = value.chars().count();
    if (1..=MAX_LENGTH).contains(&length) && !value.chars().any(is_hidden) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::LabelInvalid,
        format!("the label {key} cannot have the value {}", quoted(value)),
        "use 1 to 63 characters, all of which can be seen; to remove a label, leave it out",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(key: &str, value: &str) -> bool {
        check(&Labels::from([(key.to_owned(), value.to_owned())]), "labels").is_ok()
    }

    #[test]
    fn keys_and_values() {
        for (key, value) in [("site", "north"), ("a.b-c_D", "Zürich, Haus 3"), ("0", &"ä".repeat(63))] {
            assert!(verdict(key, value), "{key}={value}");
        }
        for (key, value) in [
            ("", "x"),
            ("-a", "x"),
            ("a b", "x"),
            ("a", ""),
            ("a", "x\n"),
            ("a", "x\u{202e}y"),
            ("a", "x\u{200b}"),
            ("a", &"x".repeat(64)),
        ] {
            assert!(!verdict(key, value), "{key}={value}");
        }
    }

    #[test]
    fn the_refusal_names_the_field() {
        let refusal =
            check(&Labels::from([("a b".to_owned(), "x".to_owned())]), "device.labels").unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("device.labels.a b"));
    }
}
