//! Kills of the server while readings come in: each acknowledged one counts once, and what is learned and told of them
//! is what an undisturbed server learns and tells.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use slipway_proto::v1::{CreateLimitRequest, DataClass, Limit, Reading, SendTelemetryRequest};
use slipway_server::{
    clock::Clock,
    model::{alert::Alert, time::Timestamp},
    store::{
        Db,
        alert_events::alert_events_after,
        series::{SeriesRow, series_of_device},
    },
};
use slipway_tests::{clock::wait_for, desk::HARDWARE, fleet::Fleet, member::Member};
use sqlx::{Connection as _, SqliteConnection};

/// Kills in an ordinary run; `SLIPWAY_KILLS=100` makes a campaign of it.
const KILLS: usize = 8;
const DEVICES: usize = 4;
/// Batches of each device, one each five minutes; less than two days, so that none is history.
const BATCHES: usize = 540;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_load_count_no_reading_twice_and_lose_no_alert() {
    let seed = number("SLIPWAY_SEED", 20_261_122);
    let kills = usize::try_from(number("SLIPWAY_KILLS", KILLS as u64)).unwrap_or(KILLS);
    println!("seed {seed}, {kills} kills: SLIPWAY_SEED={seed} SLIPWAY_KILLS={kills} repeats them");
    let now = Clock::System.now().millis();
    let undisturbed = run(seed, now, 0).await;
    let killed = run(seed, now, kills).await;
    let told: usize = undisturbed.iter().map(|device| device.events.len()).sum();
    println!("{told} changes of alerts, {} batches", DEVICES * BATCHES);
    assert!(told >= 2 * DEVICES, "the readings tell nothing: {told} changes of alerts");
    for (device, (undisturbed, killed)) in undisturbed.iter().zip(&killed).enumerate() {
        assert_eq!(usize::try_from(killed.batches), Ok(BATCHES), "pump-{device}: each batch is there once");
        assert_eq!(killed.series, undisturbed.series, "pump-{device}: the same was learned");
        assert_eq!(killed.events, undisturbed.events, "pump-{device}: the same was told, once each");
        assert_eq!(killed.alerts, undisturbed.alerts, "pump-{device}: no alert is there twice");
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What a server knows of a device in the end.
struct Known {
    batches: i64,
    alerts: i64,
    series: Vec<SeriesRow>,
    events: Vec<Alert>,
}

/// Sends everything to a server that is killed so many times meanwhile.
async fn run(seed: u64, now: i64, kills: usize) -> Vec<Known> {
    let mut fleet = tokio::task::block_in_place(|| Fleet::start(0, b"", &[], &[]));
    let limit = Limit {
        name: "limits/filter".to_owned(),
        metric: "filter.pressure_drop".to_owned(),
        value: 300.0,
        ..Limit::default()
    };
    fleet
        .admin()
        .alerts()
        .create_limit(CreateLimitRequest { limit: Some(limit), take_over: false })
        .await
        .expect("a limit");
    let claim = fleet.admin().claim(u32::try_from(DEVICES).unwrap_or(1), &[]).await;
    let ca = std::fs::read_to_string(fleet.data().join("server-ca.pem")).expect("the server's CA");
    let killed = Arc::new(AtomicUsize::new(0));
    let mut senders = Vec::new();
    for device in 0..DEVICES {
        let member = Member::enroll(fleet.port, &ca, &claim, &format!("pump-{device}"), HARDWARE).await;
        let member = member.expect("a device");
        let batches = batches(seed + device as u64, now);
        let rng = StdRng::seed_from_u64(seed ^ device as u64);
        senders.push(tokio::spawn(send(member, batches, rng, kills, killed.clone())));
    }
    let mut rng = StdRng::seed_from_u64(seed);
    while killed.load(Ordering::Relaxed) < kills {
        tokio::time::sleep(Duration::from_millis(rng.random_range(5..250))).await;
        tokio::task::block_in_place(|| fleet.restart_server());
        killed.fetch_add(1, Ordering::Relaxed);
    }
    for sender in senders {
        sender.await.expect("a device that sent everything");
    }
    let file = fleet.data().join("slipway.db");
    wait_for("everything to be consumed", Duration::from_secs(60), || async {
        (counted(&file, "SELECT COUNT(*) FROM inbox WHERE consumed = 0 AND device_id >= $1", "").await == 0)
            .then_some(())
    })
    .await;
    // The last word is the disk's: the server does not get to tidy up.
    fleet.server.kill();
    known(&file).await
}

async fn counted(file: &Path, sql: &'static str, device: &str) -> i64 {
    let mut db =
        SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.expect("the database");
    sqlx::query_scalar(sql).bind(device).fetch_one(&mut db).await.expect("a count")
}

/// Sends the batches in order, each until it is acknowledged, and some again afterwards. Runs ahead of the kills only
/// as far as leaves work under way for each of those that are to come.
async fn send(
    member: Member,
    batches: Vec<Vec<Reading>>,
    mut rng: StdRng,
    kills: usize,
    killed: Arc<AtomicUsize>,
) {
    let total = batches.len();
    for (index, readings) in batches.into_iter().enumerate() {
        while index * (kills + 1) >= (killed.load(Ordering::Relaxed) + 1) * total {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let sequence = index as u64 + 1;
        let request = SendTelemetryRequest { sequence, readings, ..SendTelemetryRequest::default() };
        let mut times = if rng.random_range(0..10) == 0 { 2 } else { 1 };
        wait_for("the server to take a batch", Duration::from_secs(60), || {
            let (request, member) = (request.clone(), &member);
            async move { member.caller.device().send_telemetry(request).await.ok() }
        })
        .await;
        while times > 1 {
            times -= 1;
            // Whether the server still runs to hear it does not matter.
            let _ = member.caller.device().send_telemetry(request.clone()).await;
        }
    }
}

/// Two days of a filter that clogs, a gauge that jumps after a day, and a counter that starts over.
fn batches(seed: u64, now: i64) -> Vec<Vec<Reading>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut total, mut boot) = (0.0, 1);
    (0..BATCHES)
        .map(|index| {
            let at_ms = now - 300_000 * (BATCHES - index) as i64;
            let reading = |metric: &str, unit: &str, value: f64, boot_id: String| Reading {
                component: "filter".to_owned(),
                metric: metric.to_owned(),
                unit: unit.to_owned(),
                data_class: DataClass::Essential.into(),
                time: Some(prost_types::Timestamp {
                    seconds: at_ms.div_euclid(1000),
                    nanos: i32::try_from(at_ms.rem_euclid(1000) * 1_000_000).unwrap_or(0),
                }),
                value,
                boot_id,
            };
            // It reaches its limit three days after the last reading.
            let wear = 100.0 + 0.145 * index as f64 + rng.random_range(-0.5..0.5);
            let jump = if [400, 470, 520].contains(&index) { 60.0 } else { 0.0 };
            let gauge = 40.0 + jump + rng.random_range(-1.0..1.0);
            if rng.random_range(0..100) == 0 {
                (total, boot) = (0.0, boot + 1);
            }
            total += rng.random_range(50.0..60.0);
            vec![
                reading("filter.pressure_drop", "Pa", wear, String::new()),
                reading("hw.temperature", "Cel", gauge, String::new()),
                reading("hw.errors", "{errors}", total, format!("boot-{boot}")),
            ]
        })
        .collect()
}

/// What the database has of each device; of alerts not what chance and the hour give them.
async fn known(file: &Path) -> Vec<Known> {
    let db = Db::open_sqlite(file).await.expect("the server's database");
    let mut tx = db.read().await.expect("a transaction");
    let events = alert_events_after(&mut tx, 0, 100_000).await.expect("the events");
    let mut all = Vec::new();
    for device in 0..DEVICES {
        let id = format!("pump-{device}");
        let of_device = events.iter().filter(|event| event.alert.device_id == id);
        let never = Timestamp::from_millis(0);
        let events = of_device.map(|event| Alert {
            id: String::new(),
            created_at: never,
            updated_at: never,
            resolved_at: event.alert.resolved_at.map(|_| never),
            ..event.alert.clone()
        });
        all.push(Known {
            batches: counted(file, "SELECT COUNT(*) FROM inbox WHERE device_id = $1", &id).await,
            alerts: counted(file, "SELECT COUNT(*) FROM alerts WHERE device_id = $1", &id).await,
            events: events.collect(),
            series: series_of_device(&mut tx, &id).await.expect("the series"),
        });
    }
    all
}
