//! Target paths and product names, and the search for them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_trust::{Paths, product_name, target_path};
use slipway_trust_fuzz::device;

fuzz_target!(|text: &str| {
    let (path, pattern) = text.split_once('\n').unwrap_or((text, text));
    let _ = Paths::Patterns(vec![pattern.to_owned()]).matches(path);
    let _ = Paths::HashPrefixes(vec![pattern.to_owned()]).matches(path);
    let found = device().find(path).is_ok();
    assert_eq!(found, target_path(path).is_ok());
    if product_name(path).is_ok() {
        assert!(target_path(path).is_ok());
    }
});
