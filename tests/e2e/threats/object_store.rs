//! Who can write to the object store, or speaks in its place, can give garbage and nothing else: length and digest of
//! every byte are signed by the publishers.

use std::fs;

use slipway_proto::v1::UpdateState;
use slipway_tests::fleet::Fleet;
use slipway_trust::Sha256;

use crate::steps::{
    MIB, assert_documented, assert_holds, assert_only_verified, end_of, noise, plan, reason_of, roll_out,
};

/// What is done to the stored segment 1 of release 2.0.0; what its refusal is called and says.
const WAYS: [(&str, &str, &str); 9] = [
    ("row 45: the segment that stands there in release 1.0.0", "SEGMENT_DIGEST_MISMATCH", "segment 1"),
    ("row 45: segment 0 of the same release", "SEGMENT_DIGEST_MISMATCH", "segment 1"),
    ("row 46: more behind the frame", "SEGMENT_", "segment 1"),
    ("row 46: 64 MiB more", "SEGMENT_UNAVAILABLE", "segment 1"),
    ("row 46: frames that unpack to 64 MiB", "SEGMENT_", "segment 1"),
    ("row 47: half of it", "SEGMENT_", "segment 1"),
    ("row 47: one bit", "SEGMENT_", "segment 1"),
    ("row 47: other bytes of the right length", "SEGMENT_DIGEST_MISMATCH", "segment 1"),
    ("row 47: nothing", "SEGMENT_", "segment 1"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_45_to_47_whatever_the_object_store_gives_instead_reaches_no_slot() {
    let factory = noise(9, MIB / 2);
    let mut fleet = Fleet::start(WAYS.len(), &factory, &["--check-in-interval", "1"], &[]);
    (0..WAYS.len()).for_each(|index| fleet.run_agent(index));
    let (first, second) = (noise(1, 2 * MIB), noise(2, 2 * MIB));
    fleet.publish(&first, "1.0.0");
    fleet.publish(&second, "2.0.0");
    let object = |bytes: &[u8]| fleet.data().join(format!("objects/segments/{}", Sha256::of(bytes)));
    let (stored, honest) = {
        let path = object(&second[MIB..]);
        let bytes = fs::read(&path).expect("a stored segment");
        (path, bytes)
    };
    let read = |bytes: &[u8]| fs::read(object(bytes)).expect("another stored segment");
    let encode = |bytes: &[u8]| slipway_payload::encode(bytes).expect("a frame");
    let middle = honest.len() / 2;
    let instead: [Vec<u8>; WAYS.len()] = [
        read(&first[MIB..]),
        read(&second[..MIB]),
        [honest.clone(), b"more".to_vec()].concat(),
        [honest.clone(), vec![0; 64 * MIB]].concat(),
        encode(&vec![0; MIB]).repeat(64),
        honest[..middle].to_vec(),
        honest.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == middle)).collect(),
        encode(&noise(3, MIB)),
        Vec::new(),
    ];
    for (index, (way, code, says)) in WAYS.into_iter().enumerate() {
        fs::write(&stored, &instead[index]).expect("the store lies");
        let device = &fleet.devices[index];
        let name = roll_out(&fleet.admin(), plan("2.0.0", &format!("id = \"{}\"", device.id))).await;
        let update = end_of(&fleet, &device.id, &name).await;
        let reason = reason_of(&update);
        println!("{way}: {}: {}", reason.code, reason.detail);
        assert_eq!(update.state(), UpdateState::Failed, "{way}: {reason:?}");
        assert!(reason.code.starts_with(code) && reason.detail.contains(says), "{way}: {reason:?}");
        assert_documented(&reason.code);
        assert_holds(device, "a", &factory, "what the factory put there");
        assert_eq!(device.boot("running"), "a", "{way}");
        assert_only_verified(device, &[], &second);
        let wrong = device.slot("b").chunks(MIB).nth(1).is_some_and(|held| held == &second[MIB..]);
        assert!(!wrong, "{way}: segment 1 cannot be there");
    }
    fs::write(&stored, &honest).expect("the store is honest again");
    let device = &fleet.devices[0];
    let name = roll_out(&fleet.admin(), plan("2.0.0", &format!("id = \"{}\"", device.id))).await;
    let update = end_of(&fleet, &device.id, &name).await;
    assert_eq!(update.state(), UpdateState::Succeeded, "{:?}", update.reason);
    assert_holds(device, &device.boot("running"), &second, "the release");
}
