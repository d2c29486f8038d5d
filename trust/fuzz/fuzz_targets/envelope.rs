//! An envelope: its signatures are counted, whatever they are.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_trust::limits;
use slipway_trust::repo::add_signature;
use slipway_trust::signed::Envelope;
use slipway_trust_fuzz::{authority, repository};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = Envelope::parse("input", bytes, limits::TARGETS_BYTES) {
        let authority = authority();
        assert!(envelope.count(authority) <= authority.public_keys().len());
        assert_eq!(envelope.verify(authority).is_ok(), envelope.count(authority) >= authority.threshold());
    }
    let key = &repository().keys.stranger;
    if let Ok(signed) = add_signature(bytes, key) {
        // Nothing is signed that cannot be read again, or a ceremony would end in a file that nobody takes.
        assert!(Envelope::parse("the same", &signed, usize::MAX).is_ok());
    }
});
