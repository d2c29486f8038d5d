//! The campaign: kill, restart, look, until the numbers are reached.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use slipway_proto::v1::{CreateRolloutRequest, Gate, GetRolloutRequest, Rollout, RolloutState, Wave};
use slipway_tests::{
    clock::wait_for,
    fleet::{Fleet, PRODUCT},
    processes,
};

use crate::invariants;

/// Kills of an agent in the middle of an update.
const AGENT_KILLS: u32 = 200;
/// Kills of the server while agents poll.
const SERVER_KILLS: u32 = 50;
const DEVICES: usize = 8;
/// In flight at once, in the first wave and in the second.
const IN_FLIGHT: [u32; 2] = [2, 3];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_moments_brick_nothing_and_lose_nothing() {
    let seed = std::env::var("SLIPWAY_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_122);
    println!("seed {seed}: SLIPWAY_SEED={seed} repeats these kills");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut images = vec![image(&mut rng, None)];
    let mut fleet = Fleet::start(
        DEVICES,
        &images[0],
        &["--check-in-interval", "1"],
        &["--health-command", "test -s \"$SLIPWAY_SLOT\""],
    );
    for index in 0..DEVICES {
        fleet.run_agent(index);
    }

    let (mut agent_kills, mut server_kills, mut round) = (0, 0, 0);
    let mut rollouts = Vec::new();
    while agent_kills < AGENT_KILLS || server_kills < SERVER_KILLS {
        round += 1;
        assert!(round <= 60, "{agent_kills} agent kills and {server_kills} server kills after 60 releases");
        let next = image(&mut rng, images.last().map(Vec::as_slice));
        fleet.publish(&next, &format!("{round}.0.0"));
        images.push(next);
        let rollout = roll_out(&fleet, round).await;
        rollouts.push(rollout.clone());
        loop {
            tokio::time::sleep(Duration::from_millis(rng.random_range(10..120))).await;
            if server_kills < SERVER_KILLS && rng.random_range(0..5) == 0 {
                fleet.restart_server();
                server_kills += 1;
            } else if let Some(index) = updating(&fleet, &mut rng) {
                if let Some(agent) = &mut fleet.devices[index].agent {
                    agent.kill();
                }
                agent_kills += 1;
                fleet.run_agent(index);
            }
            let state = look(&fleet, &rollout).await;
            if !matches!(state, RolloutState::Running) {
                break;
            }
            if agent_kills >= AGENT_KILLS && server_kills >= SERVER_KILLS {
                break;
            }
        }
    }

    println!(
        "{agent_kills} kills of agents in an update, {server_kills} of the server, over {round} releases"
    );
    for rollout in &rollouts {
        wait_for("the rollout to end", Duration::from_secs(120), || async {
            (look(&fleet, rollout).await != RolloutState::Running).then_some(())
        })
        .await;
    }
    invariants::every_device_works(&mut fleet, &images).await;
    invariants::no_wave_was_ever_over_its_limit(&fleet, &rollouts, IN_FLIGHT).await;
    invariants::no_acknowledged_report_is_missing(&mut fleet).await;
}

/// 12 MiB that differ from the last version in about half of their segments.
fn image(rng: &mut StdRng, before: Option<&[u8]>) -> Vec<u8> {
    const SEGMENT: usize = 1 << 20;
    let mut out = before.map_or_else(|| vec![0; 12 * SEGMENT + 12_345], <[u8]>::to_vec);
    for segment in out.chunks_mut(SEGMENT) {
        if before.is_none() || rng.random_range(0..2) == 0 {
            // Half noise, half text: neither all compressible nor not at all.
            let noise = segment.len().min(SEGMENT / 64);
            rng.fill(&mut segment[..noise]);
        }
    }
    let stamp: u64 = rng.random();
    out[..8].copy_from_slice(&stamp.to_le_bytes());
    out
}

async fn roll_out(fleet: &Fleet, round: u32) -> String {
    let wave = |percent, max_in_flight| Wave {
        percent,
        max_in_flight,
        // A device that is killed too often may fail; the campaign goes on.
        gate: Some(Gate {
            min_success_percent: 1,
            max_failures: 100,
            max_failure_percent: 99,
            ..Gate::default()
        }),
        ..Wave::default()
    };
    let request = CreateRolloutRequest {
        rollout: Some(Rollout {
            release: format!("releases/{PRODUCT}/{round}.0.0"),
            waves: vec![wave(50.0, IN_FLIGHT[0]), wave(100.0, IN_FLIGHT[1])],
            ..Rollout::default()
        }),
        request_id: format!("round-{round}"),
        ..CreateRolloutRequest::default()
    };
    fleet.admin().rollouts().create_rollout(request).await.expect("a rollout").into_inner().name
}

/// The state of a rollout, checking its waves on the way; a server that was just killed is asked again.
async fn look(fleet: &Fleet, name: &str) -> RolloutState {
    let rollout = wait_for("the server to answer", Duration::from_secs(20), || async {
        let request = GetRolloutRequest { name: name.to_owned() };
        fleet.admin().rollouts().get_rollout(request).await.ok()
    })
    .await
    .into_inner();
    for wave in &rollout.waves {
        assert!(wave.in_flight <= wave.max_in_flight, "{name}: {wave:?}");
    }
    rollout.state()
}

/// A device in the middle of an update, by what its agent wrote down; none when there is none.
fn updating(fleet: &Fleet, rng: &mut StdRng) -> Option<usize> {
    let first = rng.random_range(0..DEVICES);
    (0..DEVICES).map(|n| (first + n) % DEVICES).find(|&index| {
        let state = fleet.devices[index].state.to_string_lossy().into_owned();
        let status = processes::attempt("slipway-agent", &["status", "--state", &state, "--output", "json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        status["state"].as_str().is_some_and(|state| !state.eq_ignore_ascii_case("idle"))
    })
}
