//! Threats that take a whole agent to see, by their rows in `docs/THREATS.md`.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use slipway_agent::{clock::Clock, machine::Slot};
use slipway_proto::v1::UpdateState::{Rejected, RolledBack, Succeeded};
use slipway_trust::{
    Date,
    fake::{self, Delta},
    repo,
};

use crate::{
    device::Device,
    fleet::{Fleet, NOW},
};

const DAY: i64 = 86_400_000;

/// Row 10: more roots than one answer may carry are refused and reported, and come in portions all the same.
#[tokio::test]
async fn row_10_a_flood_of_roots_is_refused_and_reported() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let roots = |versions: std::ops::RangeInclusive<u64>| {
        let fake = &fleet.world.lock().unwrap().fake;
        let root = |version| {
            let body = repo::root(version, fake.now.plus_days(400), &fake::root_keys(&fake.keys));
            fake::signed(&body, &[&fake.keys.root[0], &fake.keys.root[1]])
        };
        Delta { roots: versions.map(root).collect(), ..Delta::default() }
    };
    let (flood, portion) = (roots(2..=66), roots(2..=65));
    fleet.world.lock().unwrap().pushed = Some(flood);
    let running = device.run();
    let blocked = fleet.until(|world| world.inventory.blocked.clone()).await;
    assert_eq!(blocked.code, "TOO_MANY_ROOTS");
    assert_eq!(fleet.world.lock().unwrap().have.root, 1);

    fleet.world.lock().unwrap().pushed = Some(portion);
    fleet.until(|world| (world.have.root == 65).then_some(())).await;
    let update = {
        let mut world = fleet.world.lock().unwrap();
        world.pushed = None;
        world.delta.roots.clear();
        world.offer(3)
    };
    assert_eq!(fleet.end_of(&update).await.state(), Succeeded);
    running.stop().await;
}

/// Row 42: the way back of a failed trial leads below the floor of the release that failed, because that floor
/// does not bind before its release has proved itself. Afterwards it binds.
#[tokio::test]
async fn row_42_the_way_back_of_a_trial_may_lead_below_the_floor_of_what_is_tried() {
    let fleet = Fleet::start(NOW).await;
    let command = "test \"$SLIPWAY_VERSION\" != 4.0.0 || test -e \"$(dirname \"$SLIPWAY_SLOT\")/mended\"";
    let device = Device::enrolled(&fleet, command).await;
    fleet.world.lock().unwrap().publish(4, 4, 6);
    let running = device.run();
    let good = fleet.world.lock().unwrap().offer(3);
    assert_eq!(fleet.end_of(&good).await.state(), Succeeded);
    let tried = fleet.world.lock().unwrap().offer(4);
    let end = fleet.end_of(&tried).await;
    assert_eq!((end.state(), end.running_version.as_str()), (RolledBack, "3.0.0"));
    assert_eq!((device.running(), device.status().floor), (Slot::B, 0), "not raised");
    // What runs is below the floor of the release that failed, and can be installed all the same.
    let again = fleet.world.lock().unwrap().offer(3);
    assert_eq!(fleet.end_of(&again).await.state(), Succeeded);

    std::fs::write(device.folder().join("slots/mended"), "").unwrap();
    let tried = fleet.world.lock().unwrap().offer(4);
    assert_eq!(fleet.end_of(&tried).await.state(), Succeeded);
    let below = fleet.world.lock().unwrap().offer(3);
    let end = fleet.end_of(&below).await;
    assert_eq!((end.state(), end.reason.unwrap().code.as_str()), (Rejected, "BELOW_FLOOR"));
    assert_eq!(device.status().floor, 4);
    running.stop().await;
}

/// Row 56: the server says "nothing new" for ever, and offers what it has. Once the timestamp has ended the
/// device installs nothing, says why, and its software runs on; with the first honest word all is well.
#[tokio::test]
async fn row_56_a_server_that_says_nothing_new_for_ever_makes_the_device_stale_and_no_more() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let shown = Arc::new(AtomicI64::new(NOW));
    let source = shown.clone();
    let clock = Clock::from_source(Arc::new(move || source.load(Ordering::SeqCst)));
    let running = device.run_by(clock, None);
    let first = fleet.world.lock().unwrap().offer(3);
    assert_eq!(fleet.end_of(&first).await.state(), Succeeded);
    assert!(fleet.world.lock().unwrap().inventory.blocked.is_none());

    shown.store(NOW + (repo::lifetime::TIMESTAMP_DAYS + 1) * DAY, Ordering::SeqCst);
    let blocked = fleet.until(|world| world.inventory.blocked.clone()).await;
    assert_eq!(blocked.code, "METADATA_EXPIRED");
    assert!(blocked.detail.contains("timestamp"), "{}", blocked.detail);
    let offered = fleet.world.lock().unwrap().offer(3);
    let end = fleet.end_of(&offered).await;
    assert_eq!((end.state(), end.reason.unwrap().code.as_str()), (Rejected, "METADATA_EXPIRED"));
    assert_eq!(device.running(), Slot::B, "what runs runs on");

    let update = {
        let mut world = fleet.world.lock().unwrap();
        world.fake.now = Date::from_millis(shown.load(Ordering::SeqCst));
        let next = slipway_trust::Timestamp::parse(&world.delta.timestamp).unwrap().version + 1;
        world.fake.sign_online(next);
        world.delta = world.fake.delta(Vec::new());
        world.offer(3)
    };
    assert_eq!(fleet.end_of(&update).await.state(), Succeeded);
    fleet.until(|world| world.inventory.blocked.is_none().then_some(())).await;
    running.stop().await;
}
