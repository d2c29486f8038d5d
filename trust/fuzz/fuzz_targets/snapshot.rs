//! A snapshot file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_trust::Snapshot;
use slipway_trust::repo::Body as _;
use slipway_trust_fuzz::{NOW, again, device};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(snapshot) = Snapshot::parse(bytes) {
        again(snapshot.to_json(), |bytes| Ok(Snapshot::parse(bytes)?.to_json()));
    }
    let _ = device().update_snapshot(bytes, NOW);
});
