//! A bad release: stopped at its first wave, and nobody is left on it.

use slipway_proto::v1::{CreateRolloutRequest, FailureAction, Rollout, RolloutState, UpdateState};
use slipway_tests::{clock::wait_for, fleet::Fleet};
use tonic::Code;

use crate::steps::{
    MIB, PATIENCE, assert_holds, assert_refused, bring, end_of, explain, noise, plan, reason_of, roll_out,
    until, wave,
};

const DEVICES: usize = 4;
/// Healthy unless the image says otherwise.
const HEALTH: &str = "! head -c 6 \"$SLIPWAY_SLOT\" | grep -q broken";

fn fleet() -> Fleet {
    let mut fleet =
        Fleet::start(DEVICES, b"factory", &["--check-in-interval", "1"], &["--health-command", HEALTH]);
    (0..DEVICES).for_each(|index| fleet.run_agent(index));
    fleet
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_release_stops_at_its_first_wave_and_its_devices_fall_back_by_themselves() {
    let fleet = fleet();
    let good = noise(1, 2 * MIB);
    fleet.publish(&good, "1.0.0");
    bring(&fleet, "1.0.0").await;
    let bad = [b"broken".to_vec(), noise(2, MIB)].concat();
    fleet.publish(&bad, "1.1.0");
    // Canaries, so that it is known who is in which wave.
    fleet.slipway(&["device", "label", "pump-1", "ring=canary"]);
    let canaries = Rollout { spread_by: "ring".to_owned(), ..plan("1.1.0", "labels.ring = \"canary\"") };
    let name = roll_out(&fleet.admin(), Rollout { waves: vec![wave(100.0)], ..canaries }).await;
    let rollout = until(&fleet, &name, RolloutState::Paused).await;
    assert!(rollout.state_reason.contains("wave 1"), "{}", rollout.state_reason);

    let update = end_of(&fleet, "pump-1", &name).await;
    assert_eq!(
        (update.state(), reason_of(&update).code.as_str()),
        (UpdateState::RolledBack, "HEALTH_CHECK_FAILED")
    );
    let shown = fleet.slipway(&["device", "explain", "pump-1"]);
    assert!(shown.contains("HEALTH_CHECK_FAILED") && shown.contains("rolled back"), "{shown}");
    for device in &fleet.devices {
        assert_holds(device, &device.boot("running"), &good, "the good release");
        assert_eq!(device.boot("default"), device.boot("running"), "{}", device.id);
        let known = explain(&fleet.admin(), &device.id).await;
        let tried = known.updates.iter().filter(|update| update.rollout == name).count();
        assert_eq!(tried, usize::from(device.id == "pump-1"), "{}: only the canary tried it", device.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_waves_after_the_one_that_failed_never_hear_of_the_release() {
    let fleet = fleet();
    fleet.publish(&[b"broken".to_vec(), noise(2, MIB)].concat(), "1.0.0");
    let name =
        roll_out(&fleet.admin(), Rollout { waves: vec![wave(50.0), wave(100.0)], ..plan("1.0.0", "") }).await;
    // Where four devices stand on the line is up to a seed; with nobody in it the first wave just passes.
    let rollout = until(&fleet, &name, RolloutState::Paused).await;
    let failed = rollout.waves.iter().position(|wave| wave.failed > 0).expect("somebody tried it");
    for wave in &rollout.waves[failed + 1..] {
        assert_eq!((wave.admitted, wave.in_flight), (0, 0), "{rollout:?}");
    }
    wait_for("everybody to run the factory's image", PATIENCE, || async {
        let back = |device: &slipway_tests::fleet::Device| {
            device.running() == b"factory" && device.boot("try") == "none" && device.boot("default") == "a"
        };
        fleet.devices.iter().all(back).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roll_back_brings_those_that_took_it_home_without_a_download() {
    let fleet = fleet();
    let good = noise(1, 3 * MIB);
    fleet.publish(&good, "1.0.0");
    bring(&fleet, "1.0.0").await;
    // Healthy where the operator's own check runs, broken on one device only.
    let poor = noise(2, 3 * MIB);
    fleet.publish(&poor, "1.1.0");
    let inhibited = &fleet.devices[3];
    let agent_toml = inhibited.state.join("agent.toml");
    let config = std::fs::read_to_string(&agent_toml).expect("agent.toml");
    let sick: String = config
        .lines()
        .map(|line| if line.starts_with("health_command") { "health_command = \"false\"" } else { line })
        .fold(String::new(), |text, line| text + line + "\n");
    std::fs::write(&agent_toml, sick).expect("agent.toml");
    let mut fleet = fleet;
    fleet.devices[3].agent = None;

    let mut waves = vec![wave(100.0)];
    let gate = slipway_proto::v1::Gate { min_sample: 4, ..Default::default() };
    waves[0].gate = Some(gate);
    let rollout = Rollout { waves, on_failure: FailureAction::RollBack.into(), ..plan("1.1.0", "") };
    let name = roll_out(&fleet.admin(), rollout).await;
    // Three take it and are content; then the fourth, that is sick, is switched on.
    wait_for("three devices to take it", PATIENCE, || async {
        let taken = |device: &slipway_tests::fleet::Device| device.running() == poor;
        (fleet.devices.iter().filter(|device| taken(device)).count() == 3).then_some(())
    })
    .await;
    let three = wait_for("three to report it", PATIENCE, || async {
        let now = crate::steps::look(&fleet.admin(), &name).await;
        (now.waves[0].succeeded == 3).then_some(now)
    })
    .await;
    assert_eq!(three.state(), RolloutState::Running, "the fourth was seen lately, so the wave is not over");
    fleet.run_agent(3);
    until(&fleet, &name, RolloutState::RolledBack).await;
    for device in &fleet.devices {
        assert_holds(device, &device.boot("running"), &good, "the release before");
        assert_eq!(device.boot("default"), device.boot("running"), "{}", device.id);
        if device.id == "pump-4" {
            continue;
        }
        let back = explain(&fleet.admin(), &device.id).await.updates.swap_remove(0);
        assert_eq!((back.state(), back.release.as_str()), (UpdateState::Succeeded, "releases/pump/1.0.0"));
        assert_eq!(back.bytes_fetched, 0, "{}: the old slot still held it", device.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_brings_devices_back_to_an_older_release() {
    let fleet = fleet();
    let (older, newer) = (noise(1, 2 * MIB), noise(2, 2 * MIB));
    for (image, version) in [(&older, "1.0.0"), (&newer, "1.1.0")] {
        fleet.publish(image, version);
        bring(&fleet, version).await;
    }
    let back = plan("1.0.0", "");
    let request = CreateRolloutRequest { rollout: Some(back.clone()), ..Default::default() };
    let refused = fleet.admin().rollouts().create_rollout(request).await.unwrap_err();
    assert_refused(&refused, Code::FailedPrecondition, "NOBODY_TO_UPDATE", &["4 run a later release"]);
    let name = roll_out(&fleet.admin(), Rollout { allow_downgrade: true, ..back }).await;
    until(&fleet, &name, RolloutState::Succeeded).await;
    for device in &fleet.devices {
        assert_holds(device, &device.boot("default"), &older, "the older release");
        let update = end_of(&fleet, &device.id, &name).await;
        assert_eq!(update.bytes_fetched, 0, "{}: the old slot still held it", device.id);
    }
}
