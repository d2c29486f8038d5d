//! A date: one spelling each.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_trust::Date;

fuzz_target!(|text: &str| {
    if let Ok(date) = text.parse::<Date>() {
        assert_eq!(date.to_string(), text);
        assert_eq!(Date::from_unix(date.unix()), date);
    }
});
