//! A timestamp file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_trust::Timestamp;
use slipway_trust::repo::Body as _;
use slipway_trust_fuzz::{NOW, again, device};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(timestamp) = Timestamp::parse(bytes) {
        again(timestamp.to_json(), |bytes| Ok(Timestamp::parse(bytes)?.to_json()));
    }
    let _ = device().update_timestamp(bytes, NOW);
});
