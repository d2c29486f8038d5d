//! A device falls silent, its other alerts are held back, and it comes back; a silence; limits from files; a rollout
//! that leaves out what is not well.

use std::time::Duration;

use slipway_proto::v1::{
    Alert, AlertKind, AlertState, CreateSilenceRequest, DeleteSilenceRequest, ListAlertsRequest,
    SendTelemetryRequest, Silence, WatchAlertsRequest, WatchAlertsResponse,
};
use slipway_server::model::outage::Settings;
use slipway_tests::{clock::wait_for, member::Member, operator::Caller, processes::attempt, world::World};
use tokio::sync::Mutex;
use tonic::Streaming;

use crate::steps::reading;

/// Far below what anybody waits for, and above the period of a reconciler on a busy machine.
const SOON: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

async fn world() -> World {
    let world = World::start_with(|config| config.offline = Settings::default()).await;
    world.init_trust();
    world.slipway(&[
        "limit",
        "set",
        "filter",
        "--metric",
        "pressure",
        "--value",
        "250",
        "--failure-mode",
        "clogged",
    ]);
    world
}

async fn measure(world: &World, member: &Member, sequence: u64, value: f64) {
    let now = world.clock.now().millis();
    let readings = (0..12).map(|second| reading(now / 1000 + second, value));
    let request = SendTelemetryRequest { sequence, readings: readings.collect(), ..Default::default() };
    member.caller.device().send_telemetry(request).await.expect("taken");
}

async fn watch(caller: &Caller, include_suppressed: bool) -> Streaming<WatchAlertsResponse> {
    let request = WatchAlertsRequest { resume_token: String::new(), include_suppressed };
    caller.alerts().watch_alerts(request).await.expect("a stream").into_inner()
}

async fn next(stream: &mut Streaming<WatchAlertsResponse>) -> Alert {
    loop {
        let message = tokio::time::timeout(SOON, stream.message()).await.expect("soon");
        if let Some(alert) = message.expect("no error").expect("no end").alert {
            return alert;
        }
    }
}

/// What the device is offered, as soon as it is.
async fn offer(member: &Mutex<Member>) -> String {
    let poll = || async { member.lock().await.check_in().await.expect("an answer").offer };
    wait_for("an offer", SOON, poll).await.release
}

