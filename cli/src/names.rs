//! Resource names, and the shorter forms that people type.

use std::str::FromStr;

/// `devices/{id}` from `id` or `devices/id`; likewise for every collection.
pub fn full(collection: &str, given: &str) -> String {
    match given.strip_prefix(collection).and_then(|rest| rest.strip_prefix('/')) {
        Some(_) => given.to_owned(),
        None => format!("{collection}/{given}"),
    }
}

/// `releases/{product}/{version}` from that, from `product/version`, or from a bare version of the
/// product that `release publish` uses when none is named.
pub fn release(given: &str) -> String {
    let short = given.strip_prefix("releases/").unwrap_or(given);
    match short.contains('/') {
        true => format!("releases/{short}"),
        false => format!("releases/{}/{short}", crate::args::DEFAULT_PRODUCT),
    }
}

/// What follows the collection: the form people read and type.
pub fn short(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, rest)| rest)
}

/// Whether a device can have this id.
///
/// # Errors
/// What ids are made of.
pub fn check_device_id(text: &str) -> Result<(), String> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let fits = text.len() <= 63
        && text.bytes().next().is_some_and(is_plain)
        && text.bytes().all(|b| is_plain(b) || matches!(b, b'-' | b'_' | b'.'));
    if fits {
        return Ok(());
    }
    let rule = "use 1 to 63 of a-z, 0-9, '-', '_' and '.', the first a letter or digit";
    Err(format!("{text:?} cannot be the id of a device: {rule}"))
}

/// `key=value`, as labels are given.
///
/// # Errors
/// A text without `=` or without a key.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not a label; write for example site=north")),
    }
}

/// A count.
///
/// # Errors
/// Anything else.
pub fn whole<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "it has to be a whole number, 0 or more".into())
}

/// A count that has to be at least one.
///
/// # Errors
/// Anything else.
pub fn one_or_more<N: FromStr + Default + PartialEq>(text: &str) -> Result<N, String> {
    match text.parse::<N>() {
        Ok(number) if number != N::default() => Ok(number),
        _ => Err("it has to be a whole number, 1 or more".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_start_at_one() {
        assert_eq!(one_or_more::<u32>("3"), Ok(3));
        for text in ["0", "-1", "", "1.5", "4294967296"] {
            assert!(one_or_more::<u32>(text).is_err(), "{text}");
        }
        assert_eq!((whole::<usize>("0"), whole::<u64>("x").is_err()), (Ok(0), true));
    }

    #[test]
    fn short_forms_are_completed() {
        assert_eq!(full("devices", "pump-1"), "devices/pump-1");
        assert_eq!(full("devices", "devices/pump-1"), "devices/pump-1");
        assert_eq!(full("devices", "devices-1"), "devices/devices-1");
        assert_eq!(release("2.0.0"), "releases/default/2.0.0");
        assert_eq!(release("pump/2.0.0"), "releases/pump/2.0.0");
        assert_eq!(release("releases/pump/2.0.0"), "releases/pump/2.0.0");
        assert_eq!(short("releases/pump/2.0.0"), "pump/2.0.0");
        assert_eq!(key_value("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(key_value("=x").is_err());
    }
}
