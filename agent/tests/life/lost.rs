//! Files of the agent's own that are damaged or gone: it starts, loses nothing that another file holds,
//! and says what happened.

use std::fs;

use slipway_agent::{enroll::enroll, link::chain, machine::Slot};
use slipway_proto::v1::UpdateState::{Rejected, Succeeded};

use crate::{
    device::Device,
    fleet::{Fleet, NOW},
};

/// A device on release 4, the floor of which is 4, at rest.
async fn on_release_4(fleet: &Fleet) -> Device {
    let device = Device::enrolled(fleet, "").await;
    fleet.world.lock().unwrap().publish(4, 4, 6);
    let running = device.run();
    let update = fleet.world.lock().unwrap().offer(4);
    assert_eq!(fleet.end_of(&update).await.state(), Succeeded);
    fleet.until(|world| (world.inventory.floor == 4).then_some(())).await;
    running.stop().await;
    device
}

/// Offers release 3 and sees it refused; says what the status showed last.
async fn refuses_release_3(fleet: &Fleet, device: &Device) -> String {
    let running = device.run();
    let update = fleet.world.lock().unwrap().offer(3);
    let end = fleet.end_of(&update).await;
    assert_eq!((end.state(), end.reason.unwrap().code.as_str()), (Rejected, "BELOW_FLOOR"));
    running.stop().await;
    let status = device.status();
    assert_eq!(status.floor, 4);
    assert_eq!(device.running(), Slot::B);
    status.to_text()
}

#[tokio::test]
async fn the_floor_outlives_the_journal_and_what_runs_is_recognised() {
    let fleet = Fleet::start(NOW).await;
    let device = on_release_4(&fleet).await;
    fs::remove_file(device.state().journal()).unwrap();
    assert_eq!(device.status().floor, 4);
    let text = refuses_release_3(&fleet, &device).await;
    assert!(text.contains("JOURNAL_DAMAGED: the journal is gone"), "{text}");
    let inventory = fleet.world.lock().unwrap().inventory.clone();
    assert_eq!((inventory.components[0].counter, inventory.floor), (4, 4));

    // It is said once: the journal has a record again.
    fs::remove_file(device.state().diary()).unwrap();
    let text = refuses_release_3(&fleet, &device).await;
    assert!(text.contains("last error      none"), "{text}");
}

#[tokio::test]
async fn a_damaged_floor_file_lowers_nothing_and_is_written_anew() {
    let fleet = Fleet::start(NOW).await;
    let device = on_release_4(&fleet).await;
    let floor = device.state().floor();
    let whole = fs::read(&floor).unwrap();
    fs::write(&floor, "0 00000000\n0 00000000\n").unwrap();
    let text = refuses_release_3(&fleet, &device).await;
    assert!(text.contains("STATE_DAMAGED") && text.contains("the journal has the floor"), "{text}");
    assert_eq!(fs::read(&floor).unwrap(), whole);

    // A floor in the journal that is not in the file yet, as a power cut leaves it.
    fs::remove_file(&floor).unwrap();
    refuses_release_3(&fleet, &device).await;
    assert_eq!(fs::read(&floor).unwrap(), whole);
}

#[tokio::test]
async fn with_both_copies_lost_nothing_below_what_runs_is_accepted() {
    let fleet = Fleet::start(NOW).await;
    let device = on_release_4(&fleet).await;
    fs::write(device.state().journal(), "nonsense").unwrap();
    fs::write(device.state().floor(), "nonsense").unwrap();
    let text = refuses_release_3(&fleet, &device).await;
    assert!(text.contains("FLOOR_LOST"), "{text}");

    // What runs is not the release whose manifest is kept: the highest floor ever signed holds.
    fs::remove_file(device.state().journal()).unwrap();
    fs::remove_file(device.state().floor()).unwrap();
    fs::write(device.slot(Slot::B), "something else").unwrap();
    let text = refuses_release_3(&fleet, &device).await;
    assert!(text.contains("FLOOR_LOST") && text.contains("not recognised"), "{text}");

    let running = device.run();
    fleet.world.lock().unwrap().publish(5, 0, 3);
    let update = fleet.world.lock().unwrap().offer(5);
    assert_eq!(fleet.end_of(&update).await.state(), Succeeded);
    running.stop().await;
    assert_eq!(device.status().floor, 4);
}

