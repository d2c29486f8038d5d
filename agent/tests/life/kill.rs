//! The agent is killed, again and again, wherever it may be.

use std::{
    fs::File,
    process::{Command, Stdio},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use slipway_agent::{clock::Clock, machine::Slot};
use slipway_proto::v1::UpdateState::{Rejected, RolledBack, Succeeded};

use crate::{device::Device, fleet::Fleet};

const KILLS: u32 = 60;
const SEED: u64 = 2026;

#[tokio::test]
async fn kill_9_at_any_moment_leaves_the_old_version_or_the_new_one() {
    println!("seed {SEED}");
    let mut rng = StdRng::seed_from_u64(SEED);
    let fleet = Fleet::start(Clock::system().now()).await;
    let command = "test \"$SLIPWAY_VERSION\" != 5.0.0";
    let device = Device::enrolled(&fleet, command).await;
    {
        let mut world = fleet.world.lock().unwrap();
        world.publish(4, 0, 60);
        world.publish(5, 0, 25);
    }
    let (mut kills, mut updates, mut trials, mut counter, mut good) = (0, 0, 0, 3, 0);
    let log = device.folder().join("log");
    while kills < KILLS {
        let update = fleet.world.lock().unwrap().offer(counter);
        updates += 1;
        let end = loop {
            let log = File::options().create(true).append(true).open(&log).unwrap();
            let mut agent = Command::new(env!("CARGO_BIN_EXE_slipway-agent"))
                .args(["run", "--state"])
                .arg(device.state().path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            let asked = fleet.world.lock().unwrap().requests;
            let until = asked + rng.random_range(1..25_u64);
            let end = fleet
                .until(|world| match world.end(&update) {
                    Some(end) => Some(Some(end)),
                    None => (world.requests >= until).then_some(None),
                })
                .await;
            agent.kill().unwrap();
            agent.wait().unwrap();
            kills += 1;
            check_slots(&device, &fleet);
            if let Some(end) = end {
                break end;
            }
        };
        // Release 5 fails its health check; after three trials it is not tried again.
        let expected = match counter {
            5 if trials < 3 => RolledBack,
            5 => Rejected,
            _ => Succeeded,
        };
        assert_eq!(end.state(), expected, "update {updates}: {:?}", end.reason);
        trials += u32::from(counter == 5);
        if counter != 5 {
            good = counter;
        }
        let status = device.status();
        assert_eq!(status.state, "idle");
        let running = status.slots.iter().find(|slot| slot.running).unwrap();
        assert!(running.default);
        assert_eq!(running.holds.as_ref().unwrap().counter, good);
        counter = if counter == 5 { 3 } else { counter + 1 };
    }
    println!("{kills} kills in {updates} updates");
    let world = fleet.world.lock().unwrap();
    let sequences: Vec<u64> = world.reports.iter().map(|report| report.sequence).collect();
    assert!(sequences.is_sorted(), "reports arrive in order: {sequences:?}");
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>(), "and none is missing");
}

/// What boots is whole: the factory's image or one of the releases.
fn check_slots(device: &Device, fleet: &Fleet) {
    let status = device.status();
    let default = status.slots.iter().find(|slot| slot.default).unwrap().slot;
    let content = device.content(default);
    let world = fleet.world.lock().unwrap();
    let whole = world.images.values().any(|image| *image == content);
    assert!(whole || (default == Slot::A && content == b"what the factory put there"));
}
