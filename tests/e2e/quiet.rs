//! A fleet that has settled costs the database nothing.

use slipway_proto::v1::{DataClass, GetTrustRequest, Rollout};
use slipway_server::service::signing;
use slipway_tests::{member::Member, relay::Relay, world::World};

use crate::steps::{plan, roll_out};

const DEVICES: usize = 8;
/// Check-ins of each device in a round.
const CALLS: usize = 25;
/// Reconcilers that look by themselves every few seconds may fall into a round, not into each of them.
const ROUNDS: usize = 6;

async fn settled(world: &World) -> Vec<Member> {
    let mut members = Vec::new();
    for number in 1..=DEVICES {
        let mut member = world.member(&format!("pump-{number}"), &[("site", "north")]).await;
        member.inventory.consent = vec![DataClass::Diagnostic.into()];
        member.settle().await;
        members.push(member);
    }
    members
}

/// Statements of `DEVICES * CALLS` check-ins, in the round in which nothing else ran.
async fn cost(world: &World, members: &mut [Member]) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        let before = world.running.context.db.statements();
        for _ in 0..CALLS {
            for member in members.iter_mut() {
                let answer = member.check_in().await.expect("an answer");
                assert!(
                    answer.trust.is_none() && answer.offer.is_none() && !answer.want_inventory,
                    "{answer:?}"
                );
            }
        }
        least = least.min(world.running.context.db.statements() - before);
    }
    least
}

/// Everything the server signs, as it stands.
async fn signed(world: &World) -> Vec<(String, u64, Vec<u8>)> {
    let trust = world.running.context.trust.current().expect("trust");
    trust.files().map(|file| (file.role.clone(), file.version, file.bytes.to_vec())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_ins_at_which_nothing_changed_touch_no_table_and_sign_nothing() {
    let world = World::start().await;
    world.init_trust();
    world.publish(b"an image", "1.0.0");
    let mut members = settled(&world).await;
    let (before, held) = (signed(&world).await, members[0].have);
    let statements = cost(&world, &mut members).await;
    println!("{} check-ins: {statements} statements", DEVICES * CALLS);
    assert_eq!(statements, 0);
    assert!(signed(&world).await == before, "something was signed");
    assert_eq!(members[0].have, held);
    let root = world
        .admin()
        .releases()
        .get_trust(GetTrustRequest::default())
        .await
        .expect("trust")
        .into_inner()
        .root;
    assert!(!root.is_empty());

    // The counter counts: one change, and the very next check-in of each device acts on it.
    let statements = world.running.context.db.statements();
    let rollout = roll_out(&world.admin(), plan("1.0.0", "")).await;
    for member in &mut members {
        let answer = member.check_in().await.expect("an answer");
        let offer = answer.offer.expect("an offer");
        assert_eq!(offer.release, "releases/pump/1.0.0", "{rollout}");
        assert_eq!(member.have.assignment, 1, "with its signed assignment in the same answer");
    }
    assert!(world.running.context.db.statements() > statements + DEVICES as u64, "and that is counted");

    // Busy devices that say nothing new are as quiet.
    let mut quiet = u64::MAX;
    for _ in 0..ROUNDS {
        let before = world.running.context.db.statements();
        for member in &mut members {
            let answer = member.check_in().await.expect("an answer");
            assert!(answer.trust.is_none() && answer.offer.is_none() && !answer.cancel_update, "{answer:?}");
        }
        quiet = quiet.min(world.running.context.db.statements() - before);
    }
    assert_eq!(quiet, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_at_which_a_paused_rollout_looks_are_quiet_too() {
    let world = World::start().await;
    world.init_trust();
    world.publish(b"an image", "1.0.0");
    let mut members = settled(&world).await;
    // Standing, because one that selects nobody ends at once.
    let standing = |site| Rollout { standing: true, ..plan("1.0.0", site) };
    let name = roll_out(&world.admin(), standing("labels.site = \"south\"")).await;
    let request = slipway_proto::v1::PauseRolloutRequest { name, ..Default::default() };
    world.admin().rollouts().pause_rollout(request).await.expect("paused");
    roll_out(&world.admin(), standing("labels.site = \"west\"")).await;
    assert_eq!(cost(&world, &mut members).await, 0);
    world.stop().await;
}

/// What a check-in takes on a connection that is open: the bytes that TCP carries, up and down.
async fn bytes(relay: &Relay, member: &mut Member) -> [u64; 2] {
    let before = relay.bytes();
    member.check_in().await.expect("an answer");
    // What the client says after the answer, for example how much more it would take, belongs to it.
    let mut seen = relay.bytes();
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        if relay.bytes() == seen {
            break [0, 1].map(|way: usize| seen[way] - before[way]);
        }
        seen = relay.bytes();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_in_takes_a_few_hundred_bytes_on_the_wire_and_a_signature_now_and_then_some_more() {
    let world = World::start().await;
    world.init_trust();
    world.publish(b"an image", "1.0.0");
    let mut member = world.member("pump-1", &[]).await;
    let relay = Relay::to(world.port()).await;
    member.move_to(relay.port, &world.read("server-ca.pem"));
    member.settle().await;
    // Headers that were said before are said in a byte.
    let first = bytes(&relay, &mut member).await;
    let (before, statements) = (signed(&world).await, world.running.context.db.statements());
    let mut idle = [0, 0];
    for _ in 0..5 {
        let one = bytes(&relay, &mut member).await;
        idle = [idle[0].max(one[0]), idle[1].max(one[1])];
    }
    assert!(signed(&world).await == before, "something was signed");
    println!("the second check-in of a connection: {} bytes up, {} down", first[0], first[1]);
    println!("an idle check-in: {} bytes up, {} down", idle[0], idle[1]);
    println!("{} statements meanwhile", world.running.context.db.statements() - statements);

    // Days later the server has said anew that nothing happened.
    world.clock.advance(std::time::Duration::from_secs(3 * 86_400));
    assert!(signing::renew(&world.running.context).await.expect("signed"), "it was due");
    let held = member.have;
    let renewed = bytes(&relay, &mut member).await;
    assert!(member.have.timestamp > held.timestamp && member.have.product == held.product);
    println!("one after the timestamp was signed anew: {} bytes up, {} down", renewed[0], renewed[1]);

    assert!(idle[0] <= 300 && idle[1] <= 300, "{idle:?}");
    assert!(renewed[0] <= 300 && renewed[1] <= 1_000, "{renewed:?}");
    world.stop().await;
}
