//! A segment as it travels: it decodes to one thing, and that is no longer than a segment.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_payload::{DecodeError, SEGMENT_SIZE, check_frame};
use slipway_trust::Sha256;

fuzz_target!(|frame: &[u8]| {
    // Nobody finds bytes with this digest, so whatever decodes is said to be other bytes, and which.
    match check_frame(&Sha256::of(b"expected"), frame) {
        Ok(_) => panic!("a digest was met by chance"),
        Err(DecodeError::Digest { found, .. }) => match check_frame(&found, frame) {
            Ok(length) => assert!((1..=SEGMENT_SIZE).contains(&length)),
            Err(error) => assert_eq!(found, Sha256::of(b""), "only nothing is no segment: {error}"),
        },
        Err(_) => {}
    }
});
