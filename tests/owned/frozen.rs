//! Time goes by, and the server has nothing to say.

use std::time::Duration;

use slipway_proto::v1::{CheckInResponse, TrustDelta};
use slipway_server::service::signing;

use crate::{
    attempt::{After, Aim, Attempt, BASE, Says::Blocked, always, brings, soon},
    fleet::{self, claim, image, roll_out},
    forge::{Forge, signed},
    owner::Lie,
    page,
    victim::Victim,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// On one device, one after the other; with the days that go by before each.
const FREEZES: &[(u32, Attempt)] = &[
    (
        8,
        Attempt {
            name: "says for eight days that there is nothing new",
            lie: |_, _| silence(),
            says: Blocked("METADATA_EXPIRED"),
            outcome: "possible: the device says that it is out of date, and installs nothing",
            runs: BASE,
            after: After::Truth,
        },
    ),
    (
        358,
        Attempt {
            name: "signs timestamp and snapshot for a year, and leaves everything else as it was",
            lie: |forge, _| still(forge),
            says: Blocked("METADATA_EXPIRED"),
            outcome: "possible: until what the publishers signed has ended; then as above",
            runs: BASE,
            after: After::Signing,
        },
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_hears_nothing_new_says_so_and_works_on() {
    let world = fleet::server().await;
    let claim = claim(&world, "frozen", 1);
    let mut victim = Victim::enrolled(&world, &claim, "pump-1").await;
    victim.switch_on();
    let base = roll_out(&world, BASE, "").await;
    victim.until_it_runs(BASE).await.expect("the base");
    world.slipway(&["rollout", "abort", &base]);
    for (days, attempt) in FREEZES {
        victim.tell(Some(silence()));
        world.clock.advance(*days * DAY);
        let aim = Aim { id: victim.id.clone(), have: victim.owner.heard(|heard| heard.have) };
        victim.tell(Some((attempt.lie)(&Forge::of(&world), &aim)));
        let heard = victim.until(attempt.name, |victim| attempt.says.is_heard(victim)).await;
        heard.expect("that it says so");
        assert_eq!((victim.runs().as_str(), victim.image()), (attempt.runs, image(attempt.runs)));
        if attempt.after == After::Truth {
            victim.tell(None);
            assert!(signing::renew(&world.running.context).await.expect("signed"), "it was due");
            let believed = victim.until("believing", |victim| victim.blocked().is_none()).await;
            believed.expect("the truth is believed");
        }
    }
    victim.switch_off().await;
    page::assert_holds(&page::table(FREEZES.iter().map(|(_, attempt)| attempt)));
    world.stop().await;
}

fn silence() -> Lie {
    always(CheckInResponse { next_check_in: soon(), ..CheckInResponse::default() })
}

/// Fresh signatures of the server's own under what was there before.
fn still(forge: &Forge) -> Lie {
    let mut snapshot = forge.snapshot.clone();
    snapshot.version += 1;
    snapshot.expires = forge.now.plus_days(30);
    let snapshot = signed(&snapshot, &[&forge.snapshot_key]);
    let timestamp = forge.next_timestamp(&snapshot);
    brings(TrustDelta { timestamp, snapshot, ..TrustDelta::default() })
}
