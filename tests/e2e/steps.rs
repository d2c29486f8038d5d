//! What the stories do again and again.

use std::{path::Path, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use slipway_proto::v1::{
    CreateLimitRequest, CreateRolloutRequest, DataClass, ExplainDeviceRequest, ExplainDeviceResponse,
    GetRolloutRequest, Limit, Reading, Reason, Rollout, RolloutState, SendTelemetryRequest, Update,
    UpdateState, Wave,
};
use slipway_tests::{
    clock::wait_for,
    fleet::{Device, Fleet, PRODUCT},
    member::Member,
    operator::Caller,
    world::World,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What is verified, written and fetched as a whole.
pub const MIB: usize = 1 << 20;
/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// So many bytes that do not compress, the same ones for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    StdRng::seed_from_u64(seed).fill_bytes(&mut out);
    out
}

/// A wave to `percent` whose gate is the default.
pub fn wave(percent: f64) -> Wave {
    Wave { percent, ..Wave::default() }
}

/// A rollout of `version` to the devices of `selector` in one wave.
pub fn plan(version: &str, selector: &str) -> Rollout {
    Rollout {
        release: format!("releases/{PRODUCT}/{version}"),
        selector: selector.to_owned(),
        waves: vec![wave(100.0)],
        ..Rollout::default()
    }
}

/// Starts a rollout; returns its name.
pub async fn roll_out(caller: &Caller, rollout: Rollout) -> String {
    let request = CreateRolloutRequest { rollout: Some(rollout), ..CreateRolloutRequest::default() };
    caller.rollouts().create_rollout(request).await.expect("a rollout").into_inner().name
}

/// The rollout now.
pub async fn look(caller: &Caller, name: &str) -> Rollout {
    let request = GetRolloutRequest { name: name.to_owned() };
    caller.rollouts().get_rollout(request).await.expect("the rollout").into_inner()
}

/// Waits until a rollout is in `state`.
pub async fn until(fleet: &Fleet, name: &str, state: RolloutState) -> Rollout {
    let admin = fleet.admin();
    wait_for(&format!("{name} to be {state:?}"), PATIENCE, || async {
        let rollout = look(&admin, name).await;
        (rollout.state() == state).then_some(rollout)
    })
    .await
}

/// Rolls `version` out to every device of the fleet and waits for the end.
pub async fn bring(fleet: &Fleet, version: &str) -> Rollout {
    let name = roll_out(&fleet.admin(), plan(version, "")).await;
    until(fleet, &name, RolloutState::Succeeded).await
}

/// Why a device does what it does.
pub async fn explain(caller: &Caller, device: &str) -> ExplainDeviceResponse {
    let request = ExplainDeviceRequest { name: format!("devices/{device}") };
    caller.fleet().explain_device(request).await.expect("an explanation").into_inner()
}

/// Waits until a device has called once and said what it runs.
pub async fn has_called(caller: &Caller, device: &str) {
    wait_for(&format!("{device} to call"), PATIENCE, || async {
        explain(caller, device).await.device?.components.first().map(drop)
    })
    .await;
}

/// Waits until the newest update of a device by this rollout is over.
pub async fn end_of(fleet: &Fleet, device: &str, rollout: &str) -> Update {
    let admin = fleet.admin();
    wait_for(&format!("the update of {device} to end"), PATIENCE, || async {
        let newest = explain(&admin, device).await.updates.into_iter().next()?;
        (newest.rollout == rollout && newest.state() as i32 >= UpdateState::Succeeded as i32)
            .then_some(newest)
    })
    .await
}

/// What a filter's pressure was at a moment, in seconds since 1970.
pub fn reading(seconds: i64, pascal: f64) -> Reading {
    Reading {
        component: "filter".into(),
        metric: "pressure".into(),
        unit: "Pa".into(),
        data_class: DataClass::Essential.into(),
        time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        value: pascal,
        boot_id: String::new(),
    }
}

/// A limit on the pressure at a filter, 250 Pa.
pub async fn watch_filters(world: &World) {
    let limit = Limit {
        name: "limits/filter".into(),
        metric: "pressure".into(),
        value: 250.0,
        part: "air filter".into(),
        ..Limit::default()
    };
    let request = CreateLimitRequest { limit: Some(limit), take_over: false };
    world.admin().alerts().create_limit(request).await.expect("a limit");
}

/// Twelve seconds of one pressure at a filter, and a minute gone.
pub async fn measure(world: &World, member: &Member, sequence: u64, pascal: f64) {
    let now = world.clock.now().millis();
    let readings = (0..12).map(|second| reading(now / 1000 + second, pascal));
    let request = SendTelemetryRequest { sequence, readings: readings.collect(), ..Default::default() };
    member.caller.device().send_telemetry(request).await.expect("taken");
    world.clock.advance(Duration::from_secs(60));
}

/// The reason of an update that did not succeed.
pub fn reason_of(update: &Update) -> Reason {
    update.reason.clone().unwrap_or_else(|| panic!("{} says no reason: {update:?}", update.name))
}

/// `cmp`: the slot holds these bytes and no other.
pub fn assert_holds(device: &Device, slot: &str, image: &[u8], what: &str) {
    let held = device.slot(slot);
    let differs = held.iter().zip(image).position(|(a, b)| a != b);
    assert!(
        held == image,
        "{}: slot {slot} is not {what}: {} bytes of {}, first difference at {differs:?}\n{}",
        device.id,
        held.len(),
        image.len(),
        device.last_words()
    );
}

/// The slot that does not run.
pub fn spare(device: &Device) -> &'static str {
    if device.boot("running") == "b" { "a" } else { "b" }
}

/// Everything in the spare slot was there `before`, or is a verified segment of `image` in its place.
pub fn assert_only_verified(device: &Device, before: &[u8], image: &[u8]) {
    let held = device.slot(spare(device));
    for (number, segment) in held.chunks(MIB).enumerate() {
        let of = |bytes: &[u8]| bytes.chunks(MIB).nth(number).is_some_and(|one| one == segment);
        let untouched = of(before) || segment.iter().all(|byte| *byte == 0);
        assert!(untouched || of(image), "{}: MiB {number} of the spare slot was never verified", device.id);
    }
}

/// Every code that people are shown has a page.
pub fn assert_documented(code: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/errors/{code}.md"));
    assert!(page.is_file(), "{} is missing", page.display());
}

/// A refusal as it should be: a stable reason, a message that names `names`, and a hint.
pub fn assert_refused(status: &Status, code: Code, reason: &str, names: &[&str]) {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!((status.code(), info.reason.as_str()), (code, reason), "{status:?}");
    assert_eq!(info.domain, "slipway.v1");
    assert!(!info.metadata.get("hint").is_none_or(String::is_empty), "no hint: {status:?}");
    for name in names {
        assert!(status.message().contains(name), "{reason} does not name {name:?}: {}", status.message());
    }
}
