//! Two versions: each prints as it was read, and they have one order.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_trust::Version;

fuzz_target!(|text: &str| {
    let (one, two) = text.split_once('\n').unwrap_or((text, text));
    let (Ok(one), Ok(two)) = (one.parse::<Version>(), two.parse::<Version>()) else { return };
    assert_eq!(one.as_str().parse(), Ok(one.clone()));
    assert!(!one.is_newer_than(&one));
    assert!(!(one.is_newer_than(&two) && two.is_newer_than(&one)));
});
