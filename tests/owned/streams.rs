//! Answers that are too long, too slow, too many, or none.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use futures_util::stream;
use http::Response;
use slipway_proto::v1::{CheckInResponse, TrustDelta};
use slipway_tests::desk::PRODUCT;

use crate::{
    attempt::{
        After::{Restart, Rotation, Truth},
        Aim, Attempt, BASE,
        Says::{Blocked, GivesUp, Notes, Nothing, Rejects},
        always, at, brings, either, endless, offers, slow, soon,
    },
    fleet::image,
    forge::{Forge, signed},
    owner::{Answer, CHECK_IN, Lie},
};

const REFUSED: &str = "refused";

/// Answers to a check-in.
pub const MESSAGES: &[Attempt] = &[
    Attempt {
        name: "answers a check-in with a message of 4 GiB",
        lie: |_, _| at(CHECK_IN, |_| Answer::stream(endless(b"\0\xff\xff\xff\xff"))),
        says: Notes("SERVER_UNREACHABLE"),
        outcome: "refused before it is read",
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "answers a check-in with messages without end",
        lie: |_, _| at(CHECK_IN, |_| Answer::stream(endless(b""))),
        says: Notes("SERVER_UNREACHABLE"),
        outcome: "given up at the limit of one answer",
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "answers a check-in with a byte a second",
        lie: |_, _| at(CHECK_IN, |_| Answer::stream(slow(b"\0\0\0\xff\xff"))),
        says: Notes("SERVER_UNREACHABLE"),
        outcome: "given up after a minute",
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "begins to answer a check-in, and says nothing more",
        lie: |_, _| {
            at(CHECK_IN, |_| {
                Answer::stream(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()))
            })
        },
        says: Notes("SERVER_UNREACHABLE"),
        outcome: "given up after a minute",
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "answers a check-in with a million roots",
        lie: |_, _| brings(TrustDelta { roots: vec![Vec::new(); 1 << 20], ..TrustDelta::default() }),
        says: Blocked("TOO_MANY_ROOTS"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "answers a check-in with what is no message",
        lie: |_, _| at(CHECK_IN, |_| Some(Answer::Message(vec![0xff; 1000]))),
        says: Notes("SERVER_UNREACHABLE"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "answers everything with nothing",
        lie: |_, _| at("/slipway.v1.", |_| Some(Answer::Message(Vec::new()))),
        says: Nothing,
        outcome: "possible: a device that is not told when to come back does so after five minutes",
        runs: BASE,
        after: Restart,
    },
    Attempt {
        name: "says that there is nothing new, for ever",
        lie: |_, _| always(CheckInResponse { next_check_in: soon(), ..CheckInResponse::default() }),
        says: Nothing,
        outcome: "possible: updates are withheld, until what is signed has ended (below)",
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "asks to be left alone for a thousand years",
        lie: |_, _| {
            let next_check_in = Some(prost_types::Duration { seconds: 31_557_600_000, nanos: 0 });
            always(CheckInResponse { next_check_in, ..CheckInResponse::default() })
        },
        says: Nothing,
        outcome: "possible: for a day, then the device asks again",
        runs: BASE,
        after: Restart,
    },
    Attempt {
        name: "asks for the inventory again and again",
        lie: |_, _| {
            let answer =
                CheckInResponse { want_inventory: true, next_check_in: soon(), ..Default::default() };
            always(answer)
        },
        says: Nothing,
        outcome: "possible: it is told what it was told before, at the pace of check-ins",
        runs: BASE,
        after: Truth,
    },
];

/// Documents and files.
pub const FILES: &[Attempt] = &[
    Attempt {
        name: "sends a timestamp of 20 KB",
        lie: |forge, _| {
            let mut timestamp = signed(&forge.timestamp, &[&forge.timestamp_key]);
            timestamp.resize(20_000, b' ');
            brings(TrustDelta { timestamp, ..TrustDelta::default() })
        },
        says: Blocked("METADATA_TOO_LARGE"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "sends a list of releases of 6 MB",
        lie: |forge, _| {
            let mut file = signed(&forge.product, &forge.online());
            file.resize(6_000_000, b' ');
            brings(forge.publish(PRODUCT, forge.product.version, file))
        },
        says: Blocked("METADATA_TOO_LARGE"),
        outcome: REFUSED,
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "sends a manifest without end",
        lie: |forge, aim| directs(forge, aim, at("/tuf/targets/", |_| file(endless(b"{")))),
        says: Blocked("MANIFEST_UNAVAILABLE"),
        outcome: "given up at the signed length",
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "sends the manifest of another release",
        lie: |forge, aim| {
            let other = &forge.releases["1.0.0"];
            let path = format!("/tuf/targets/{PRODUCT}/{}.1.0.0.json", other.sha256);
            directs(forge, aim, at("/tuf/targets/", move |_| Some(Answer::File(path.clone()))))
        },
        says: Rejects("MANIFEST_DIGEST_MISMATCH"),
        outcome: REFUSED,
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "mixes the contents of two releases",
        lie: |forge, aim| {
            let path = format!("/segments/{}", slipway_trust::Sha256::of(&image("1.0.0")));
            directs(forge, aim, at("/segments/", move |_| Some(Answer::File(path.clone()))))
        },
        says: GivesUp("SEGMENT_DIGEST_MISMATCH"),
        outcome: "refused before it is written",
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "sends a segment without end",
        lie: |forge, aim| directs(forge, aim, at("/segments/", |_| file(endless(b"\x28\xb5\x2f\xfd")))),
        says: GivesUp("SEGMENT_UNAVAILABLE"),
        outcome: "given up at the limit of a segment",
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "sends a segment that unpacks to 16 MiB",
        lie: |forge, aim| {
            let bomb = slipway_payload::encode(&vec![0; 1 << 20]).expect("a frame").repeat(16);
            directs(forge, aim, at("/segments/", move |_| file(Body::from(bomb.clone()))))
        },
        says: GivesUp("SEGMENT_FRAME_INVALID"),
        outcome: "refused before it is written",
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "sends a segment with a byte a second",
        lie: |forge, aim| directs(forge, aim, at("/segments/", |_| file(slow(b"\x28\xb5\x2f\xfd")))),
        says: Notes("DOWNLOAD_INTERRUPTED"),
        outcome: "given up after a minute, and tried again",
        runs: BASE,
        after: Rotation,
    },
];

/// To a release that could be installed, and this about its files.
fn directs(forge: &Forge, aim: &Aim, files: Lie) -> Lie {
    either(files, offers(aim, forge.assign(&aim.id, aim.have, Some(&forge.releases["2.0.0"]))))
}

fn file(body: Body) -> Option<Answer> {
    Some(Answer::Raw(Response::new(body)))
}
