//! How much memory a lie can make a real agent take, as a process of its own.

use std::fs;

use prost::Message as _;
use slipway_proto::v1::{CheckInResponse, TrustDelta};
use slipway_tests::{clock::wait_for, processes};

use crate::{
    attempt::{Aim, at, brings, endless, soon},
    fleet,
    forge::{Forge, signed},
    owner::{Answer, CHECK_IN, Lie, RENEW},
    victim::{PATIENCE, Victim},
};

/// More than an agent may grow for any answer, in KiB: the longest message that it reads, what is made of it,
/// and what of the last one was not given back yet.
const LIMIT: u64 = 48 << 10;

/// An empty entry of a list, so often that they fill the longest message. Field 1 of everything.
fn empty_entries() -> Vec<u8> {
    b"\x0a\x00".repeat((16 << 20) / 2 - 16)
}

/// Answers that are small on the wire and large in memory, or large in both.
fn lies(forge: &Forge, aim: &Aim) -> Vec<(&'static str, Lie)> {
    // The metadata is field 1 of the answer, its roots are field 1 of it.
    let mut roots = vec![0x0a];
    let inner = empty_entries();
    prost::encoding::encode_varint(inner.len() as u64, &mut roots);
    roots.extend(inner);
    roots.extend(CheckInResponse { next_check_in: soon(), ..CheckInResponse::default() }.encode_to_vec());
    let large = TrustDelta { assignment: vec![b' '; 15 << 20], ..TrustDelta::default() };
    let mut nested = signed(&forge.product, &forge.online());
    let end = nested.len() - 1;
    nested.splice(end.., [b",\"x\":[", "[],".repeat(1_600_000).as_bytes(), b"0]}"].concat());
    let nested = forge.publish("pump", forge.product.version, nested);
    let offer = crate::attempt::update(format!("devices/{}/updates/{}", aim.id, "x".repeat(15 << 20)));
    let named = CheckInResponse { offer, next_check_in: soon(), ..CheckInResponse::default() };
    vec![
        ("8,388,592 empty roots", at(CHECK_IN, move |_| Some(Answer::Message(roots.clone())))),
        ("an assignment of 15 MiB", brings(large)),
        ("a list of releases with 1,600,000 empty lists in it", brings(nested)),
        ("an offer with a name of 15 MiB", crate::attempt::always(named)),
        ("messages without end", at(CHECK_IN, |_| Answer::stream(endless(b"")))),
        (
            "a timestamp without end",
            at(CHECK_IN, |_| Answer::stream(endless(b"\0\x01\0\0\0\x0a\xfe\xff\xff\x07\x12"))),
        ),
    ]
}

/// The most memory that a process had at once since the last call, in KiB.
fn peak(process: &processes::Process) -> u64 {
    let folder = format!("/proc/{}", process.id());
    let status = fs::read_to_string(format!("{folder}/status")).expect("a process that runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a figure");
    fs::write(format!("{folder}/clear_refs"), "5").expect("the mark is set back");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

async fn is_lied_to(victim: &Victim, times: u64) {
    let said = "the agent to hear it";
    wait_for(said, PATIENCE, || async { victim.owner.heard(|heard| (heard.lied >= times).then_some(())) })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_makes_an_agent_take_more_memory_than_it_is_long() {
    let world = fleet::server().await;
    let claim = fleet::claim(&world, "memory", 1);
    let victim = Victim::enrolled(&world, &claim, "pump-1").await;
    let log = world.path("agent.log");
    let start = || processes::agent(victim.state.path(), log.as_ref(), &["--telemetry-interval", "3600"]);
    let mut agent = start();
    let called = || async { victim.owner.heard(|heard| (heard.calls >= 6).then_some(())) };
    wait_for("the agent to call", PATIENCE, called).await;
    let (calm, forge) = (peak(&agent), Forge::of(&world));
    let aim = Aim { id: victim.id.clone(), have: victim.owner.heard(|heard| heard.have) };
    println!("an agent of {calm} KiB, which is told");
    for (name, lie) in lies(&forge, &aim) {
        victim.tell(Some(lie));
        is_lied_to(&victim, 3).await;
        let most = peak(&agent);
        println!("{name}: {most} KiB");
        assert!(most < calm + LIMIT, "{name}: {most} KiB, {calm} before");
    }
    // The same where a certificate is asked for.
    agent.kill();
    fs::remove_file(victim.state.certificate()).expect("a certificate");
    let chain = empty_entries();
    victim.tell(Some(at(RENEW, move |_| Some(Answer::Message(chain.clone())))));
    agent = start();
    is_lied_to(&victim, 2).await;
    let most = peak(&agent);
    println!("8,388,592 empty certificates: {most} KiB");
    assert!(most < calm + LIMIT, "{most} KiB, {calm} before");
    assert!(agent.is_running(), "it lives through all of it");
    world.stop().await;
}
