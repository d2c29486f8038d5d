//! Kills of agents and of the server while agents send what they kept: each reading that an agent said it has is in
//! the archive once, and what the server learned and told of them is what an undisturbed one learns and tells.

use std::{collections::BTreeMap, fmt::Write as _, fs, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use slipway_proto::v1::{
    CreateLimitRequest, DataClass, Limit, ListAlertsRequest, Reading, SendTelemetryRequest,
};
use slipway_server::store::{
    Db,
    inbox::inbox_waiting,
    series::{SeriesRow, series_of_device},
};
use slipway_tests::{
    clock::{stopwatch, wait_for},
    desk::HARDWARE,
    fleet::Fleet,
    member::Member,
    processes::{self, Process},
};

/// Kills in an ordinary run; `SLIPWAY_KILLS=100` makes a campaign of it.
const KILLS: usize = 15;
/// After so many kills every agent gets new readings: what it has is sent within seconds.
const KILLS_A_ROUND: usize = 5;
const DEVICES: usize = 3;
/// Readings that an agent gets at once, one a second: its spool holds several times as many.
const READINGS: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(120);
const METRIC: &str = "filter.pressure_drop";

/// Readings of one series in the order of their times, with the time as it is exported.
type Told = BTreeMap<(String, String), Vec<(String, f64)>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_agents_and_server_lose_no_reading_and_count_none_twice() {
    let number = |variable: &str| std::env::var(variable).ok().and_then(|text| text.parse().ok());
    let seed = number("SLIPWAY_SEED").unwrap_or(20_261_125);
    let kills = number("SLIPWAY_KILLS").and_then(|kills| usize::try_from(kills).ok()).unwrap_or(KILLS);
    println!("seed {seed}, {kills} kills: SLIPWAY_SEED={seed} SLIPWAY_KILLS={kills} repeats them");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut fleet = tokio::task::block_in_place(|| Fleet::start(DEVICES, b"factory", &[], &[]));
    limit(&fleet).await;
    let rounds = kills.div_ceil(KILLS_A_ROUND);
    let mut killed = [0, 0];
    for round in 0..rounds {
        tokio::task::block_in_place(|| keep(&mut fleet, round));
        for _ in 0..KILLS_A_ROUND.min(kills - round * KILLS_A_ROUND) {
            tokio::time::sleep(Duration::from_millis(rng.random_range(5..200))).await;
            let victim = rng.random_range(0..DEVICES + 1);
            tokio::task::block_in_place(|| {
                if victim < DEVICES {
                    kill_agent(&mut fleet, victim);
                    fleet.run_agent(victim);
                } else {
                    fleet.restart_server();
                }
            });
            killed[usize::from(victim == DEVICES)] += 1;
        }
        // A spool is bounded: what never has the time to be sent is dropped in the end, and rightly so.
        let round = format!("round-{round}");
        wait_for("every reading of the round to arrive", PATIENCE, || async {
            let told = tokio::task::block_in_place(|| exported(&fleet, &round));
            (told.values().map(Vec::len).sum::<usize>() >= DEVICES * READINGS).then_some(())
        })
        .await;
    }
    println!("{} kills of agents, {} of the server", killed[0], killed[1]);

    let told = tokio::task::block_in_place(|| exported(&fleet, ""));
    assert_eq!(told.len(), DEVICES * rounds);
    for (series, readings) in &told {
        let differs = readings.iter().map(|reading| reading.1).ne((0..READINGS).map(value));
        if differs {
            let first = readings.iter().zip(0..).find(|(reading, index)| reading.1 != value(*index));
            panic!("{series:?}: {} readings instead of each once, the first amiss {first:?}", readings.len());
        }
    }
    (0..DEVICES).for_each(|index| kill_agent(&mut fleet, index));
    let (learned, alerts) = known(&mut fleet).await;
    assert_eq!(alerts, told.keys().map(|series| (series.clone(), 1)).collect(), "one alert for each filter");
    assert_eq!(learned, undisturbed(&told).await, "the same was learned");
}

/// A wear that reaches the limit shortly before the end.
fn value(index: usize) -> f64 {
    100.0 + index as f64 / 64.0
}

async fn limit(fleet: &Fleet) {
    let limit = Limit {
        name: "limits/filter".to_owned(),
        metric: METRIC.to_owned(),
        value: value(READINGS - 500),
        ..Limit::default()
    };
    fleet
        .admin()
        .alerts()
        .create_limit(CreateLimitRequest { limit: Some(limit), take_over: false })
        .await
        .expect("a limit");
}

/// Every agent keeps a series of its own for this round, while the server is away, and says so. All run then.
fn keep(fleet: &mut Fleet, round: usize) {
    fleet.server.kill();
    let mut series = "seconds,component,metric,unit,class,value\n".to_owned();
    for index in 0..READINGS {
        let _ = writeln!(series, "{index},round-{round},{METRIC},Pa,essential,{}", value(index));
    }
    let path = fleet.path("series.csv");
    fs::write(&path, series).expect("a file");
    for index in 0..DEVICES {
        kill_agent(fleet, index);
        let device = &mut fleet.devices[index];
        let begin = fs::metadata(&device.log).map_or(0, |log| log.len());
        device.agent = Some(processes::agent(&device.state, &device.log, &["--replay", &path]));
        let words = format!("replays {READINGS} readings");
        let began = stopwatch();
        while !fs::read_to_string(&device.log)
            .is_ok_and(|log| log[usize::try_from(begin).unwrap_or(0)..].contains(&words))
        {
            assert!(began.elapsed() < PATIENCE, "{}: {}", device.id, device.last_words());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    // From now on an agent that starts sends what it has, and keeps nothing more of the series.
    for index in 0..DEVICES {
        kill_agent(fleet, index);
        fleet.run_agent(index);
    }
    fleet.restart_server();
}

fn kill_agent(fleet: &mut Fleet, index: usize) {
    if let Some(agent) = &mut fleet.devices[index].agent {
        Process::kill(agent);
    }
}

/// Inbox and archive as an operator gets them, of one component or all, without what the agents measured themselves.
fn exported(fleet: &Fleet, component: &str) -> Told {
    let path = fleet.path("all.csv");
    let of = ["--selector", "", "--component", component, "--metric", METRIC];
    fleet.slipway(&[&["telemetry", "export"], &of[..], &["--out", &path]].concat());
    let text = fs::read_to_string(&path).expect("the export");
    let mut told = Told::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [device, component, .., time, value, _] = fields.as_slice() else { panic!("{line}") };
        let value = value.parse().expect("a number");
        told.entry(((*device).to_owned(), (*component).to_owned()))
            .or_default()
            .push(((*time).to_owned(), value));
    }
    // An export is in the order in which it lies in files; the values of a series rise with its times.
    told.values_mut().for_each(|readings| readings.sort_by(|a, b| a.1.total_cmp(&b.1)));
    told
}

/// What is learned of each series, and how many alerts there are about it. The server has the last word, then it is
/// killed.
async fn known(fleet: &mut Fleet) -> (Vec<(String, SeriesRow)>, BTreeMap<(String, String), usize>) {
    let db = Db::open_sqlite(&fleet.data().join("slipway.db")).await.expect("the server's database");
    wait_for("everything to be consumed", PATIENCE, || async {
        let mut tx = db.read().await.expect("a transaction");
        inbox_waiting(&mut tx, 1).await.expect("the inbox").is_empty().then_some(())
    })
    .await;
    let mut alerts = BTreeMap::new();
    let request = ListAlertsRequest { page_size: 1000, ..ListAlertsRequest::default() };
    for alert in fleet.admin().alerts().list_alerts(request).await.expect("alerts").into_inner().alerts {
        let device = alert.device.trim_start_matches("devices/").to_owned();
        if alert.component.starts_with("round-") {
            *alerts.entry((device, alert.component)).or_default() += 1;
        }
    }
    fleet.server.kill();
    let mut tx = db.read().await.expect("a transaction");
    let mut learned = Vec::new();
    for index in 1..=DEVICES {
        let device = format!("pump-{index}");
        let series = series_of_device(&mut tx, &device).await.expect("the series");
        let of_rounds = series.into_iter().filter(|row| row.component.starts_with("round-"));
        learned.extend(of_rounds.map(|row| (device.clone(), row)));
    }
    learned.sort_by(|a, b| (&a.0, &a.1.component).cmp(&(&b.0, &b.1.component)));
    (learned, alerts)
}

/// What a server learns of the same readings when nothing happens.
async fn undisturbed(told: &Told) -> Vec<(String, SeriesRow)> {
    let mut fleet = tokio::task::block_in_place(|| Fleet::start(0, b"", &[], &[]));
    limit(&fleet).await;
    let claim = fleet.admin().claim(u32::try_from(DEVICES).unwrap_or(1), &[]).await;
    let ca = fs::read_to_string(fleet.data().join("server-ca.pem")).expect("the server's CA");
    let mut members: BTreeMap<&str, (Member, u64)> = BTreeMap::new();
    for ((device, component), readings) in told {
        if !members.contains_key(device.as_str()) {
            let member = Member::enroll(fleet.port, &ca, &claim, device, HARDWARE).await.expect("a device");
            members.insert(device, (member, 0));
        }
        let Some((member, sequence)) = members.get_mut(device.as_str()) else { continue };
        for some in readings.chunks(1000) {
            *sequence += 1;
            let readings = some.iter().map(|(time, value)| Reading {
                component: component.clone(),
                metric: METRIC.to_owned(),
                unit: "Pa".to_owned(),
                data_class: DataClass::Essential.into(),
                time: Some(time.parse().expect("a time")),
                value: *value,
                boot_id: String::new(),
            });
            let request = SendTelemetryRequest {
                sequence: *sequence,
                readings: readings.collect(),
                ..SendTelemetryRequest::default()
            };
            wait_for("the server to take a batch", PATIENCE, || {
                let (request, member) = (request.clone(), &*member);
                async move { member.caller.device().send_telemetry(request).await.ok() }
            })
            .await;
        }
    }
    known(&mut fleet).await.0
}
