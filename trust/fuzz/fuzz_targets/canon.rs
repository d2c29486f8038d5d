//! Canonical JSON: one form, whatever the spelling, and the form is its own form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_trust::canon;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = canon::parse(bytes) {
        // Strings keep their control characters in the canonical form, so it is not always JSON again.
        let form = canon::to_bytes(&value).expect("what was read has a form");
        if let Ok(again) = canon::parse(&form) {
            assert_eq!(again, value);
            assert_eq!(canon::to_bytes(&again).as_ref(), Ok(&form));
        }
    }
});
