//! A server that lies, or a wire that does: every kind of document and the bytes themselves.

use slipway_proto::v1::{Gate, Rollout, RolloutState, UpdateState, Wave};
use slipway_tests::{clock::wait_for, fleet::Fleet};
use sqlx::{Connection as _, SqliteConnection};

use crate::{
    steps::{
        MIB, PATIENCE, assert_documented, assert_holds, assert_only_verified, bring, explain, has_called,
        look, noise, plan, roll_out, wave,
    },
    wire::Liar,
};

/// What is changed on the way to which device.
const LIES: [&str; 7] = ["timestamp", "snapshot", "targets", "pump", "assignment", "manifest", "segment"];

/// Bytes that the server will say, of this kind and of no other.
async fn needles(fleet: &Fleet, kind: &str, device: &str, image: &[u8]) -> Vec<Vec<u8>> {
    match kind {
        "assignment" => vec![format!("\"{device}\"").into_bytes()],
        "manifest" => vec![b"slipway-release/v1".to_vec()],
        "segment" => {
            // Several places of the second segment: one may lie across the border of two records.
            let digest = slipway_trust::Sha256::of(&image[MIB..2 * MIB]);
            let object = fleet.data().join(format!("objects/segments/{digest}"));
            let frame = std::fs::read(object).expect("the stored segment");
            (1..8).map(|eighth| frame[frame.len() / 8 * eighth..][..24].to_vec()).collect()
        }
        role => {
            let file = format!("sqlite:{}", fleet.data().join("slipway.db").display());
            let mut db = SqliteConnection::connect(&file).await.expect("the server's database");
            let newest = "SELECT bytes FROM metadata WHERE role = $1 ORDER BY version DESC LIMIT 1";
            let bytes: Vec<u8> =
                sqlx::query_scalar(newest).bind(role).fetch_one(&mut db).await.expect("a row");
            let place = bytes.windows(7).position(|w| w == b"\"sig\":\"").expect("a signature") + 7;
            vec![bytes[place..place + 40].to_vec()]
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_on_the_wire_is_refused_named_and_forgotten_when_it_is_gone() {
    let factory = noise(9, MIB + 5);
    let mut fleet = Fleet::start(LIES.len(), &factory, &["--check-in-interval", "1"], &[]);
    let image = noise(1, 3 * MIB + 7);
    fleet.publish(&image, "1.0.0");
    let mut liars = Vec::new();
    for (index, kind) in LIES.into_iter().enumerate() {
        let device = &fleet.devices[index];
        let liar = Liar::between(&fleet, device).await;
        liar.flip(needles(&fleet, kind, &device.id, &image).await);
        liars.push(liar);
        fleet.run_agent(index);
    }
    // Everybody has shown up; whoever believes nothing says so, the others are offered the release.
    let admin = fleet.admin();
    for device in &fleet.devices {
        has_called(&admin, &device.id).await;
    }
    // Failures are what this is about: they do not end the rollout before everybody had his share.
    let gate = Gate { min_success_percent: 1, max_failures: 100, max_failure_percent: 99, ..Gate::default() };
    let waves = vec![Wave { gate: Some(gate), ..wave(100.0) }];
    let name = roll_out(&admin, Rollout { waves, ..plan("1.0.0", "") }).await;
    for (index, kind) in LIES.into_iter().enumerate() {
        let device = &fleet.devices[index];
        let code = wait_for(&format!("the lie about the {kind} to be named"), PATIENCE, || async {
            let why = explain(&admin, &device.id).await;
            let failed = why.updates.first().and_then(|update| {
                assert_ne!(update.state(), UpdateState::Succeeded, "{kind}: installed all the same");
                update.reason.clone()
            });
            failed.or(why.device.and_then(|device| device.blocked)).map(|reason| reason.code)
        })
        .await;
        let shown = fleet.slipway(&["device", "explain", &device.id]);
        assert!(shown.contains(&code), "{kind}: {code} is not in\n{shown}");
        assert_documented(&code);
        println!("{kind}: {code}, {} bits flipped", liars[index].told());
        assert!(liars[index].told() > 0, "{kind}: nothing was changed, {code} has another cause");
        assert_holds(device, "a", &factory, "what the factory put there");
        assert_eq!((device.boot("default").as_str(), device.boot("running").as_str()), ("a", "a"), "{kind}");
        assert_only_verified(device, &[], &image);
        if kind != "segment" {
            assert!(device.slot("b").is_empty(), "{kind}: written before it was known what");
        }
    }

    liars.iter().for_each(Liar::reform);
    wait_for("all devices to believe the server again", PATIENCE, || async {
        for device in &fleet.devices {
            if explain(&admin, &device.id).await.device?.blocked.is_some() {
                return None;
            }
        }
        Some(())
    })
    .await;
    wait_for("the first rollout to end", PATIENCE, || async {
        (look(&admin, &name).await.state() != RolloutState::Running).then_some(())
    })
    .await;
    bring(&fleet, "1.0.0").await;
    for device in &fleet.devices {
        assert_holds(device, &device.boot("running"), &image, "the release");
    }
}
