//! What attackers try against the verifier, and what becomes of it: a list of threats, by document.
//!
//! Every test is named for its threat and says its row in the attack table of `docs/THREATS.md`. A refusal
//! has its code, changes nothing that is believed, and does not keep the next honest step from working:
//! [`world`] sees to that. Threats that need an agent, a server or a network are tested with those.

mod assignments;
mod delegations;
mod documents;
mod order;
mod releases;
mod roots;
mod signatures;
mod snapshots;
mod stored;
mod targets;
mod timestamps;
mod world;

use std::collections::BTreeSet;

/// The directory of attacks is used by others too, which go through it without a name for each.
#[test]
fn every_attack_of_the_directory_has_its_test() {
    let listed = [
        assignments::ATTACKS,
        documents::ATTACKS,
        roots::ATTACKS,
        snapshots::ATTACKS,
        targets::ATTACKS,
        timestamps::ATTACKS,
    ];
    let tested: BTreeSet<&str> = listed.concat().into_iter().collect();
    let world = world::World::new();
    let known: BTreeSet<&str> =
        slipway_trust::fake::attacks(&world.fake).into_iter().map(|attack| attack.name).collect();
    assert_eq!(tested, known);
}