async fn list(world: &World, filter: &str) -> Vec<Alert> {
    let request = ListAlertsRequest { filter: filter.to_owned(), ..Default::default() };
    world.admin().alerts().list_alerts(request).await.expect("alerts").into_inner().alerts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_goes_silent_and_comes_back() {
    let world = world().await;
    let mut pump = world.member("pump-1", &[("site", "north")]).await;
    pump.settle().await;
    let (mut told, mut all) = (watch(&world.admin(), false).await, watch(&world.admin(), true).await);
    measure(&world, &pump, 1, 300.0).await;
    let worn = next(&mut told).await;
    assert_eq!((worn.kind(), worn.failure_mode.as_str()), (AlertKind::StateDetection, "clogged"));
    assert_eq!(next(&mut all).await.name, worn.name);

    // Not a word for twenty minutes: told once, and what it told before is held back by that.
    world.clock.advance(MINUTE * 21);
    let offline = next(&mut told).await;
    assert_eq!((offline.kind(), offline.device.as_str()), (AlertKind::Offline, "devices/pump-1"));
    assert!(offline.summary.starts_with("pump-1 does not call any more"), "{}", offline.summary);
    assert_eq!(next(&mut all).await.name, offline.name);
    let held = next(&mut all).await;
    assert_eq!(
        (held.name.as_str(), held.suppressed_by.as_str()),
        (worn.name.as_str(), offline.name.as_str())
    );
    assert_eq!(held.state(), AlertState::Open, "a flag, not a state");

    // It calls: the outage is over, and what is still open is told again.
    pump.check_in().await.expect("an answer");
    let back = next(&mut told).await;
    assert_eq!((back.name.as_str(), back.state()), (offline.name.as_str(), AlertState::Resolved));
    let again = next(&mut told).await;
    assert_eq!(
        (again.name.as_str(), again.state(), again.suppressed_by.as_str()),
        (worn.name.as_str(), AlertState::Open, "")
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silenced_site_wakes_nobody_until_the_silence_ends() {
    let world = world().await;
    let pump = world.member("pump-1", &[("site", "north")]).await;
    let end = world.clock.now().after(MINUTE * 240).millis() / 1000;
    let silence = Silence {
        matcher: "labels.site = north".to_owned(),
        reason: "new switch".to_owned(),
        end_time: Some(prost_types::Timestamp { seconds: end, nanos: 0 }),
        ..Silence::default()
    };
    let request = CreateSilenceRequest { silence: Some(silence) };
    let silence = world.admin().alerts().create_silence(request).await.expect("a silence").into_inner();
    let (mut told, mut all) = (watch(&world.admin(), false).await, watch(&world.admin(), true).await);
    measure(&world, &pump, 1, 300.0).await;
    let hushed = next(&mut all).await;
    assert_eq!((hushed.state(), hushed.suppressed_by.as_str()), (AlertState::Open, silence.name.as_str()));
    let listed = world.slipway(&["alert", "list"]);
    assert!(listed.contains("open*") && listed.contains("* wakes nobody"), "{listed}");
    assert!(world.slipway(&["alert", "silence", "list"]).contains("new switch"));

    let request = DeleteSilenceRequest { name: silence.name };
    world.admin().alerts().delete_silence(request).await.expect("ended");
    let open = next(&mut told).await;
    assert_eq!((open.name, open.suppressed_by.as_str()), (hushed.name, ""));
    let audit = world.slipway(&["audit", "list"]);
    assert!(audit.contains("CreateSilence") && audit.contains("DeleteSilence"), "{audit}");
    world.stop().await;
}

const PUMPS: &str = r#"name = "pumps"

[[limit]]
id = "air"
metric = "pressure"
above = 280
unit = "Pa"
failure_mode = "clogged"

[[fix]]
id = "clogging"
failure_mode = "clogged"
release = "pump/2.0.0"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_limits_is_checked_shown_and_applied_whole() {
    let world = world().await;
    world.slipway(&["limit", "delete", "filter"]);
    let (profile, file) = (world.path("server/client.toml"), world.path("pumps.toml"));
    let apply = |more: &[&str]| {
        let mut all = vec!["--profile", &profile, "limits", "apply", "-f", &file];
        all.extend_from_slice(more);
        let output = attempt("slipway", &all);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    std::fs::write(
        &file,
        PUMPS.replace("metric = \"pressure\"", "metric = \"a b\"").replace("clogged", "a b"),
    )
    .expect("a file");
    let (code, _, said) = apply(&[]);
    assert_eq!(code, Some(1));
    for line in
        ["3 faults", "line 5: metric", "line 8: failure mode", "line 12: failure mode", "nothing was changed"]
    {
        assert!(said.contains(line), "{line}: {said}");
    }
    std::fs::write(&file, PUMPS).expect("a file");
    let (code, shown, said) = apply(&["--dry-run"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(shown.starts_with("+ limits/air\n") && said.contains("2 new (a dry run"), "{shown}{said}");
    assert!(world.slipway(&["limit", "list"]).contains("no limits"));
    assert!(apply(&[]).2.contains("2 new"));
    let (_, shown, said) = apply(&[]);
    assert!(shown == "no changes\n" && said.contains("2 as before"), "{shown}{said}");
    std::fs::write(&file, PUMPS.replace("280", "240")).expect("a file");
    let (_, shown, _) = apply(&[]);
    assert_eq!(shown, "~ limits/air\n    above: 280 -> 240\n");
    std::fs::write(&file, "name = \"pumps\"\n").expect("a file");
    assert!(apply(&[]).2.contains("--prune"));
    assert!(apply(&["--prune"]).1.contains("- limits/air"));
    for shipped in ["disks", "flash", "machine"] {
        let path = format!("{}/../deploy/limits/{shipped}.toml", env!("CARGO_MANIFEST_DIR"));
        world.slipway(&["limits", "apply", "-f", &path]);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_leaves_out_what_is_not_well_and_says_so() {
    let world = world().await;
    world.publish(b"second", "2.0.0");
    let mut pump = world.member("pump-1", &[]).await;
    let mut well = world.member("pump-2", &[]).await;
    pump.settle().await;
    well.settle().await;
    measure(&world, &pump, 1, 300.0).await;
    let mut told = watch(&world.admin(), false).await;
    next(&mut told).await;
    world.slipway(&["rollout", "create", "pump/2.0.0", "--selector", "NOT alerts.kind:clogged"]);
    let explained = world.slipway(&["device", "explain", "pump-1"]);
    assert!(
        explained.contains("LEFT_OUT_BY_ALERTS") && explained.contains("clogged (critical)"),
        "{explained}"
    );
    let (pump, well) = (Mutex::new(pump), Mutex::new(well));
    assert_eq!(offer(&well).await, "releases/pump/2.0.0");
    assert!(pump.lock().await.check_in().await.expect("an answer").offer.is_none());

    let clogged = list(&world, "failure_mode = clogged").await.remove(0);
    world.slipway(&["alert", "resolve", clogged.name.trim_start_matches("alerts/")]);
    assert_eq!(offer(&pump).await, "releases/pump/2.0.0", "put right, it takes part");
    world.stop().await;
}
