//! Days of a data centre's disks through the running server: which of those that failed were told before, how many of
//! the healthy were told in vain, and what it cost.
//!
//! A server has 45 disks, as the storage pods of the recording had, and is one device; a disk is a component of it.
//! Each sends what its disks say once a day; the server's clock goes with the days. The limits are those that ship in
//! `deploy/limits`.

mod recording;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    time::Duration,
};

use slipway_proto::v1::{Alert, DataClass, ListAlertsRequest, Reading, SendTelemetryRequest};
use slipway_server::store::inbox::inbox_waiting;
use slipway_tests::{clock, cpu, member::Member, world::World};

use crate::recording::{ATTRIBUTES, Recording, Row};

/// Disks of a storage pod.
const PER_HOST: usize = 45;
/// Calls under way at once.
const AT_ONCE: usize = 32;
const DAY: Duration = Duration::from_secs(86_400);
/// The limits that ship, and the way of failing that they are about.
const LIMITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/limits/disks.toml");
const FAILING: &str = "disk_failing";

/// What became of one disk.
#[derive(Debug, Default)]
struct Disk {
    host: usize,
    failed: bool,
    /// Alerts that were open at the same time, at most, by the way of failing.
    open: BTreeMap<String, u32>,
    told: bool,
}

fn main() {
    let data = std::env::args().skip_while(|argument| argument != "--data").nth(1);
    let data = PathBuf::from(data.expect("--data DIR"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(replay(data));
}

async fn replay(data: PathBuf) {
    let world = World::start().await;
    world.init_trust();
    world.slipway(&["limit", "apply", "--file", LIMITS]);
    let mut fleet = Fleet { world, hosts: Vec::new(), disks: HashMap::new(), sequence: 0 };
    let (mut rows, mut readings, mut days) = (0, 0, 0);
    let process = std::process::id();
    let (before, watch) = (cpu::used(process), clock::stopwatch());
    let mut today: Vec<Row> = Vec::new();
    for row in Recording::open(&data) {
        if today.first().is_some_and(|first| first.date != row.date) {
            readings += fleet.day(&std::mem::take(&mut today)).await;
            days += 1;
        }
        rows += 1;
        today.push(row);
    }
    readings += fleet.day(&today).await;
    let (cpu, wall) = (cpu::used(process) - before, watch.elapsed());

    let (failed, healthy): (Vec<&Disk>, Vec<&Disk>) = fleet.disks.values().partition(|disk| disk.failed);
    let told = |disks: &[&Disk]| disks.iter().filter(|disk| disk.told).count();
    let (caught, in_vain) = (told(&failed), told(&healthy));
    let most = fleet.disks.values().flat_map(|disk| disk.open.values()).max().copied().unwrap_or(0);
    println!(
        "{rows} rows of {} disks in {} servers, {} days",
        fleet.disks.len(),
        fleet.hosts.len(),
        days + 1
    );
    println!("{:<44} {:>8} {:>10}", "FIGURE", "HERE", "REFERENCE");
    let line = |what: &str, here: String, reference: &str| println!("{what:<44} {here:>8} {reference:>10}");
    line("failed disks that were told before", ratio(caught, failed.len()), "0.57");
    line("healthy disks that were told", ratio(in_vain, healthy.len()), "0.034");
    line("open alerts of a disk and failure mode, most", most.to_string(), "1");
    line("CPU us a reading, callers and server", format!("{:.1}", micros(cpu) / f64::from(readings)), "");
    line("CPU s", format!("{:.1}", cpu.as_secs_f64()), "");
    line("wall s", format!("{:.1}", wall.as_secs_f64()), "");
    line("peak memory MB, callers and server", format!("{:.0}", cpu::peak_memory(process) as f64 / 1e6), "");
    fleet.world.stop().await;
}

/// The servers with their disks, and what they are connected to.
struct Fleet {
    world: World,
    hosts: Vec<Member>,
    disks: HashMap<String, Disk>,
    sequence: u64,
}

impl Fleet {
    /// One day: everybody sends, the server thinks it over, and somebody reads its alerts. Returns the readings.
    async fn day(&mut self, rows: &[Row]) -> u32 {
        self.world.clock.advance(DAY);
        self.sequence += 1;
        self.settle_in(rows).await;
        let seconds = self.world.clock.now().millis() / 1000;
        let mut batches: BTreeMap<usize, Vec<Reading>> = BTreeMap::new();
        for row in rows {
            let host = self.disks[&row.serial].host;
            batches.entry(host).or_default().extend(readings(row, seconds));
        }
        let count = batches.values().map(Vec::len).sum::<usize>();
        let batches: Vec<(usize, Vec<Reading>)> = batches.into_iter().collect();
        for chunk in batches.chunks(AT_ONCE) {
            let calls = chunk.iter().map(|(host, readings)| {
                let request = SendTelemetryRequest {
                    sequence: self.sequence,
                    readings: readings.clone(),
                    ..SendTelemetryRequest::default()
                };
                let caller = self.hosts[*host].caller.clone();
                async move { caller.device().send_telemetry(request).await.expect("taken").into_inner() }
            });
            for answer in futures_util::future::join_all(calls).await {
                assert_eq!(answer.dropped, 0, "every reading is taken");
            }
        }
        self.consumed().await;
        for row in rows.iter().filter(|row| row.failed) {
            self.disks.get_mut(&row.serial).expect("a disk").failed = true;
        }
        self.read_alerts().await;
        u32::try_from(count).expect("fewer than four billion readings")
    }

    /// Gives every new disk a place, and enrols the servers that this takes.
    async fn settle_in(&mut self, rows: &[Row]) {
        for row in rows {
            if !self.disks.contains_key(&row.serial) {
                let host = self.disks.len() / PER_HOST;
                self.disks.insert(row.serial.clone(), Disk { host, ..Disk::default() });
            }
        }
        let needed = self.disks.len().div_ceil(PER_HOST);
        while self.hosts.len() < needed {
            let mut member = self.world.member(&format!("pod-{:04}", self.hosts.len()), &[]).await;
            member.inventory.consent = vec![DataClass::Essential.into(), DataClass::Diagnostic.into()];
            member.settle().await;
            self.hosts.push(member);
        }
    }

    async fn consumed(&self) {
        let db = &self.world.running.context.db;
        clock::wait_for("the readings of a day", Duration::from_secs(600), || async {
            let mut tx = db.read().await.expect("the database");
            inbox_waiting(&mut tx, 1).await.expect("the inbox").is_empty().then_some(())
        })
        .await;
    }

    async fn read_alerts(&mut self) {
        let names: HashMap<String, String> =
            self.disks.keys().map(|serial| (component(serial), serial.clone())).collect();
        let mut open: BTreeMap<(String, String), u32> = BTreeMap::new();
        for alert in self.alerts().await {
            let Some(serial) = names.get(&alert.component) else { continue };
            let disk = self.disks.get_mut(serial).expect("a disk");
            // That a disk behaves otherwise than before is worth a look, and does not say that it fails.
            disk.told |= alert.failure_mode == FAILING;
            *open.entry((serial.clone(), alert.failure_mode)).or_default() += 1;
        }
        for ((serial, mode), count) in open {
            let most = self.disks.get_mut(&serial).expect("a disk").open.entry(mode).or_default();
            *most = count.max(*most);
        }
    }

    /// Those that are not resolved.
    async fn alerts(&self) -> Vec<Alert> {
        let mut client = self.world.admin().alerts();
        let (mut alerts, mut seen, mut token) = (Vec::new(), BTreeSet::new(), String::new());
        loop {
            let request = ListAlertsRequest {
                page_size: 1000,
                page_token: token,
                filter: "state = \"open\"".to_owned(),
                ..Default::default()
            };
            let page = client.list_alerts(request).await.expect("a page").into_inner();
            alerts.extend(page.alerts.into_iter().filter(|alert| seen.insert(alert.name.clone())));
            token = page.next_page_token;
            if token.is_empty() {
                return alerts;
            }
        }
    }
}

/// What one disk said, as its server sends it.
fn readings(row: &Row, seconds: i64) -> impl Iterator<Item = Reading> {
    let component = component(&row.serial);
    ATTRIBUTES.into_iter().zip(row.values).filter_map(move |((_, metric, unit), value)| {
        Some(Reading {
            component: component.clone(),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            data_class: DataClass::Diagnostic.into(),
            time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            value: value?,
            boot_id: String::new(),
        })
    })
}

fn component(serial: &str) -> String {
    serial.to_ascii_lowercase()
}

fn ratio(part: usize, whole: usize) -> String {
    format!("{:.3}", part as f64 / whole.max(1) as f64)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
