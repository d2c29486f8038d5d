//! A disk with no space left.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
};

use slipway_agent::{clock::Clock, machine::Slot};
use slipway_proto::v1::UpdateState::{Failed, Succeeded};

use crate::{device::Device, fleet::Fleet};

/// Runs the agent where no file may grow beyond `limit` blocks; its log is on the same disk.
fn run_on_a_full_disk(device: &Device, limit: u32) -> Child {
    let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" run --state \"$1\"");
    Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_slipway-agent"))
        .arg(device.state().path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::options().create(true).append(true).open(device.folder().join("log")).unwrap())
        .spawn()
        .unwrap()
}

fn end(mut agent: Child) {
    assert!(agent.try_wait().unwrap().is_none(), "a full disk does not end the agent");
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_touches_no_slot_that_runs() {
    let fleet = Fleet::start(Clock::system().now()).await;
    let device = Device::enrolled(&fleet, "").await;

    // Not even metadata can be kept: nothing is begun, and the device goes on asking.
    let update = fleet.world.lock().unwrap().offer(3);
    let agent = run_on_a_full_disk(&device, 1);
    fleet.until(|world| (world.requests >= 3).then_some(())).await;
    end(agent);
    assert_eq!(fleet.world.lock().unwrap().states(&update), []);
    assert_eq!(device.status().state, "idle");
    assert!(!device.slot(Slot::B).exists());

    // There is space for what the agent knows, but not for the image.
    let agent = run_on_a_full_disk(&device, 64);
    let end_of_first = fleet.end_of(&update).await;
    assert_eq!(
        (end_of_first.state(), end_of_first.reason.unwrap().code.as_str()),
        (Failed, "SLOT_IO_FAILED")
    );
    end(agent);
    assert_eq!(device.content(Slot::A), b"what the factory put there");

    let update = fleet.world.lock().unwrap().offer(3);
    let agent = run_on_a_full_disk(&device, 1 << 20);
    let end_of_second = fleet.end_of(&update).await;
    assert_eq!(end_of_second.state(), Succeeded);
    end(agent);
    assert!(device.content(Slot::B) == fleet.world.lock().unwrap().images[&3]);
}
