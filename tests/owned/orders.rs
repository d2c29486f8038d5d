//! Lies that need no signature: orders, refusals, certificates, and the time.

use http::Response;
use slipway_proto::v1::{CheckInResponse, GetTimeRequest, GetTimeResponse, RenewResponse};
use slipway_trust::{SecretKey, Signer as _};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    attempt::{
        After::{Restart, Rotation, Truth},
        Attempt, BASE,
        Says::{Blocked, Notes, Nothing, Succeeds},
        always, at, either, offers, soon, update,
    },
    owner::{Answer, Lie, RENEW, TIME},
};

const REFUSED: &str = "refused";

/// What a device is told to do.
pub const ORDERS: &[Attempt] = &[
    Attempt {
        name: "directs to another release that the publishers signed, above the floor",
        lie: |forge, aim| offers(aim, forge.assign(&aim.id, aim.have, Some(&forge.releases["2.0.0"]))),
        says: Succeeds,
        outcome: "possible: this is what the server's keys are for",
        runs: "2.0.0",
        after: Rotation,
    },
    Attempt {
        name: "offers again and again what the device runs",
        lie: |_, aim| {
            let offer = update(format!("devices/{}/updates/lie", aim.id));
            always(CheckInResponse { offer, next_check_in: soon(), ..CheckInResponse::default() })
        },
        says: Succeeds,
        outcome: "without effect: the device says that it is there",
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "offers an update of another device",
        lie: |_, _| {
            let offer = update("devices/pump-0/updates/lie".to_owned());
            always(CheckInResponse { offer, next_check_in: soon(), ..CheckInResponse::default() })
        },
        says: Notes("OFFER_INVALID"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "offers an update and signs that the device shall stay",
        lie: |forge, aim| offers(aim, forge.assign(&aim.id, aim.have, None)),
        says: Notes("OFFER_NOT_ASSIGNED"),
        outcome: REFUSED,
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "offers an update and takes it back, for ever",
        lie: |forge, aim| {
            let trust = forge.assign(&aim.id, aim.have, Some(&forge.releases["2.0.0"]));
            let offer = update(format!("devices/{}/updates/lie", aim.id));
            let answer = CheckInResponse {
                trust: Some(trust),
                offer,
                next_check_in: soon(),
                cancel_update: true,
                ..CheckInResponse::default()
            };
            either(at("/segments/", |_| refusal("UNAVAILABLE", Code::Unavailable)), always(answer))
        },
        says: Nothing,
        outcome: "possible: it is never installed",
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "says that it does not know the device",
        lie: |_, _| at("/slipway.v1.", |_| refusal("DEVICE_UNKNOWN", Code::Unauthenticated)),
        says: Notes("DEVICE_UNKNOWN"),
        outcome: "possible: the device keeps all it has, and asks again",
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "revokes the device",
        lie: |_, _| at("/slipway.v1.", |_| refusal("DEVICE_REVOKED", Code::PermissionDenied)),
        says: Blocked("DEVICE_REVOKED"),
        outcome: "possible: the device keeps all it has, and asks again within the hour",
        runs: BASE,
        after: Restart,
    },
    Attempt {
        name: "sends the device to another server",
        lie: |_, _| {
            at("/", |_| {
                let there = Response::builder()
                    .status(307)
                    .header("location", "https://127.0.0.1:9/")
                    .header("alt-svc", "h2=\"127.0.0.1:9\"")
                    .body(axum::body::Body::empty());
                Some(Answer::Raw(there.expect("a response")))
            })
        },
        says: Notes("SERVER_UNREACHABLE"),
        outcome: "refused: the address is in `agent.toml` alone",
        runs: BASE,
        after: Truth,
    },
];

/// Devices that need a certificate: theirs was lost.
pub const CERTIFICATES: &[Attempt] = &[
    Attempt {
        name: "gives the device a certificate for another key",
        lie: |_, _| {
            let key = rcgen::KeyPair::generate().expect("a key");
            let own = rcgen::CertificateParams::default().self_signed(&key).expect("a certificate");
            certifies(vec![own.der().to_vec()])
        },
        says: Notes("DEVICE_CERTIFICATE_REQUIRED"),
        outcome: "refused: it shows none, and asks again",
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "gives the device what is no certificate",
        lie: |_, _| certifies(vec![b"evil".to_vec()]),
        says: Notes("DEVICE_CERTIFICATE_REQUIRED"),
        outcome: "refused: it shows none, and asks again",
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "gives the device certificates of half a megabyte",
        lie: |_, _| certifies(vec![vec![0; 1 << 19]]),
        says: Notes("SERVER_UNREACHABLE"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
];

/// Devices whose clock shows 1970, and which ask what time it is.
pub const TIMES: &[Attempt] = &[
    Attempt {
        name: "says the time, signed by the key of the director",
        lie: |forge, _| tells(&forge.director_key, forge.now.unix()),
        says: Notes("TIME_REFUSED"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "says the time with the answer to another question",
        lie: |forge, _| {
            let now = forge.now.unix();
            let signature = sign_time(&forge.timestamp_key, &[7; 16], now);
            at(TIME, move |_| says(now, signature.clone()))
        },
        says: Notes("TIME_REFUSED"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "says a time after the end of the root",
        lie: |forge, _| tells(&forge.timestamp_key, forge.root.expires.plus_days(1).unix()),
        says: Notes("TIME_REFUSED"),
        outcome: REFUSED,
        runs: BASE,
        after: Truth,
    },
    Attempt {
        name: "says that it is the last day of the root",
        lie: |forge, _| tells(&forge.timestamp_key, forge.root.expires.plus_days(-1).unix()),
        says: Blocked("METADATA_EXPIRED"),
        outcome: "possible: everything seems to have ended, and the device installs nothing",
        runs: BASE,
        after: Rotation,
    },
    Attempt {
        name: "says that it is 1970",
        lie: |forge, _| tells(&forge.timestamp_key, 0),
        says: Nothing,
        outcome: "without effect: it cannot be earlier than what was signed before",
        runs: BASE,
        after: Truth,
    },
];

fn refusal(reason: &str, code: Code) -> Option<Answer> {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "slipway.v1", std::collections::HashMap::new());
    Some(Answer::Refusal(Status::with_error_details(code, "so says the server", details)))
}

fn certifies(certificate_chain_der: Vec<Vec<u8>>) -> Lie {
    let answer = RenewResponse { certificate_chain_der, ..RenewResponse::default() };
    at(RENEW, move |_| Answer::of(&answer))
}

/// That it is so many seconds since 1970.
fn tells(key: &SecretKey, seconds: i64) -> Lie {
    let key = key.clone();
    at(TIME, move |call| says(seconds, sign_time(&key, &call.read::<GetTimeRequest>().nonce, seconds)))
}

fn sign_time(key: &SecretKey, nonce: &[u8], seconds: i64) -> Vec<u8> {
    let message = [b"slipway-time/v1\n", nonce, seconds.to_string().as_bytes()].concat();
    key.sign(&message).expect("a signature").to_vec()
}

fn says(seconds: i64, signature: Vec<u8>) -> Option<Answer> {
    let time = Some(prost_types::Timestamp { seconds, nanos: 0 });
    Answer::of(&GetTimeResponse { time, signature })
}
