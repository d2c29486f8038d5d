//! The server is killed while it tells a desk what happens: nothing that it had acknowledged is left out, and what is
//! told twice bears the same id.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use slipway_proto::v1::{
    AcknowledgeAlertRequest, Alert, AlertState, CreateLimitRequest, CreateWebhookRequest, DataClass, Limit,
    ListAlertsRequest, Reading, ResolveAlertRequest, SendTelemetryRequest, WatchAlertsRequest, Webhook,
};
use slipway_server::clock::Clock;
use slipway_tests::{
    clock::wait_for,
    fleet::{Fleet, HARDWARE},
    member::Member,
    operator::Caller,
    receiver::{Manner, Receiver},
};
use tonic::Code;

/// Kills of the server.
const KILLS: u32 = 25;
/// Alerts that are opened, acknowledged and resolved meanwhile.
const PARTS: usize = 60;
const PATIENCE: Duration = Duration::from_secs(120);
/// An event that failed twice while others were taken is tried again after five minutes.
const RETRIED: Duration = Duration::from_secs(420);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_moments_leave_no_event_untold_and_give_none_a_second_id() {
    let seed = std::env::var("SLIPWAY_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_123);
    println!("seed {seed}: SLIPWAY_SEED={seed} repeats these kills");
    let mut rng = StdRng::seed_from_u64(seed);
    let desk = Receiver::start().await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, &desk.ca_pem).expect("a file");
    let ca = ca.to_string_lossy().into_owned();
    let options = ["--webhook-allow-network", "127.0.0.0/8,::1", "--webhook-ca", &ca];
    let mut fleet = Fleet::start(0, b"", &options, &[]);
    open(&fleet, &desk).await;

    // Another desk watches instead, and remembers where it was.
    let watched = Arc::new(Mutex::new(BTreeSet::new()));
    let watcher = tokio::spawn(watch(fleet.admin(), watched.clone()));

    // What a call that returned OK left behind: (alert, etag).
    let mut acknowledged = BTreeSet::new();
    let mut kills = 0;
    while kills < KILLS || !is_done(&fleet).await {
        let alerts = list(&fleet).await;
        for alert in alerts {
            if rng.random_range(0..4) == 0 && kills < KILLS {
                tokio::time::sleep(Duration::from_millis(rng.random_range(0..150))).await;
                // Sometimes the desk itself is in trouble.
                desk.be(if rng.random_range(0..3) == 0 { Manner::Close } else { Manner::Answer(200) });
                fleet.restart_server();
                kills += 1;
            }
            if let Some(after) = step(&fleet, &alert).await {
                acknowledged.insert((after.name, after.etag));
            }
        }
        if kills >= KILLS {
            desk.be(Manner::Answer(200));
        }
    }
    desk.be(Manner::Answer(200));
    println!("{kills} kills, {} acknowledged changes", acknowledged.len());
    assert!(acknowledged.len() >= PARTS, "too little happened: {}", acknowledged.len());

    wait_for("every change to be told", RETRIED, || async {
        let told = told(&desk);
        acknowledged.iter().all(|change| told.contains_key(change)).then_some(())
    })
    .await;
    let requests = desk.received();
    for (change, ids) in told(&desk) {
        assert_eq!(ids.len(), 1, "{change:?} was told under {ids:?}");
    }
    // Of each alert in order, apart from repeats.
    let mut last = BTreeMap::new();
    for request in &requests {
        let event = request.json();
        let data = &event["data"];
        let etag = data["etag"].as_str().expect("an etag");
        let generation = u64::from_str_radix(etag, 16).expect("a number");
        let before = last.entry(data["name"].as_str().expect("a name").to_owned()).or_insert(0);
        assert!(generation <= *before + 1, "{} jumps from {before} to {generation}", data["name"]);
        *before = generation.max(*before);
    }
    println!("{} requests, {} events", requests.len(), told(&desk).len());
    wait_for("the watcher to have seen every change", PATIENCE, || async {
        let watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        acknowledged.is_subset(&watched).then_some(())
    })
    .await;
    watcher.abort();
}

