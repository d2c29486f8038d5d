//! SIGKILL of the server while it archives: every acknowledged reading is there once.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use slipway_proto::v1::{DataClass, Reading, SendTelemetryRequest};
use slipway_server::clock::Clock;
use slipway_tests::{
    clock::wait_for,
    fleet::{Fleet, HARDWARE},
    member::Member,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Batches of 1,000 readings: more than one job takes, so that the archive does not wait for more.
const BATCHES: u64 = 150;
const KILLS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_no_reading_and_archive_none_twice() {
    let seed = std::env::var("SLIPWAY_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_124);
    println!("seed {seed}: SLIPWAY_SEED={seed} repeats these kills");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut fleet = Fleet::start(0, b"", &[], &[]);
    let ca = fs::read_to_string(fleet.data().join("server-ca.pem")).expect("the CA");
    let claim = fleet.admin().claim(1, &[]).await;
    let member = Member::enroll(fleet.port, &ca, &claim, "pump-1", HARDWARE).await.expect("a device");
    let start = Clock::System.now().seconds() - i64::try_from(BATCHES).unwrap_or(0) * 1_000;
    let mut sent = 0;
    for kill in 0..=KILLS {
        let until = BATCHES * (kill as u64 + 1) / (KILLS as u64 + 1);
        while sent < until {
            let request = batch(sent, start);
            // A batch whose answer was lost is sent again, as a device does.
            wait_for("the server to take a batch", PATIENCE, || async {
                member.caller.device().send_telemetry(request.clone()).await.ok()
            })
            .await;
            sent += 1;
        }
        if kill < KILLS {
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..700))).await;
            fleet.restart_server();
        }
    }
    // The first job of a start is at once; what waits for others in the inbox is as good.
    let data = fleet.data();
    wait_for("files of the archive", PATIENCE, || async { (files(&data) > 0).then_some(()) }).await;
    let path = fleet.path("all.csv");
    fleet.slipway(&["telemetry", "export", "--device", "pump-1", "--out", &path]);
    let text = fs::read_to_string(&path).expect("the export");
    let lines: Vec<&str> = text.lines().skip(1).collect();
    let distinct: BTreeSet<&str> = lines.iter().copied().collect();
    assert_eq!((lines.len(), distinct.len()), (BATCHES as usize * 1_000, BATCHES as usize * 1_000));
}

fn batch(number: u64, start: i64) -> SendTelemetryRequest {
    let first = i64::try_from(number).unwrap_or(0) * 1_000;
    let readings = (first..first + 1_000).map(|second| Reading {
        component: "system".into(),
        metric: "system.memory.utilization.of.a.long.name".into(),
        unit: "1".into(),
        data_class: DataClass::Essential.into(),
        time: Some(prost_types::Timestamp { seconds: start + second, nanos: 0 }),
        value: second as f64,
        ..Reading::default()
    });
    SendTelemetryRequest { sequence: number + 1, readings: readings.collect(), ..Default::default() }
}

/// Files in the archive, of whichever day.
fn files(data: &Path) -> usize {
    let Ok(days) = fs::read_dir(data.join("objects/telemetry/class=essential")) else { return 0 };
    days.flatten().filter_map(|day| fs::read_dir(day.path()).ok()).flatten().count()
}
