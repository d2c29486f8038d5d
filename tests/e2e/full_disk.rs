//! A full disk, on either side: nothing that was acknowledged is lost, and the slot that runs is untouched.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use slipway_proto::v1::{ListAlertsRequest, Reading, RolloutState, SendTelemetryRequest, UpdateState};
use slipway_tests::{
    clock::wait_for,
    fleet::{Fleet, HARDWARE, PRODUCT},
    member::Member,
    processes::{Process, attempt, program},
};
use sqlx::{Connection as _, SqliteConnection};
use tonic::Code;

use crate::steps::{
    MIB, PATIENCE, assert_documented, assert_holds, assert_only_verified, assert_refused, bring, end_of,
    has_called, noise, plan, reading, reason_of, roll_out, until,
};

/// A server whose data lies on a disk of its own, of so many KiB; [`Small::end`] brings the data back.
struct Small {
    shell: Process,
    pid: PathBuf,
}

/// Copies the data to a small disk, serves it there, and copies it back when the server was killed.
const ON_A_SMALL_DISK: &str = "mount -t tmpfs -o size=$3k tmpfs \"$2\" && cp -a \"$1/.\" \"$2/\" \
    && { \"$0\" serve --data \"$2\" --listen \"$4\" & echo $! > \"$5\"; wait; cp -a \"$2/.\" \"$1/\"; }";

impl Small {
    /// None where nobody may mount anything.
    fn start(fleet: &Fleet, kib: u64) -> Option<Self> {
        let possible = Command::new("unshare")
            .args(["-rm", "mount", "-t", "tmpfs", "tmpfs", &fleet.path("")])
            .stderr(Stdio::null())
            .status();
        if !possible.is_ok_and(|status| status.success()) {
            return None;
        }
        let disk = fleet.path("disk");
        fs::create_dir(&disk).expect("a mount point");
        let pid = PathBuf::from(fleet.path("pid"));
        let child = Command::new("unshare")
            .args(["-rm", "sh", "-c", ON_A_SMALL_DISK])
            .arg(program("slipwayd"))
            .args([&fleet.path("server"), &disk, &kib.to_string(), &format!("127.0.0.1:{}", fleet.port)])
            .arg(&pid)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Some(Small { shell: child.into(), pid })
    }

    /// SIGKILL for the server; its data is back where it was when this returns.
    async fn end(mut self) {
        let pid = fs::read_to_string(&self.pid).expect("the server's id");
        assert!(Command::new("kill").args(["-9", pid.trim()]).status().is_ok_and(|status| status.success()));
        let mut shell = self.shell;
        wait_for("the data to be back", PATIENCE, || {
            let runs = shell.is_running();
            async move { (!runs).then_some(()) }
        })
        .await;
        self.shell = shell;
    }
}