/// Watches for ever, from the last token on after each interruption.
async fn watch(caller: Caller, seen: Arc<Mutex<BTreeSet<(String, String)>>>) {
    let mut resume_token = String::new();
    loop {
        let request = WatchAlertsRequest { resume_token: resume_token.clone(), ..Default::default() };
        if let Ok(stream) = caller.alerts().watch_alerts(request).await {
            let mut stream = stream.into_inner();
            while let Ok(Some(message)) = stream.message().await {
                if let Some(alert) = message.alert {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).insert((alert.name, alert.etag));
                }
                if !message.resume_token.is_empty() {
                    resume_token = message.resume_token;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Every change that the desk heard of, with the ids it was told under.
fn told(desk: &Receiver) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut told: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for request in desk.received() {
        let event = request.json();
        let text = |key: &str| event["data"][key].as_str().expect("a text").to_owned();
        told.entry((text("name"), text("etag"))).or_default().insert(request.header("webhook-id").to_owned());
    }
    told
}

/// A machine of which many parts are beyond their limit.
async fn open(fleet: &Fleet, desk: &Receiver) {
    let admin = fleet.admin();
    let limit =
        Limit { name: "limits/hot".into(), metric: "temperature".into(), value: 90.0, ..Limit::default() };
    admin
        .alerts()
        .create_limit(CreateLimitRequest { limit: Some(limit), take_over: false })
        .await
        .expect("a limit");
    let webhook = Webhook { display_name: "desk".into(), url: desk.url("/"), ..Webhook::default() };
    admin
        .webhooks()
        .create_webhook(CreateWebhookRequest { webhook: Some(webhook) })
        .await
        .expect("a webhook");
    let ca = fs::read_to_string(fleet.data().join("server-ca.pem")).expect("the CA");
    let claim = admin.claim(1, &[]).await;
    let member = Member::enroll(fleet.port, &ca, &claim, "pump-1", HARDWARE).await.expect("a device");
    let now = Clock::System.now().seconds();
    let readings = (0..PARTS).flat_map(|part| {
        (0..12).map(move |second| Reading {
            component: format!("part-{part}"),
            metric: "temperature".into(),
            unit: "Cel".into(),
            data_class: DataClass::Essential.into(),
            time: Some(prost_types::Timestamp { seconds: now - 12 + second, nanos: 0 }),
            value: 95.0,
            ..Reading::default()
        })
    });
    let request = SendTelemetryRequest { sequence: 1, readings: readings.collect(), ..Default::default() };
    member.caller.device().send_telemetry(request).await.expect("taken");
    wait_for("alerts", PATIENCE, || async { (list(fleet).await.len() == PARTS).then_some(()) }).await;
}

async fn list(fleet: &Fleet) -> Vec<Alert> {
    let request = ListAlertsRequest { page_size: 1000, ..Default::default() };
    wait_for("the server to answer", PATIENCE, || async {
        Some(fleet.admin().alerts().list_alerts(request.clone()).await.ok()?.into_inner().alerts)
    })
    .await
}

async fn is_done(fleet: &Fleet) -> bool {
    list(fleet).await.iter().all(|alert| alert.state() == AlertState::Resolved)
}

/// Takes an alert one step on; none when nothing was acknowledged to us.
async fn step(fleet: &Fleet, alert: &Alert) -> Option<Alert> {
    let mut alerts = fleet.admin().alerts();
    let name = alert.name.clone();
    let answer = match alert.state() {
        AlertState::Open => {
            alerts.acknowledge_alert(AcknowledgeAlertRequest { name, ..Default::default() }).await
        }
        AlertState::Acknowledged => {
            alerts.resolve_alert(ResolveAlertRequest { name, ..Default::default() }).await
        }
        _ => return None,
    };
    match answer {
        Ok(answer) => Some(answer.into_inner()),
        // Killed before it could say so: done or not, nobody was promised anything.
        Err(status)
            if [Code::Unavailable, Code::Unknown, Code::Internal, Code::FailedPrecondition]
                .contains(&status.code()) =>
        {
            None
        }
        Err(status) => panic!("{status:?}"),
    }
}
