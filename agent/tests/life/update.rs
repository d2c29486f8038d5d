//! Updates that end well, and those that fall back.

use slipway_agent::machine::Slot;
use slipway_proto::v1::UpdateState::{Downloading, Failed, Rejected, RolledBack, Staged, Succeeded, Trial};

use crate::{
    device::Device,
    fleet::{Fleet, NOW},
};

#[tokio::test]
async fn a_release_arrives_byte_for_byte_and_the_old_slot_is_untouched() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "test -s \"$SLIPWAY_SLOT\"").await;
    let running = device.run();
    let update = fleet.world.lock().unwrap().offer(3);
    let end = fleet.end_of(&update).await;
    assert_eq!(end.state(), Succeeded, "{:?}", end.reason);
    assert_eq!(end.running_version, "3.0.0");

    let (image, states, fetched) = {
        let world = fleet.world.lock().unwrap();
        (world.images[&3].clone(), world.states(&update), world.fetched.clone())
    };
    assert_eq!(states, [Downloading, Staged, Trial, Succeeded]);
    assert!(device.content(Slot::B) == image, "slot b holds the image");
    assert_eq!(device.content(Slot::A), b"what the factory put there");
    assert_eq!(device.running(), Slot::B);
    assert_eq!(fetched.len(), 21, "30 segments and a short one, 10 of them zeros");
    assert_eq!(
        end.bytes_written,
        image.len() as u64 - 10 * crate::fleet::SEGMENT as u64,
        "zeros were there already"
    );

    // The inventory follows at once.
    let components = fleet
        .until(|world| {
            let components = world.inventory.components.clone();
            (components[0].version == "3.0.0").then_some(components)
        })
        .await;
    assert_eq!((components[0].slot.as_str(), components[0].counter), ("b", 3));
    running.stop().await;
}

/// The server drops a report whose sequence it has seen: a device that counts from one again would be
/// answered with OK and not be heard.
#[tokio::test]
async fn reports_after_a_lost_journal_are_not_taken_for_repeats() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let slot_of = |size| {
        let mut config = slipway_agent::Config::read(&device.state()).unwrap();
        config.slot_size = size;
        config.write(&device.state()).unwrap();
    };
    slot_of(4096);
    let running = device.run();
    let update = fleet.world.lock().unwrap().offer(3);
    assert_eq!(fleet.end_of(&update).await.state(), Rejected);
    running.stop().await;

    slot_of(0);
    let journal = device.state().journal();
    let bytes = std::fs::read(&journal).unwrap();
    let zeroed: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| if at < 4 { *byte } else { 0 }).collect();
    std::fs::write(&journal, zeroed).unwrap();

    let running = device.run();
    let update = fleet.world.lock().unwrap().offer(3);
    assert_eq!(fleet.end_of(&update).await.state(), Succeeded);
    assert_eq!(fleet.world.lock().unwrap().states(&update), [Downloading, Staged, Trial, Succeeded]);
    running.stop().await;
}

#[tokio::test]
async fn a_release_that_is_in_the_spare_slot_already_is_not_fetched_again() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let running = device.run();
    fleet.world.lock().unwrap().publish(4, 0, 12);
    for counter in [3, 4, 3] {
        let update = fleet.world.lock().unwrap().offer(counter);
        let end = fleet.end_of(&update).await;
        assert_eq!(end.state(), Succeeded, "{:?}", end.reason);
    }
    let last = fleet.world.lock().unwrap().reports.last().unwrap().clone();
    assert_eq!((last.bytes_fetched, last.bytes_written), (0, 0), "switched back without a download");
    assert_eq!(last.running_version, "3.0.0");
    running.stop().await;
}

#[tokio::test]
async fn a_failed_health_check_brings_the_old_version_back() {
    let fleet = Fleet::start(NOW).await;
    let command = "test \"$SLIPWAY_VERSION\" != 4.0.0 || { echo the pump does not start >&2; exit 1; }";
    let device = Device::enrolled(&fleet, command).await;
    fleet.world.lock().unwrap().publish(4, 0, 9);
    let running = device.run();
    let good = fleet.world.lock().unwrap().offer(3);
    assert_eq!(fleet.end_of(&good).await.state(), Succeeded);

    let bad = fleet.world.lock().unwrap().offer(4);
    let end = fleet.end_of(&bad).await;
    assert_eq!(end.state(), RolledBack);
    let reason = end.reason.unwrap();
    assert_eq!(reason.code, "HEALTH_CHECK_FAILED");
    assert!(reason.detail.contains("the pump does not start"), "{}", reason.detail);
    assert_eq!(end.running_version, "3.0.0");
    assert_eq!(fleet.world.lock().unwrap().states(&bad), [Downloading, Staged, Trial, RolledBack]);
    assert_eq!(device.running(), Slot::B);
    running.stop().await;
}

#[tokio::test]
async fn what_was_fetched_survives_the_agent() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let update = {
        let mut world = fleet.world.lock().unwrap();
        world.publish(4, 0, 40);
        world.offer(4)
    };
    let running = device.run();
    fleet.until(|world| (world.fetched.len() >= 10).then_some(())).await;
    running.stop().await;
    let before = fleet.world.lock().unwrap().fetched.len();
    assert!(fleet.world.lock().unwrap().end(&update).is_none());

    let running = device.run();
    assert_eq!(fleet.end_of(&update).await.state(), Succeeded);
    let fetched = fleet.world.lock().unwrap().fetched.clone();
    let again = fetched[before..].iter().filter(|digest| fetched[..before].contains(digest)).count();
    assert!(again <= 1, "{again} segments were fetched twice; at most the one in flight may be");
    running.stop().await;
}

#[tokio::test]
async fn a_cancelled_update_is_dropped_and_the_next_one_goes_its_way() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    std::fs::write(device.state().inhibitor(), "the owner is using it").unwrap();
    let running = device.run();
    let update = fleet.world.lock().unwrap().offer(3);
    // It waits for the inhibitor, so that it can be cancelled at leisure.
    let asked = fleet.world.lock().unwrap().requests;
    fleet.until(|world| (world.requests > asked + 3).then_some(())).await;
    fleet.world.lock().unwrap().cancel = true;
    let asked = fleet.world.lock().unwrap().requests;
    fleet.until(|world| (world.requests > asked + 2).then_some(())).await;
    std::fs::remove_file(device.state().inhibitor()).unwrap();
    let next = fleet.world.lock().unwrap().offer(3);
    assert_eq!(fleet.end_of(&next).await.state(), Succeeded);
    assert_eq!(fleet.world.lock().unwrap().states(&update), []);
    running.stop().await;
}

#[tokio::test]
async fn a_segment_that_never_arrives_right_fails_the_update_and_names_itself() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let update = {
        let mut world = fleet.world.lock().unwrap();
        let image = world.images[&3].clone();
        let digest = slipway_trust::Sha256::of(&image[3 * crate::fleet::SEGMENT..4 * crate::fleet::SEGMENT]);
        let mut wrong = image[..crate::fleet::SEGMENT].to_vec();
        wrong[7] ^= 1;
        world.segments.insert(digest.to_string(), slipway_payload::encode(&wrong).unwrap());
        world.offer(3)
    };
    let running = device.run();
    let end = fleet.end_of(&update).await;
    assert_eq!(end.state(), Failed);
    let reason = end.reason.unwrap();
    assert_eq!(reason.code, "SEGMENT_DIGEST_MISMATCH");
    assert!(reason.detail.contains("segment 3"), "{}", reason.detail);
    assert_eq!(device.running(), Slot::A);
    running.stop().await;
}
