//! What somebody can do who owns the server, with all its keys, and what he cannot: real agents, lied to by
//! a real server in every way of the threat model, and what they make of it. `docs/owned-server.md` is the
//! record.

mod attempt;
mod consent;
mod documents;
mod fleet;
mod forge;
mod frozen;
mod memory;
mod orders;
mod owner;
mod page;
mod streams;
mod victim;

use std::collections::BTreeMap;

use futures_util::future::join_all;
use slipway_tests::world::World;

use crate::{
    attempt::{After, Aim, Attempt, BASE},
    fleet::{claim, image, publish, roll_out, rotate},
    forge::Forge,
    victim::Victim,
};

/// An attempt and the device that it is made on.
struct Case {
    attempt: &'static Attempt,
    victim: Victim,
    lasting: Vec<(String, Vec<u8>)>,
}

/// Devices that run the base release, one for each attempt.
async fn devices(world: &World, attempts: &[&'static Attempt]) -> Vec<Case> {
    let claims: BTreeMap<bool, String> = [(false, "truth"), (true, "keys")]
        .map(|(rotates, group)| (rotates, claim(world, group, attempts.len())))
        .into();
    let mut cases = Vec::new();
    for (number, attempt) in (1..).zip(attempts) {
        let claim = &claims[&(attempt.after == After::Rotation)];
        let mut victim = Victim::enrolled(world, claim, &format!("pump-{number}")).await;
        victim.switch_on();
        cases.push(Case { attempt, lasting: Vec::new(), victim });
    }
    let base = roll_out(world, BASE, "").await;
    all(cases.iter().map(|case| case.victim.until_it_runs(BASE))).await;
    world.slipway(&["rollout", "abort", &base]);
    for case in &mut cases {
        case.lasting = case.victim.lasting();
    }
    cases
}

/// Tells each device its lie, and waits until each has said what it thinks of it.
async fn betray(world: &World, cases: &mut [Case]) {
    let forge = Forge::of(world);
    for Case { attempt, victim, .. } in cases.iter_mut() {
        victim.switch_off().await;
        if orders::CERTIFICATES.iter().any(|one| one.name == attempt.name) {
            std::fs::remove_file(victim.state.certificate()).expect("a certificate");
        }
        if orders::TIMES.iter().any(|one| one.name == attempt.name) {
            victim.shows(0);
        }
        let aim = Aim { id: victim.id.clone(), have: victim.owner.heard(|heard| heard.have) };
        victim.tell(Some((attempt.lie)(&forge, &aim)));
        victim.switch_on();
    }
    all(cases.iter().map(|Case { attempt, victim, .. }| async move {
        let said = format!("{}: {}", attempt.name, attempt.says);
        victim.until(&said, |victim| attempt.says.is_heard(victim)).await
    }))
    .await;
}

/// Waits for all of them, and says of each what is wrong with it.
async fn all(waits: impl IntoIterator<Item = impl Future<Output = Result<(), String>>>) {
    let wrong: Vec<String> = join_all(waits).await.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// A device that was lied to runs nothing but what publishers signed for it, and is still who it was.
fn assert_unharmed(case: &Case) {
    let Case { attempt, victim, lasting } = case;
    assert_eq!(victim.runs(), attempt.runs, "{}", attempt.name);
    assert!(victim.image() == image(attempt.runs), "{}: the slot holds something else", attempt.name);
    assert_eq!(victim.status().floor, 2, "{}", attempt.name);
    assert!(victim.lasting() == *lasting, "{}: key, address, authority or consent changed", attempt.name);
    let allowed = i32::from(slipway_proto::v1::DataClass::Essential);
    let sent = victim.owner.heard(|heard| heard.classes.clone());
    assert!(sent.iter().all(|class| *class == allowed), "{}: {sent:?} were sent", attempt.name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_owns_the_server_can_withhold_and_direct_and_nothing_else() {
    let world = fleet::server().await;
    let groups = [
        documents::FOREIGN,
        documents::ORDER,
        streams::MESSAGES,
        streams::FILES,
        orders::ORDERS,
        orders::CERTIFICATES,
        orders::TIMES,
    ];
    let attempts: Vec<&'static Attempt> = groups.into_iter().flatten().collect();
    let mut cases = devices(&world, &attempts).await;
    betray(&world, &mut cases).await;
    cases.iter().for_each(assert_unharmed);

    // The server is its owner's again. What was refused left no trace.
    for Case { attempt, victim, .. } in &mut cases {
        victim.tell(None);
        if attempt.after == After::Restart {
            victim.switch_off().await;
            victim.switch_on();
        }
    }
    publish(&world, "6.0.0", &[]);
    roll_out(&world, "6.0.0", "labels.group = \"truth\"").await;
    let believers = cases.iter().filter(|case| case.attempt.after != After::Rotation);
    all(believers.map(|case| case.victim.until_it_runs("6.0.0"))).await;

    // What was believed is forgotten with the keys that signed it.
    rotate(&world);
    publish(&world, "7.0.0", &[]);
    roll_out(&world, "7.0.0", "").await;
    all(cases.iter().map(|case| case.victim.until_it_runs("7.0.0"))).await;
    for Case { attempt, victim, .. } in &mut cases {
        assert!(victim.image() == image("7.0.0"), "{}", attempt.name);
        victim.switch_off().await;
    }
    page::assert_holds(&page::table(attempts));
    world.stop().await;
}
