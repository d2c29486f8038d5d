//! Project Wycheproof's cases for ed25519 against the one function that counts signatures: forged,
//! truncated, padded and malleated ones, and encodings that only a lenient verifier takes.

use slipway_trust::PublicKey;
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

/// How many there are: a set that shrank would prove less without a word.
const CASES: usize = 151;

/// Row 9.
#[test]
fn every_case_is_judged_as_the_vectors_say() {
    let set = TestSet::load(TestName::Ed25519).expect("the vectors are part of the crate");
    let (mut judged, mut accepted, mut wrong) = (0, 0, Vec::new());
    for group in &set.test_groups {
        let key: [u8; 32] = group.key.pk.as_slice().try_into().expect("an ed25519 key has 32 bytes");
        let key = PublicKey::from_bytes(key);
        for case in &group.tests {
            let valid = key.verify(&case.msg, &case.sig);
            if valid != (case.result == TestResult::Valid) {
                wrong.push(format!("case {} ({}): {valid}", case.tc_id, case.comment));
            }
            judged += 1;
            accepted += usize::from(valid);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(judged, CASES);
    assert!(accepted > 0 && accepted < judged, "{accepted} of {judged} are valid");
}
