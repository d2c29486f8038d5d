//! Digests and public keys in hex: one spelling each.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_trust::{PublicKey, Sha256};

fuzz_target!(|text: &str| {
    if let Ok(digest) = text.parse::<Sha256>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string(), text);
        // Rarely a point of the curve: a key that is none verifies nothing, and says so calmly.
        let _ = key.verify(text.as_bytes(), &[0; 64]);
    }
});
