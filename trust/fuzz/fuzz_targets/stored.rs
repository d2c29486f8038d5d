//! Stored files of every kind at once, as a medium that fails may leave them: no obstacle to a start.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_trust::fake::{DEVICE, PRODUCT};
use slipway_trust::{Stored, TrustedSet};
use slipway_trust_fuzz::{NOW, repository};

fuzz_target!(|files: (&[u8], &[u8], &[u8], &[u8], &[u8])| {
    let (timestamp, snapshot, targets, product, assignment) = files;
    let stored = Stored {
        timestamp: Some(timestamp),
        snapshot: Some(snapshot),
        targets: Some(targets),
        products: &[(PRODUCT, product)],
        assignment: Some(assignment),
    };
    let root = &repository().repository.roots[0];
    let (set, _) = TrustedSet::load(root, stored, DEVICE).expect("only a bad root is an obstacle");
    let _ = set.assigned(PRODUCT, DEVICE, NOW);
});
