//! Ids: how they are minted and what they may look like.

use std::fmt::Write as _;

use crate::model::time::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Mints an id that sorts by time: 9 characters of `now`, 11 random ones, in Crockford's base 32.
pub fn mint(now: Timestamp, random: [u8; 8]) -> String {
    let mut id = String::with_capacity(20);
    let time = now.millis().max(0).unsigned_abs();
    for shift in (0..9).rev() {
        push(&mut id, time >> (shift * 5));
    }
    let mut rest = u64::from_le_bytes(random);
    for _ in 0..11 {
        push(&mut id, rest);
        rest >>= 5;
    }
    id
}

fn push(id: &mut String, bits: u64) {
    id.push(char::from(ALPHABET[usize::try_from(bits & 31).unwrap_or(0)]));
}

/// Whether `id` may name a device: 1 to 63 of a-z, 0-9, '-', '_', '.', the first a letter or digit.
pub fn is_device_id(id: &str) -> bool {
    let first = id.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    first
        && id.len() <= 63
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'))
}

/// Whether `id` has the form of one that was minted here, whoever says it.
pub fn is_plain(id: &str) -> bool {
    id.len() == 20 && id.bytes().all(|b| ALPHABET.contains(&b))
}

/// The id within a resource name such as `devices/pump-1`; none when the name is of another collection.
pub fn within<'a>(collection: &str, name: &'a str) -> Option<&'a str> {
    let id = name.strip_prefix(collection)?.strip_prefix('/')?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_ids_sort_later() {
        let early = mint(Timestamp::from_millis(1_700_000_000_000), [0xff; 8]);
        let late = mint(Timestamp::from_millis(1_700_000_000_001), [0; 8]);
        assert!(early < late, "{early} {late}");
        assert!(
            is_plain(&early) && !is_plain("") && !is_plain(&early.to_uppercase()) && !is_plain(&early[1..])
        );
    }

    #[test]
    fn device_ids() {
        for good in ["a", "pump-1", "0a.b_c", &"x".repeat(63)] {
            assert!(is_device_id(good), "{good}");
        }
        for bad in ["", "-a", "Pump", "a/b", "a b", "ä", &"x".repeat(64)] {
            assert!(!is_device_id(bad), "{bad}");
        }
    }

    #[test]
    fn names_of_other_collections_are_refused() {
        assert_eq!(within("devices", "devices/a"), Some("a"));
        for bad in ["devices", "devices/", "device/a", "devices/a/b", "rollouts/a"] {
            assert_eq!(within("devices", bad), None, "{bad}");
        }
    }
}