/// Starts a program that may not let any file grow beyond so many KiB: what a full disk is to it.
fn limited(name: &str, kib: usize, arguments: &[&str]) -> Process {
    // `ulimit -f` counts blocks of 512 bytes in a POSIX shell.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kib * 2);
    let child = Command::new("sh")
        .args(["-c", &script])
        .arg(program(name))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    Process::from(child)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_whose_disk_is_full_keeps_what_runs_and_says_so() {
    let factory = noise(9, MIB / 2);
    let mut fleet = Fleet::start(1, &factory, &["--check-in-interval", "1"], &[]);
    let image = noise(1, 3 * MIB);
    fleet.publish(&image, "1.0.0");
    let state = fleet.devices[0].state.to_string_lossy().into_owned();
    // Room for what the agent knows and for a part of the image.
    fleet.devices[0].agent = Some(limited("slipway-agent", 1536, &["run", "--state", &state]));
    has_called(&fleet.admin(), "pump-1").await;
    let name = roll_out(&fleet.admin(), plan("1.0.0", "")).await;
    let update = end_of(&fleet, "pump-1", &name).await;
    let reason = reason_of(&update);
    assert_eq!(update.state(), UpdateState::Failed, "{reason:?}");
    assert!(["SLOT_STORAGE_FULL", "SLOT_IO_FAILED"].contains(&reason.code.as_str()), "{reason:?}");
    assert_documented(&reason.code);
    let device = &mut fleet.devices[0];
    assert_holds(device, "a", &factory, "what the factory put there");
    assert_eq!((device.boot("default").as_str(), device.boot("running").as_str()), ("a", "a"));
    assert!(device.agent.as_mut().is_some_and(Process::is_running), "the agent lives on");
    let held = device.slot("b");
    let whole = held.len() / MIB * MIB;
    assert!(held[..whole] == image[..whole], "what was written was verified");
    if held.len() == whole {
        assert_only_verified(device, &[], &image);
    }

    // The folder is one agent's at a time.
    fleet.devices[0].agent = None;
    fleet.run_agent(0);
    until(&fleet, &name, RolloutState::Paused).await;
    bring(&fleet, "1.0.0").await;
    assert_holds(&fleet.devices[0], "b", &image, "the release");
}

fn batch(sequence: u64) -> SendTelemetryRequest {
    let reading = |number: u64| Reading {
        boot_id: "0123456789abcdef".repeat(4),
        ..reading(1_790_000_000 + i64::try_from(sequence * 1000 + number).unwrap_or(0), 1.0)
    };
    SendTelemetryRequest { sequence, readings: (0..1000).map(reading).collect(), ..Default::default() }
}

async fn member(fleet: &Fleet) -> Member {
    let token = fleet.admin().claim(1, &[]).await;
    let ca = fs::read_to_string(fleet.data().join("server-ca.pem")).expect("the server's CA");
    Member::enroll(fleet.port, &ca, &token, "pump-1", HARDWARE).await.expect("a device")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_disk_is_full_acknowledges_nothing_that_it_cannot_keep() {
    let mut fleet = Fleet::start(0, b"", &[], &[]);
    let member = member(&fleet).await;
    fleet.publish(&noise(1, MIB), "1.0.0");
    fleet.server.kill();
    // The image's segment, the database and its log, and room for a few batches.
    let small = Small::start(&fleet, 4096);
    let can_mount = small.is_some();
    if !can_mount {
        println!("nothing can be mounted here: a limit on the size of files stands for a full disk");
        let (data, listen) = (fleet.path("server"), format!("127.0.0.1:{}", fleet.port));
        fleet.server = limited("slipwayd", 2048, &["serve", "--data", &data, "--listen", &listen]);
    }
    let list = || async { fleet.admin().alerts().list_alerts(ListAlertsRequest::default()).await.ok() };
    wait_for("the server to answer", PATIENCE, list).await;

    let mut acknowledged = Vec::new();
    let mut refused = None;
    for sequence in 1..=200 {
        match member.caller.device().send_telemetry(batch(sequence)).await {
            Ok(_) => acknowledged.push(i64::try_from(sequence).expect("a small number")),
            Err(status) => {
                refused = Some((sequence, status));
                break;
            }
        }
    }
    let (sequence, status) = refused.expect("half a megabyte does not hold 200 batches of 100 KB");
    assert_refused(&status, Code::ResourceExhausted, "STORAGE_FULL", &["full"]);
    assert_documented("STORAGE_FULL");
    assert!(!acknowledged.is_empty(), "there was some room");
    // Publishing is refused too, and the command line says what to do.
    let image = PathBuf::from(fleet.path("next.img"));
    fs::write(&image, noise(2, MIB)).expect("an image");
    let (profile, keys) = (fleet.path("server/client.toml"), fleet.path("keys"));
    let mut arguments = vec!["--profile", &profile, "release", "publish"];
    let image = image.to_string_lossy().into_owned();
    arguments.extend([&*image, "--version", "2.0.0", "--hardware", HARDWARE, "--product", PRODUCT]);
    arguments.extend(["--keys", &*keys, "--new-hardware"]);
    let output = attempt("slipway", &arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("hint: "), "{said}");
    assert!(said.contains("STORAGE_FULL"), "{said}");

    if let Some(small) = small {
        small.end().await;
    }
    // With room again everything goes on where it stood.
    fleet.restart_server();
    member.caller.device().send_telemetry(batch(sequence)).await.expect("taken now");
    let kept = fleet.slipway(&["release", "list"]);
    assert!(kept.contains("1.0.0") && !kept.contains("2.0.0"), "{kept}");
    assert!(attempt("slipway", &arguments).status.success(), "and the release is published");
    fleet.server.kill();
    let file = format!("sqlite:{}", fleet.data().join("slipway.db").display());
    let mut db = SqliteConnection::connect(&file).await.expect("the server's database");
    let kept: Vec<i64> = sqlx::query_scalar("SELECT sequence FROM inbox ORDER BY sequence")
        .fetch_all(&mut db)
        .await
        .expect("the inbox");
    println!("{} batches acknowledged before the disk was full", acknowledged.len());
    assert!(acknowledged.iter().all(|sequence| kept.contains(sequence)), "{acknowledged:?} of {kept:?}");
}
