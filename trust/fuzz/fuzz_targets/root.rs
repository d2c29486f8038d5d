//! A root file: as a document, as the first root, and as the one that follows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_trust::repo::Body as _;
use slipway_trust::{Root, TrustedSet};
use slipway_trust_fuzz::{again, device};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(root) = Root::parse(bytes) {
        again(root.to_json(), |bytes| Ok(Root::parse(bytes)?.to_json()));
    }
    let _ = TrustedSet::from_root(bytes);
    let _ = device().update_root(bytes);
});
