//! What readings cost the server: from the call that brings a batch to the state of its series, saved.
//!
//! The server is a process of its own, so that the CPU it burns can be told from the callers'. Devices send a batch
//! each minute with one reading of each series, as fast as the server takes them; what a minute of the whole fleet
//! costs is then a share of a core. Beside it the same readings go into a table of the same database engine in bulk,
//! one row each and nothing else: the floor under any server that keeps them.

mod bulk;

use std::{
    hash::{DefaultHasher, Hash, Hasher as _},
    time::Duration,
};

use futures_util::future::join_all;
use slipway_proto::v1::{CreateLimitRequest, DataClass, Limit, Reading, SendTelemetryRequest};
use slipway_server::store::{Db, inbox::inbox_waiting};
use slipway_tests::{clock, cpu, desk::HARDWARE, fleet::Fleet, member::Member};
use sqlx::{Connection as _, SqliteConnection};

/// Devices, each on a connection of its own.
const DEVICES: usize = 1_000;
/// Series of each: what a machine with some disks, fans and networks reports.
const SERIES: usize = 200;
/// Readings of a series: the first makes the state, the others are measured.
const MINUTES: usize = 6;
/// Readings of half of the series before.
const WARM: usize = 12;
/// Seconds between two.
const MINUTE: i64 = 60;
/// Devices whose series all have a limit.
const LIMITED: usize = 200;
/// Readings of those, an hour apart.
const HOURS: usize = 6;
/// Calls under way at once.
const AT_ONCE: usize = 32;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // Its commands wait for processes, which one thread that also drives calls must not.
    let fleet = Fleet::start(0, b"", &["--log", "warn"], &[]);
    runtime.block_on(measure(&fleet));
    drop(fleet);
    let fleet = Fleet::start(0, b"", &["--log", "warn"], &[]);
    runtime.block_on(measure_limits(&fleet));
}

async fn measure(fleet: &Fleet) {
    println!("{DEVICES} devices with {SERIES} series each, one reading of each a minute");
    let members = members(fleet, DEVICES).await;
    let db = Db::open_sqlite(&fleet.data().join("slipway.db")).await.expect("the server's database");
    let process = fleet.server.id();
    // Connected, and with as much on the way as later: what a connection takes is not what a series does.
    for some in members.chunks(AT_ONCE) {
        let batch = |member| send(member, 1, (0..SERIES).flat_map(|n| readings(member, n, 1, 1)).collect());
        join_all(some.iter().map(batch)).await;
    }
    consumed(&db).await;
    // Half of the devices for so long that the archive has worked and no buffer grows any more: what the others add then is
    // what series take.
    let (half, rest) = members.split_at(DEVICES / 2);
    for minute in 1..=WARM {
        everybody_sends(half, minute).await;
    }
    consumed(&db).await;
    archived(fleet, half.len() * SERIES * WARM).await;
    let of_half = cpu::peak_memory(process);
    let mut best = f64::INFINITY;
    let mut begun = Duration::ZERO;
    for minute in 0..MINUTES {
        let before = cpu::used(process);
        if minute == 1 {
            begun = before;
        }
        everybody_sends(&members, WARM + 1 + minute).await;
        consumed(&db).await;
        let used = (cpu::used(process) - before).as_secs_f64();
        println!("  minute {minute}: {used:.2} s of CPU");
        // The first one makes the series; what disturbs one of the others only ever adds.
        if minute > 0 {
            best = best.min(used);
        }
    }
    let archive = archived(fleet, DEVICES * SERIES * MINUTES + half.len() * SERIES * WARM).await;
    let with_archive = (cpu::used(process) - begun).as_secs_f64();
    let peak = cpu::peak_memory(process);
    let bulk = bulk::micros_a_reading(&readings(&members[0], 0, MINUTE, SERIES), DEVICES);

    let all = (DEVICES * SERIES) as f64;
    let micros = best * 1e6 / all;
    line("CPU us a reading, from the call to the saved state", format!("{micros:.2}"), "");
    line("readings a second and core", format!("{:.0}", 1e6 / micros), "");
    line("  the same rows inserted in bulk and nothing else", format!("{:.0}", 1e6 / bulk), "");
    line("  ratio", format!("{:.2}", bulk / micros), "");
    let share = 200_000.0 / 60.0 * micros / 1e4;
    line("share of a core, 200,000 series a minute", format!("{share:.1} %"), "below 10 %");
    let measured = all * (MINUTES - 1) as f64;
    line(
        "CPU us a reading, of all minutes and the archive",
        format!("{:.2}", with_archive * 1e6 / measured),
        "",
    );
    line("archive, bytes a reading", format!("{archive:.1}"), "");
    line("peak memory MB", format!("{:.0}", peak as f64 / 1e6), "");
    line(
        "  that the second half of the series added, bytes each",
        format!("{:.0}", peak.saturating_sub(of_half) as f64 / (rest.len() * SERIES) as f64),
        "at most 512",
    );
    let database = std::fs::metadata(fleet.data().join("slipway.db")).map_or(0, |file| file.len());
    line("database, bytes a series", format!("{:.0}", database as f64 / all), "");
}

