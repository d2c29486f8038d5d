//! Sticks that are pulled, and agents that are killed.

use std::{
    fs::{self, File, OpenOptions},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use slipway_agent::{InstallError, clock::Clock, install, machine::Slot};
use slipway_proto::v1::UpdateState::Succeeded;
use tokio::sync::watch;

use super::{FACTORY, Stick, refused};
use crate::{
    device::Device,
    fleet::{Fleet, NOW, SEGMENT},
};

#[tokio::test]
async fn a_stick_that_is_pulled_and_plugged_in_again_goes_on_where_it_was() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let stick = Stick::of(&mut fleet.world.lock().unwrap(), 3);
    let (whole, cut) = (stick.pack(), stick.pack().len() / 2);
    // Held back between the check and the first byte, so that the stick can be pulled right there.
    fs::write(device.state().inhibitor(), "the owner is using it").unwrap();
    let path = device.folder().join("bundle.tar");
    let installing = device.install(&whole);
    let pulled = async {
        while device.status().state != "waiting" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        OpenOptions::new().write(true).open(&path).unwrap().set_len(cut as u64).unwrap();
        fs::remove_file(device.state().inhibitor()).unwrap();
    };
    let (outcome, ()) = tokio::join!(installing, pulled);
    assert_eq!(refused(outcome).0, "BUNDLE_UNREADABLE");
    assert_eq!((device.running(), device.status().state.as_str()), (Slot::A, "fetching"));

    // Half of the stick is not begun with; the whole one goes on with the same update.
    assert_eq!(device.refusal(&whole[..cut]).await.0, "BUNDLE_INVALID");
    let update = device.status().update.unwrap();
    device.install(&whole).await.unwrap();
    let running = device.run();
    let end = fleet.end_of(&update).await;
    assert_eq!(end.state(), Succeeded);
    assert_eq!(end.attempt, 1, "a stick that was pulled is no failure of the release");
    let once = fleet.world.lock().unwrap().images[&3].len() - 10 * SEGMENT;
    assert!(end.bytes_written < once as u64, "what was in the slot is not written again");
    running.stop().await;
}

#[tokio::test]
async fn what_a_stick_began_the_network_ends() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let stick = Stick::of(&mut fleet.world.lock().unwrap(), 3);
    fs::write(device.state().inhibitor(), "the owner is using it").unwrap();
    let path = device.folder().join("bundle.tar");
    fs::write(&path, stick.pack()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let (state, clock) = (device.state(), Clock::from_source(Arc::new(|| NOW)));
    let waited = async {
        while device.status().state != "waiting" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.send_replace(true);
    };
    let installing = install(&state, &path, clock, StdRng::seed_from_u64(1), stopped);
    let (outcome, ()) = tokio::join!(installing, waited);
    assert!(matches!(outcome, Err(InstallError::Stopped)), "{outcome:?}");
    fs::remove_file(device.state().inhibitor()).unwrap();
    let update = device.status().update.unwrap();
    let running = device.run();
    assert_eq!(fleet.end_of(&update).await.state(), Succeeded);
    running.stop().await;
}

const KILLS: u32 = 30;
const SEED: u64 = 2026;

/// The whole program, killed wherever it may be.
#[tokio::test]
async fn kill_9_at_any_moment_leaves_the_old_version_or_the_new_one() {
    println!("seed {SEED}");
    let mut rng = StdRng::seed_from_u64(SEED);
    let fleet = Fleet::start(Clock::system().now()).await;
    let device = Device::enrolled(&fleet, "true").await;
    fleet.world.lock().unwrap().publish(4, 0, 60);
    let path = device.folder().join("bundle.tar");
    let (mut kills, mut installs, mut good) = (0, 0, FACTORY.to_vec());
    while kills < KILLS {
        let counter = 3 + installs % 2;
        let (bytes, image) = {
            let mut world = fleet.world.lock().unwrap();
            (Stick::of(&mut world, counter).pack(), world.images[&counter].clone())
        };
        fs::write(&path, bytes).unwrap();
        installs += 1;
        loop {
            let mut agent = Command::new(env!("CARGO_BIN_EXE_slipway-agent"))
                .args(["install", "--state"])
                .arg(device.state().path())
                .arg("--bundle")
                .arg(&path)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(File::options().create(true).append(true).open(device.folder().join("log")).unwrap())
                .spawn()
                .unwrap();
            let moment = Duration::from_millis(rng.random_range(5..400));
            let ended = tokio::time::timeout(moment, async {
                loop {
                    if let Some(ended) = agent.try_wait().unwrap() {
                        return ended;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
            if let Ok(ended) = ended.await {
                assert!(ended.success(), "{}", fs::read_to_string(device.folder().join("log")).unwrap());
                break;
            }
            agent.kill().unwrap();
            agent.wait().unwrap();
            kills += 1;
            let status = device.status();
            let default = status.slots.iter().find(|slot| slot.default).unwrap().slot;
            let content = device.content(default);
            assert!(content == good || content == image, "what boots is whole");
        }
        assert!(device.content(device.running()) == image);
        good = image;
    }
    println!("{kills} kills in {installs} installations");
}