/// Nothing is left of the memory but what the device believes: that alone says that it is not new.
#[tokio::test]
async fn a_device_that_lost_all_memory_is_not_taken_for_a_new_one() {
    let fleet = Fleet::start(NOW).await;
    let device = on_release_4(&fleet).await;
    for path in [device.state().journal(), device.state().floor(), device.state().manifest()] {
        fs::remove_file(path).unwrap();
    }
    let text = refuses_release_3(&fleet, &device).await;
    assert!(text.contains("FLOOR_LOST"), "{text}");
}

/// A disk whose boot environment is gone is no new disk: which slot is the good one is not guessed.
#[tokio::test]
async fn enrolling_again_does_not_make_a_boot_environment_for_a_disk_in_use() {
    let fleet = Fleet::start(NOW).await;
    let device = on_release_4(&fleet).await;
    let env = device.folder().join("slots/boot.env");
    fs::remove_file(&env).unwrap();
    let refused = enroll(&device.order(&fleet, "a token", "")).await.unwrap_err();
    let text = chain(&refused);
    assert!(text.contains("boot.env") && text.contains("slot-b.img"), "{text}");
    assert!(!env.exists());
    // The owner says which one.
    fs::remove_file(device.slot(Slot::B)).unwrap();
    enroll(&device.order(&fleet, "a token", "")).await.unwrap();
    assert_eq!(device.running(), Slot::A);
}

#[tokio::test]
async fn unreadable_metadata_keeps_no_device_from_starting_and_is_healed() {
    let fleet = Fleet::start(NOW).await;
    let device = on_release_4(&fleet).await;
    let clock = device.state().clock();
    let whole = fs::read(&clock).unwrap();
    let metadata = device.state().metadata();
    let mut counter = 4;
    for name in ["clock", "timestamp.json", "snapshot.json", "pump.json", "assignment.json", "root.json"] {
        for folder in [false, true] {
            let path = metadata.join(name);
            fs::remove_file(&path).unwrap();
            if folder {
                fs::create_dir_all(path.join("lost+found")).unwrap();
            } else {
                fs::File::create(&path).unwrap().set_len(8 << 20).unwrap();
            }
            fs::remove_file(device.state().diary()).unwrap();
            let running = device.run();
            counter += 1;
            let update = {
                let mut world = fleet.world.lock().unwrap();
                world.publish(counter, 0, 1);
                world.offer(counter)
            };
            let end = fleet.end_of(&update).await;
            assert_eq!(end.state(), Succeeded, "{name}: {:?}", end.reason);
            running.stop().await;
            let error = device.status().news.last_error.expect("it is told").reason;
            assert!(
                ["STATE_DAMAGED", "STATE_IO_FAILED"].contains(&error.code.as_str())
                    && error.detail.contains(name),
                "{name}: {error:?}"
            );
            assert!(path.is_file(), "{name} is healed");
            assert_eq!(fs::read(&clock).unwrap(), whole, "{name}: the time floor holds");
        }
    }
}

#[tokio::test]
async fn a_device_without_any_root_does_not_start_and_a_new_claim_gives_it_one() {
    let fleet = Fleet::start(NOW).await;
    let device = on_release_4(&fleet).await;
    let metadata = device.state().metadata();
    for name in ["root.json", "1.root.json"] {
        fs::write(metadata.join(name), "{").unwrap();
    }
    let refused = device.run().ended().await.unwrap_err();
    assert!(matches!(refused, slipway_agent::RunError::Trust(_)), "{refused}");
    enroll(&device.order(&fleet, "a token", "")).await.unwrap();
    refuses_release_3(&fleet, &device).await;
}