/// The most that limits cost: one on every series, and with each reading a sample for the course of its part.
async fn measure_limits(fleet: &Fleet) {
    for metric in 0..10 {
        let limit = Limit {
            name: format!("limits/limit-{metric}"),
            metric: format!("hw.sensor.reading_{metric}"),
            value: 200.0,
            ..Limit::default()
        };
        let request = CreateLimitRequest { limit: Some(limit), take_over: false };
        fleet.admin().alerts().create_limit(request).await.expect("a limit");
    }
    let members = members(fleet, LIMITED).await;
    let db = Db::open_sqlite(&fleet.data().join("slipway.db")).await.expect("the server's database");
    let process = fleet.server.id();
    let mut best = f64::INFINITY;
    for hour in 0..HOURS {
        let before = cpu::used(process);
        for some in members.chunks(AT_ONCE) {
            join_all(
                some.iter()
                    .map(|member| send(member, hour as u64 + 1, readings(member, hour, 60 * MINUTE, SERIES))),
            )
            .await;
        }
        consumed(&db).await;
        if hour > 0 {
            best = best.min((cpu::used(process) - before).as_secs_f64());
        }
    }
    let micros = best * 1e6 / (LIMITED * SERIES) as f64;
    line("CPU us a reading under a limit, one an hour", format!("{micros:.2}"), "");
    let share = 200_000.0 / 3600.0 * micros / 1e4;
    line("  share of a core, 200,000 series an hour", format!("{share:.2} %"), "");
}

fn line(what: &str, measured: String, asked: &str) {
    println!("{what:<52} {measured:>12}  {asked}");
}

async fn members(fleet: &Fleet, count: usize) -> Vec<Member> {
    let claim = fleet.admin().claim(u32::try_from(count).unwrap_or(u32::MAX), &[]).await;
    let ca = std::fs::read_to_string(fleet.data().join("server-ca.pem")).expect("the server's CA");
    let mut members = Vec::with_capacity(count);
    for device in 0..count {
        let member = Member::enroll(fleet.port, &ca, &claim, &format!("device-{device}"), HARDWARE).await;
        members.push(member.expect("a device"));
    }
    members
}

/// A reading of each series of these, the `number`-th.
async fn everybody_sends(members: &[Member], number: usize) {
    for some in members.chunks(AT_ONCE) {
        // After the seconds of the first batch.
        let batch = |member| send(member, number as u64 + 1, readings(member, number + 4, MINUTE, SERIES));
        join_all(some.iter().map(batch)).await;
    }
}

async fn send(member: &Member, sequence: u64, readings: Vec<Reading>) {
    let request = SendTelemetryRequest { sequence, readings, ..SendTelemetryRequest::default() };
    for _ in 0..100 {
        // A full queue pushes back.
        if member.caller.device().send_telemetry(request.clone()).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{}: a batch was not taken", member.id);
}

/// One reading of each of the first so many series, the `number`-th of those that are `seconds` apart and began half a day
/// ago: a level of its own for each, with noise of some tenths around it, as sensors have.
fn readings(member: &Member, number: usize, seconds: i64, series: usize) -> Vec<Reading> {
    let now = slipway_server::clock::Clock::System.now().millis() / 1000;
    let reading = |series: usize| {
        let noise = chance(&(&member.id, series, number)) + chance(&(number, series, &member.id)) - 1.0;
        let value = 20.0 + 60.0 * chance(&(&member.id, series)) + noise;
        Reading {
            component: format!("part-{}", series / 10),
            metric: format!("hw.sensor.reading_{}", series % 10),
            unit: "Cel".to_owned(),
            data_class: DataClass::Essential.into(),
            time: Some(prost_types::Timestamp {
                seconds: now - 12 * 3600 + seconds * number as i64,
                nanos: 0,
            }),
            value: (10.0 * value).round() / 10.0,
            boot_id: String::new(),
        }
    };
    (0..series).map(reading).collect()
}

/// From 0 to 1, and always the same for the same.
fn chance(of: &impl Hash) -> f64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64
}

/// Waits until the server has consumed every batch.
async fn consumed(db: &Db) {
    clock::wait_for("every batch to be consumed", Duration::from_secs(120), || async {
        let mut tx = db.read().await.expect("a transaction");
        inbox_waiting(&mut tx, 1).await.expect("the inbox").is_empty().then_some(())
    })
    .await;
}

/// Bytes of a reading in the archive, once it has more than half of so many.
async fn archived(fleet: &Fleet, of: usize) -> f64 {
    let file = format!("sqlite:{}", fleet.data().join("slipway.db").display());
    clock::wait_for("the archive to take readings in", Duration::from_secs(120), || async {
        let mut db = SqliteConnection::connect(&file).await.expect("the server's database");
        let (bytes, readings): (i64, i64) = sqlx::query_as(
            "SELECT COALESCE(SUM(bytes), 0), COALESCE(SUM(readings), 0) FROM archive_files WHERE gone_at = 0",
        )
        .fetch_one(&mut db)
        .await
        .expect("what the archive has");
        let most = readings * 2 > of as i64;
        most.then(|| bytes as f64 / readings as f64)
    })
    .await
}
