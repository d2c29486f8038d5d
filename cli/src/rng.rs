//! Randomness: keys, request ids and the jitter of retries. Nothing else in this crate draws any.

use rand::{RngExt as _, rngs::StdRng};
use zeroize::Zeroizing;

/// A generator seeded by the operating system.
pub fn seeded() -> StdRng {
    #[expect(clippy::disallowed_methods, reason = "the one place that seeds")]
    rand::make_rng()
}

/// An id that makes repeating a request harmless: 32 hexadecimal digits.
pub fn request_id() -> String {
    let id: u128 = seeded().random();
    format!("{id:032x}")
}

/// A fraction from 0 to 1, for jitter.
pub fn fraction() -> f64 {
    seeded().random()
}

/// The seed of a new key; wiped when dropped.
pub fn key_seed() -> Zeroizing<[u8; 32]> {
    Zeroizing::new(seeded().random())
}

/// Salt and nonce for an encrypted key file; no secret.
pub fn salt() -> [u8; 32] {
    seeded().random()
}
