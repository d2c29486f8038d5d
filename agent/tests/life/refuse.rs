//! What the device does not do, and how it says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use slipway_agent::{
    RunError,
    config::ConfigError,
    enroll::EnrollError,
    machine::{Reason, Slot},
    readings::Readings,
};
use slipway_proto::v1::{
    DataClass, Reading, SendTelemetryRequest,
    UpdateState::{Downloading, Failed, Rejected, Staged, Succeeded},
};
use slipway_trust::fake;

use crate::{
    device::Device,
    fleet::{Fleet, NOW},
};

/// Every broken repository of the fake: refused, said why, and nothing is written.
#[tokio::test]
async fn broken_metadata_is_refused_and_shows_in_the_inventory() {
    let honest = fake::Fake::new(slipway_trust::Date::from_millis(NOW));
    for attack in fake::attacks(&honest) {
        let fleet = Fleet::start(NOW).await;
        let device = Device::enrolled(&fleet, "").await;
        // The attacks are on a device that believes the honest repository.
        fleet.world.lock().unwrap().pushed = Some(honest.delta(honest.assignment(1, Some(1))));
        let running = device.run();
        fleet.until(|world| (world.have.assignment == 1).then_some(())).await;
        let update = {
            let mut world = fleet.world.lock().unwrap();
            world.pushed = Some(attack.delta.clone());
            world.offer(3)
        };
        let end = fleet.end_of(&update).await;
        assert_eq!(end.state(), Rejected, "{}", attack.name);
        assert_eq!(end.reason.unwrap().code, attack.code, "{}", attack.name);
        assert!(device.content(Slot::B).is_empty(), "{}: nothing was written", attack.name);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_stranger_s_metadata_blocks_the_device_and_it_says_so() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    {
        let mut world = fleet.world.lock().unwrap();
        let mut flipped = world.delta.clone();
        let place = flipped.timestamp.len() / 2;
        flipped.timestamp[place] ^= 1;
        world.pushed = Some(flipped);
    }
    let running = device.run();
    let blocked = fleet.until(|world| world.inventory.blocked.clone()).await;
    assert!(!blocked.code.is_empty() && !blocked.detail.is_empty());
    // Honest again: the block goes away by itself.
    fleet.world.lock().unwrap().pushed = None;
    fleet.until(|world| world.inventory.blocked.is_none().then_some(())).await;
    running.stop().await;
}

/// The name of an offer is not signed, and every record of the journal holds it.
#[tokio::test]
async fn an_offer_whose_name_cannot_be_one_leaves_the_device_able_to_update() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let running = device.run();
    let long = format!("devices/device-1/updates/{}", "u".repeat(2 << 20));
    for name in [long.as_str(), "devices/device-2/updates/1", "devices/device-1/updates/", "x"] {
        let before = {
            let mut world = fleet.world.lock().unwrap();
            world.offer(3);
            // Neither verifying nor refusing it may bring the name into the journal.
            world.pushed = Some(fake::attacks(&world.fake)[0].delta.clone());
            world.offer = Some(name.to_owned());
            world.requests
        };
        fleet.until(|world| (world.requests > before + 4).then_some(())).await;
        assert!(fleet.world.lock().unwrap().reports.is_empty(), "{:?}", &name[..name.len().min(40)]);
    }
    let update = {
        let mut world = fleet.world.lock().unwrap();
        world.pushed = None;
        world.offer(3)
    };
    assert_eq!(fleet.end_of(&update).await.state(), Succeeded);
    running.stop().await;
}

#[tokio::test]
async fn an_image_larger_than_the_slot_is_rejected_before_anything_is_written() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let mut config = slipway_agent::Config::read(&device.state()).unwrap();
    config.slot_size = 4096;
    config.write(&device.state()).unwrap();
    let running = device.run();
    let update = fleet.world.lock().unwrap().offer(3);
    let end = fleet.end_of(&update).await;
    assert_eq!((end.state(), end.reason.unwrap().code.as_str()), (Rejected, "IMAGE_LARGER_THAN_SLOT"));
    assert!(!device.slot(Slot::B).exists());
    running.stop().await;
}

#[tokio::test]
async fn a_device_never_goes_below_its_floor() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    fleet.world.lock().unwrap().publish(4, 4, 6);
    let running = device.run();
    let update = fleet.world.lock().unwrap().offer(4);
    fleet.end_of(&update).await;
    fleet.until(|world| (world.inventory.floor == 4).then_some(())).await;
    let update = fleet.world.lock().unwrap().offer(3);
    let end = fleet.end_of(&update).await;
    assert_eq!((end.state(), end.reason.unwrap().code.as_str()), (Rejected, "BELOW_FLOOR"));
    assert_eq!(device.status().floor, 4);
    running.stop().await;
}

