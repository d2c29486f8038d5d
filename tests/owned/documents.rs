//! Lies that are signed, with every key that the server has.

use slipway_proto::v1::TrustDelta;
use slipway_trust::{ReleaseEntry, Sha256, Signer, TARGETS, repo, repo::RoleSpec};

use crate::{
    attempt::{
        After::{Rotation, Truth},
        Attempt, BASE,
        Says::{Blocked, Nothing, Rejects},
        at, brings, offers,
    },
    forge::{Forge, LAST, signed},
    owner::CHECK_IN,
};

const REFUSED: &str = "refused";

/// Firmware, documents and keys that are not what their signers may sign.
pub const FOREIGN: &[Attempt] = &[
    Attempt {
        name: "assigns firmware that no publisher signed",
        lie: |forge, aim| {
            let mut own = forge.releases[BASE].clone();
            own.version = "9.9.9".parse().expect("a version");
            offers(aim, forge.assign(&aim.id, aim.have, Some(&own)))
        },
        says: Rejects("ASSIGNMENT_NOT_PUBLISHED"),
        outcome: REFUSED,
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "assigns other bytes under the name of a release",
        lie: |forge, aim| {
            let own = ReleaseEntry { sha256: Sha256::of(b"evil"), ..forge.releases["2.0.0"].clone() };
            offers(aim, forge.assign(&aim.id, aim.have, Some(&own)))
        },
        says: Rejects("ASSIGNMENT_MISMATCH"),
        outcome: REFUSED,
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "assigns a release of another product",
        lie: |forge, aim| offers(aim, forge.assign(&aim.id, aim.have, Some(&forge.foreign))),
        says: Rejects("ASSIGNMENT_FOREIGN_PRODUCT"),
        outcome: REFUSED,
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "assigns a release for other hardware",
        lie: |forge, aim| offers(aim, forge.assign(&aim.id, aim.have, Some(&forge.releases["4.0.0"]))),
        says: Rejects("HARDWARE_MISMATCH"),
        outcome: REFUSED,
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "assigns a release below the floor",
        lie: |forge, aim| offers(aim, forge.assign(&aim.id, aim.have, Some(&forge.releases["1.0.0"]))),
        says: Rejects("BELOW_FLOOR"),
        outcome: REFUSED,
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "assigns a release beyond a stepping stone",
        lie: |forge, aim| offers(aim, forge.assign(&aim.id, aim.have, Some(&forge.releases["5.0.0"]))),
        says: Rejects("STEPPING_STONE_REQUIRED"),
        outcome: REFUSED,
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "lists firmware of its own among the product's, signed by the director",
        lie: |forge, aim| offers(aim, own_list(forge, &[&forge.director_key])),
        says: Rejects("SIGNATURES_MISSING"),
        outcome: REFUSED,
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "the same, signed by all keys that it has",
        lie: |forge, aim| offers(aim, own_list(forge, &forge.online())),
        says: Rejects("SIGNATURES_MISSING"),
        outcome: REFUSED,
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "names itself the publisher in targets that it signs",
        lie: |forge, aim| {
            let mut targets = forge.targets.clone();
            targets.version += 1;
            let own = RoleSpec::single(forge.director_key.public_key());
            targets.delegate_product("pump", &own).expect("a product");
            offers(aim, forge.publish(TARGETS, targets.version, signed(&targets, &forge.online())))
        },
        says: Rejects("SIGNATURES_MISSING"),
        outcome: REFUSED,
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "gives every role its own keys, in a root that it signs",
        lie: |forge, _| {
            let own = RoleSpec::single(forge.director_key.public_key());
            let keys = repo::RootKeys {
                root: own.clone(),
                targets: own.clone(),
                snapshot: own.clone(),
                timestamp: own,
            };
            let root = repo::root(forge.root.version + 1, forge.root.expires.plus_days(1), &keys);
            brings(TrustDelta { roots: vec![signed(&root, &forge.online())], ..TrustDelta::default() })
        },
        says: Blocked("ROOT_NOT_SIGNED_BY_PREVIOUS"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "signs an assignment with the key of the timestamp",
        lie: |forge, aim| {
            let word = forge.word(&aim.id, aim.have, Some(&forge.releases["2.0.0"]));
            let assignment = signed(&word, &[&forge.timestamp_key]);
            offers(aim, TrustDelta { assignment, ..TrustDelta::default() })
        },
        says: Rejects("SIGNATURES_MISSING"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "sends the assignment of another device",
        lie: |forge, aim| offers(aim, forge.assign("pump-0", aim.have, Some(&forge.releases["2.0.0"]))),
        says: Rejects("ASSIGNMENT_FOREIGN"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "assigns two releases at once",
        lie: |forge, aim| {
            let mut body =
                repo::Body::to_json(&forge.word(&aim.id, aim.have, Some(&forge.releases["2.0.0"])));
            let target = body["targets"]["assignments/pump/2.0.0.json"].clone();
            body["targets"]["assignments/pump/3.0.0.json"] = target;
            let assignment = slipway_trust::fake::signed_value(body, &[&forge.director_key]);
            offers(aim, TrustDelta { assignment, ..TrustDelta::default() })
        },
        says: Rejects("ASSIGNMENT_AMBIGUOUS"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
];

/// What was said before, what is said too late, and numbers as high as they go.
pub const ORDER: &[Attempt] = &[
    Attempt {
        name: "says hold, and then again what it said before",
        lie: |forge, aim| {
            let mut hold = forge.word(&aim.id, aim.have, None);
            let before = forge.assign(&aim.id, aim.have, Some(&forge.releases["2.0.0"]));
            hold.version += 1;
            let (held, hold) = (hold.version, forge.say(&hold));
            let (first, then) = (offers(aim, hold), offers(aim, before));
            at(CHECK_IN, move |call| {
                let request: slipway_proto::v1::CheckInRequest = call.read();
                let is_held = request.have.is_some_and(|have| have.assignment == held);
                if is_held { then(call) } else { first(call) }
            })
        },
        says: Rejects("METADATA_ROLLED_BACK"),
        outcome: REFUSED,
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "replays an older timestamp",
        lie: |forge, _| {
            let mut older = forge.timestamp.clone();
            older.version -= 1;
            let timestamp = signed(&older, &[&forge.timestamp_key]);
            brings(TrustDelta { timestamp, ..TrustDelta::default() })
        },
        says: Blocked("METADATA_ROLLED_BACK"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "brings a timestamp for an older snapshot",
        lie: |forge, _| {
            let mut next = forge.timestamp.clone();
            next.version += 1;
            next.snapshot.version -= 1;
            let timestamp = signed(&next, &[&forge.timestamp_key]);
            brings(TrustDelta { timestamp, ..TrustDelta::default() })
        },
        says: Blocked("TIMESTAMP_NAMES_OLDER_SNAPSHOT"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "leaves the product's list out of the snapshot",
        lie: |forge, _| {
            let mut snapshot = forge.snapshot.clone();
            snapshot.version += 1;
            snapshot.meta.remove("pump");
            let snapshot = signed(&snapshot, &[&forge.snapshot_key]);
            let timestamp = forge.next_timestamp(&snapshot);
            brings(TrustDelta { timestamp, snapshot, ..TrustDelta::default() })
        },
        says: Blocked("SNAPSHOT_DROPS_ROLE"),
        outcome: REFUSED,
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "sends an assignment that has ended",
        lie: |forge, aim| {
            let mut word = forge.word(&aim.id, aim.have, Some(&forge.releases["2.0.0"]));
            word.expires = forge.now;
            offers(aim, forge.say(&word))
        },
        says: Rejects("METADATA_EXPIRED"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "signs as if it were after the end of the root",
        lie: |forge, aim| {
            let mut word = forge.word(&aim.id, aim.have, Some(&forge.releases["2.0.0"]));
            word.issued = Some(forge.root.expires);
            word.expires = forge.root.expires.plus_days(30);
            offers(aim, forge.say(&word))
        },
        says: Rejects("METADATA_ISSUED_TOO_LATE"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "signs a timestamp as if it were the last day of the root",
        lie: |forge, _| {
            let mut late = forge.timestamp.clone();
            late.version += 1;
            late.issued = Some(forge.root.expires.plus_days(-1));
            late.expires = forge.root.expires.plus_days(7);
            let timestamp = signed(&late, &[&forge.timestamp_key]);
            brings(TrustDelta { timestamp, ..TrustDelta::default() })
        },
        says: Blocked("METADATA_EXPIRED"),
        outcome: "possible: the device's clock goes ahead, everything seems to have ended, and it installs nothing",
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "counts timestamp and snapshot up to the largest number there is",
        lie: |forge, _| {
            let mut snapshot = forge.snapshot.clone();
            snapshot.version = LAST;
            let snapshot = signed(&snapshot, &[&forge.snapshot_key]);
            let expires = forge.now.plus_days(repo::lifetime::TIMESTAMP_DAYS);
            let timestamp = repo::timestamp(LAST, expires, forge.now, &snapshot).expect("a timestamp");
            let timestamp = signed(&timestamp, &[&forge.timestamp_key]);
            brings(TrustDelta { timestamp, snapshot, ..TrustDelta::default() })
        },
        says: Nothing,
        outcome: "possible: the device takes nothing newer",
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "counts the assignment up to the largest number there is, and says hold",
        lie: |forge, aim| {
            let mut word = forge.word(&aim.id, aim.have, None);
            word.version = LAST;
            brings(forge.say(&word))
        },
        says: Nothing,
        outcome: "possible: the device takes no other assignment",
        runs: BASE,
        after: Rotation,
    },
];

fn own_list(forge: &Forge, keys: &[&dyn Signer]) -> TrustDelta {
    let product = forge.with_own_firmware();
    forge.publish("pump", product.version, signed(&product, keys))
}
