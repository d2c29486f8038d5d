//! The whole job with any file as image: what the publisher had is what the devices run, byte for byte.

use slipway_proto::v1::UpdateState;
use slipway_tests::fleet::Fleet;

use crate::steps::{MIB, assert_holds, bring, explain, noise, spare};

const DEVICES: usize = 2;

fn fleet(factory: &[u8]) -> Fleet {
    let mut fleet = Fleet::start(DEVICES, factory, &["--check-in-interval", "1"], &[]);
    (0..DEVICES).for_each(|index| fleet.run_agent(index));
    fleet
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_size_arrives_byte_for_byte_and_leaves_the_slot_before_alone() {
    let mut before = noise(0, 3 * MIB / 2);
    let fleet = fleet(&before);
    let sizes = [5 * MIB + MIB / 3, 1, MIB, MIB + 1];
    for (number, size) in sizes.into_iter().enumerate() {
        let version = format!("{}.0.0", number + 1);
        let image = noise(number as u64 + 1, size);
        fleet.publish(&image, &version);
        bring(&fleet, &version).await;
        for device in &fleet.devices {
            assert_holds(device, &device.boot("running"), &image, &version);
            assert_holds(device, spare(device), &before, "what ran before");
            assert_eq!(device.boot("default"), device.boot("running"), "{}: committed", device.id);
            let known = explain(&fleet.admin(), &device.id).await.device.expect("the device");
            assert_eq!(known.components[0].version, version, "{}", device.id);
        }
        before = image;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_differs_in_one_megabyte_costs_one_megabyte() {
    let fleet = fleet(b"factory");
    let first = noise(1, 6 * MIB);
    // The spare slot holds the release before the last, so that is what the third one is compared with.
    let mut third = first.clone();
    third[3 * MIB + 17] ^= 1;
    let mut fetched = Vec::new();
    for (version, image) in [("1.0.0", &first), ("2.0.0", &noise(2, MIB)), ("3.0.0", &third)] {
        fleet.publish(image, version);
        bring(&fleet, version).await;
        let mut bytes = 0;
        for device in &fleet.devices {
            assert_holds(device, &device.boot("running"), image, version);
            let update = explain(&fleet.admin(), &device.id).await.updates.swap_remove(0);
            assert_eq!(update.state(), UpdateState::Succeeded);
            bytes += update.bytes_fetched;
        }
        fetched.push(bytes);
    }
    println!("bytes fetched by {DEVICES} devices: {fetched:?}");
    let (whole, one) = ((6 * MIB * DEVICES) as u64, (MIB * DEVICES) as u64);
    assert!(fetched[0] >= whole, "noise does not compress: {fetched:?}");
    assert!(fetched[2] < one + one / 10, "only what differs is fetched: {fetched:?}");
}
