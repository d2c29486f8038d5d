//! A disk with no space left.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
};

use slipway_agent::{clock::Clock, machine::Slot};
use slipway_proto::v1::UpdateState::{Failed, Succeeded};

use crate::{device::Device, fleet::Fleet};

/// Runs the agent where no file may grow beyond `limit` blocks; its log is on the same disk.
fn run_on_a_full_disk(device: &Device, limit: u32) -> Agent {
    let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" run --state \"$1\"");
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_slipway-agent"))
        .arg(device.state().path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::options().create(true).append(true).open(device.folder().join("log")).unwrap());
    Agent(command.spawn().unwrap())
}

/// Runs the agent with its folders on a disk of so many KiB, gone when it ends. None where nobody may mount.
fn run_on_a_small_disk(device: &Device, kib: u32) -> Option<Agent> {
    let script = "cp -a \"$1\" \"$1.copy\" && mount -t tmpfs -o size=\"$2k\" tmpfs \"$1\" \
                  && cp -a \"$1.copy/.\" \"$1\" && rm -r \"$1.copy\" && exec \"$0\" run --state \"$1/state\"";
    let mut unshare = Command::new("unshare");
    let possible = unshare.args(["-rm", "mount", "-t", "tmpfs", "tmpfs"]).arg(device.folder());
    if !possible.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script]).arg(env!("CARGO_BIN_EXE_slipway-agent"));
    command.arg(device.folder()).arg(kib.to_string()).stdin(Stdio::null()).stdout(Stdio::null());
    Some(Agent(command.spawn().unwrap()))
}

/// Journal and slots on one disk, which the image fills to its last byte, or nearly.
#[tokio::test]
async fn a_disk_that_an_image_filled_is_given_back_and_takes_a_smaller_one() {
    let (mut full, mut fitted) = (0, 0);
    for kib in (1400..=1880).step_by(40) {
        let fleet = Fleet::start(Clock::system().now()).await;
        let device = Device::enrolled(&fleet, "").await;
        let update = fleet.world.lock().unwrap().offer(3);
        let Some(agent) = run_on_a_small_disk(&device, kib) else { return };
        let end_of_first = fleet.end_of(&update).await;
        if end_of_first.state() == Succeeded {
            fitted += 1;
        } else {
            full += 1;
            let reason = end_of_first.reason.unwrap();
            assert_eq!(reason.code, "SLOT_STORAGE_FULL", "{kib} KiB: {}", reason.detail);
            assert!(reason.detail.contains("was given back"), "{kib} KiB: {}", reason.detail);
            let smaller = {
                let mut world = fleet.world.lock().unwrap();
                world.publish(4, 0, 1);
                world.offer(4)
            };
            let end_of_second = fleet.end_of(&smaller).await;
            assert_eq!(end_of_second.state(), Succeeded, "{kib} KiB: {:?}", end_of_second.reason);
        }
        end(agent);
    }
    assert!(full > 0 && fitted > 0, "{full} did not fit, {fitted} did");
}

/// The owner's refusal needs no space, and an answer that allows more waits for some.
#[test]
fn an_owner_can_refuse_on_a_disk_that_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=64k tmpfs \"$1\" || exit 77; cd \"$1\"; \
                  agent=$0; consent() { \"$agent\" consent --state . \"$@\"; }; \
                  consent --allow usage --allow location > /dev/null && \
                  { dd if=/dev/zero of=filler bs=4k 2> /dev/null; \
                  consent --refuse usage --allow diagnostic || cat consent.toml; }";
    let mut unshare = Command::new("unshare");
    let output = unshare
        .args(["-rm", "sh", "-c", script])
        .arg(env!("CARGO_BIN_EXE_slipway-agent"))
        .arg(folder.path())
        .output();
    let Ok(output) = output else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || said.contains("unshare:") {
        // Nobody may mount here.
        return;
    }
    assert!(
        output.status.success()
            && said.contains("there is no space for ./consent.toml: what you refuse is refused"),
        "{said}"
    );
    let answer = String::from_utf8_lossy(&output.stdout);
    assert_eq!(answer, "diagnostic = false\nusage = false\nlocation = true\n");
}

/// Ends with the test, however that ends.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn end(mut agent: Agent) {
    assert!(agent.0.try_wait().unwrap().is_none(), "a full disk does not end the agent");
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
        (Failed, "SLOT_STORAGE_FULL")
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
