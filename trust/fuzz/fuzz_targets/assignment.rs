//! An assignment.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_trust::Assignment;
use slipway_trust::fake::DEVICE;
use slipway_trust::repo::Body as _;
use slipway_trust_fuzz::{NOW, again, device};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(assignment) = Assignment::parse(bytes) {
        again(assignment.to_json(), |bytes| Ok(Assignment::parse(bytes)?.to_json()));
    }
    let _ = device().update_assignment(DEVICE, bytes, NOW);
});