/// Ten minutes of a server that offers again what the device is done with: finished, refused for what it is,
/// or refused for what it came with.
#[tokio::test]
async fn a_server_that_insists_is_asked_less_and_less_often() {
    for case in ["finished", "too large", "metadata"] {
        let fleet = Fleet::start(NOW).await;
        let device = Device::enrolled(&fleet, "").await;
        if case == "too large" {
            let mut config = slipway_agent::Config::read(&device.state()).unwrap();
            config.slot_size = 4096;
            config.write(&device.state()).unwrap();
        }
        let running = device.run();
        let update = {
            let mut world = fleet.world.lock().unwrap();
            world.insists = true;
            if case == "metadata" {
                world.pushed = Some(fake::attacks(&world.fake)[0].delta.clone());
            }
            world.offer(3)
        };
        fleet.end_of(&update).await;
        let before = fleet.world.lock().unwrap().requests;
        // The time of these minutes is not that of the machine: it goes on whenever nobody does anything.
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(600)).await;
        let requests = fleet.world.lock().unwrap().requests - before;
        println!("{case}: {requests} requests");
        assert!((3..=60).contains(&requests), "{case}: {requests} requests in ten minutes");

        fleet.world.lock().unwrap().insists = false;
        tokio::time::sleep(Duration::from_secs(301)).await;
        let before = fleet.world.lock().unwrap().requests;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let requests = fleet.world.lock().unwrap().requests - before;
        assert!((45..=55).contains(&requests), "{case}: back to the pace asked for: {requests}");
        tokio::time::resume();
        running.stop().await;
    }
}

#[tokio::test]
async fn enrolment_can_be_repeated_and_refuses_what_it_must() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    slipway_agent::enroll::enroll(&device.order(&fleet, "a token", "")).await.unwrap();
    let refused = slipway_agent::enroll::enroll(&device.order(&fleet, "another", "")).await.unwrap_err();
    assert!(matches!(refused, EnrollError::Refused(_)));
    let mut other = device.order(&fleet, "a token", "");
    other.device_id = Some("device-2".to_owned());
    let refused = slipway_agent::enroll::enroll(&other).await.unwrap_err();
    assert!(matches!(refused, EnrollError::OtherDevice { .. }), "{refused}");
    let running = device.run();
    fleet.until(|world| (world.requests > 0).then_some(())).await;
    let refused = slipway_agent::enroll::enroll(&device.order(&fleet, "a token", "")).await.unwrap_err();
    assert!(
        matches!(refused, EnrollError::Device(RunError::Config(ConfigError::Locked { .. }))),
        "{refused}"
    );
    assert!(device.status().to_text().contains("device-1"), "status works while it runs");
    running.stop().await;
}

/// Days may pass between the verification and the reboot.
#[tokio::test]
async fn a_slot_that_changed_after_it_was_verified_is_not_started() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let running = device.run();
    let update = fleet.world.lock().unwrap().offer(3);
    fleet.until(|world| world.states(&update).contains(&Downloading).then_some(())).await;
    std::fs::write(device.state().inhibitor(), "not now").unwrap();
    fleet.until(|world| world.states(&update).contains(&Staged).then_some(())).await;
    let mut image = device.content(Slot::B);
    let middle = image.len() / 2;
    image[middle] ^= 1;
    std::fs::write(device.slot(Slot::B), image).unwrap();
    std::fs::remove_file(device.state().inhibitor()).unwrap();
    let end = fleet.end_of(&update).await;
    assert_eq!((end.state(), end.reason.unwrap().code.as_str()), (Failed, "SLOT_DIGEST_MISMATCH"));
    running.stop().await;
    assert_eq!(device.running(), Slot::A);
}

/// Hands out a batch that was filled when the owner still allowed it.
struct Earlier {
    batch: Option<SendTelemetryRequest>,
    passed_over: Arc<AtomicBool>,
}

impl Readings for Earlier {
    fn interval(&self) -> Duration {
        Duration::from_secs(3600)
    }

    fn sample(&mut self, _: i64, _: &str) -> Result<(), Reason> {
        Ok(())
    }

    fn batch(&mut self) -> Option<SendTelemetryRequest> {
        self.batch.clone()
    }

    fn acknowledge(&mut self, _: u64) {
        self.batch = None;
        self.passed_over.store(true, Ordering::SeqCst);
    }

    fn consent(&self) -> Vec<DataClass> {
        vec![DataClass::Essential]
    }
}

/// A round can take minutes when the server draws it out: what counts is the owner's word at its end.
#[tokio::test]
async fn readings_that_the_owner_took_back_meanwhile_are_not_sent() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let reading = |class: DataClass| Reading {
        metric: class.as_str_name().to_owned(),
        data_class: class.into(),
        ..Reading::default()
    };
    for (classes, sent) in [
        (vec![DataClass::Diagnostic, DataClass::Essential], vec!["DATA_CLASS_ESSENTIAL"]),
        (vec![DataClass::Diagnostic, DataClass::Location], vec![]),
    ] {
        let passed_over = Arc::new(AtomicBool::new(false));
        let batch = SendTelemetryRequest {
            sequence: 1,
            readings: classes.into_iter().map(reading).collect(),
            ..Default::default()
        };
        let readings = Earlier { batch: Some(batch), passed_over: passed_over.clone() };
        let running = device.run_with(Some(Box::new(readings)));
        fleet.until(|_| passed_over.load(Ordering::SeqCst).then_some(())).await;
        running.stop().await;
        let mut world = fleet.world.lock().unwrap();
        let metrics: Vec<_> = world.readings.drain(..).map(|reading| reading.metric).collect();
        assert_eq!(metrics, sent);
    }
}
