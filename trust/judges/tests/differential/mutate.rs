//! Inputs: an honest next document with something wrong in its body, its signatures or its bytes. A body
//! that was changed is signed again, and named anew by what vouches for it, so that it is judged by what
//! it says and not refused for a digest.

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};
use slipway_trust::fake::{self, Fake, PRODUCT};
use slipway_trust::repo::{self, Body as _};
use slipway_trust::{SecretKey, Sha256, Signer as _, Snapshot, Targets, Timestamp, canon};

use crate::NOW;

/// Kinds of documents that both verifiers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Root,
    Timestamp,
    Snapshot,
    Targets,
    Product,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Root, Self::Timestamp, Self::Snapshot, Self::Targets, Self::Product];
}

/// One document, and honest ones that have to be offered before it.
pub struct Input {
    pub kind: Kind,
    /// What is wrong with it, in words that a listed divergence may ask for.
    pub what: String,
    pub before: Vec<(Kind, Vec<u8>)>,
    pub bytes: Vec<u8>,
}

impl Input {
    pub fn draw(fake: &Fake, kind: Kind, rng: &mut StdRng) -> Self {
        let mut body = next_body(fake, kind);
        let (what, bytes) = match rng.random_range(0..8) {
            0..4 => {
                let changes: Vec<_> =
                    (0..rng.random_range(1..=2)).map(|_| change_value(&mut body, rng)).collect();
                (changes.join(", "), bytes_of(&seal(&body, &signers(fake, kind))))
            }
            4..6 => {
                let mut envelope = seal(&body, &signers(fake, kind));
                let what = change_envelope(&mut envelope, fake, rng);
                (what.to_owned(), bytes_of(&envelope))
            }
            _ => {
                let mut bytes = bytes_of(&seal(&body, &signers(fake, kind)));
                for _ in 0..rng.random_range(1..=3) {
                    change_bytes(&mut bytes, rng);
                }
                let what = if upper_case(&bytes) { "a signature in upper case" } else { "changed bytes" };
                (what.to_owned(), bytes)
            }
        };
        let before = vouchers(fake, kind, &body, &bytes);
        Self { kind, what, before, bytes }
    }
}

/// The body that an honest publication would have next.
fn next_body(fake: &Fake, kind: Kind) -> Value {
    let repository = &fake.repository;
    match kind {
        Kind::Root => repo::root(2, NOW.plus_days(400), &fake::root_keys(&fake.keys)).to_json(),
        Kind::Timestamp => {
            let held = Timestamp::parse(&repository.timestamp).expect("its own bytes");
            Timestamp { version: held.version + 1, ..held }.to_json()
        }
        Kind::Snapshot => {
            let held = Snapshot::parse(&repository.snapshot).expect("its own bytes");
            Snapshot { version: held.version + 1, ..held }.to_json()
        }
        Kind::Targets => {
            let held = Targets::parse("targets", &repository.targets).expect("its own bytes");
            Targets { version: held.version + 1, ..held }.to_json()
        }
        Kind::Product => {
            let held = fake.product();
            Targets { version: held.version + 1, ..held }.to_json()
        }
    }
}

fn signers(fake: &Fake, kind: Kind) -> Vec<&SecretKey> {
    let keys = &fake.keys;
    match kind {
        Kind::Root => vec![&keys.root[0], &keys.root[1]],
        Kind::Timestamp => vec![&keys.timestamp],
        Kind::Snapshot => vec![&keys.snapshot],
        Kind::Targets => vec![&keys.targets],
        Kind::Product => keys.publishers.iter().collect(),
    }
}

/// Timestamp and snapshot that name `bytes` with the version that it says it has.
fn vouchers(fake: &Fake, kind: Kind, body: &Value, bytes: &[u8]) -> Vec<(Kind, Vec<u8>)> {
    let named = |bytes: &[u8], version: u64| json!({"version": version, "length": bytes.len(), "hashes": {"sha256": Sha256::of(bytes).to_string()}});
    let version = body["version"].as_u64().filter(|version| (1..1 << 53).contains(version)).unwrap_or(3);
    let signed = |kind, body: &Value| bytes_of(&seal(body, &signers(fake, kind)));
    let timestamp = |snapshot: Value| {
        let mut body = next_body(fake, Kind::Timestamp);
        body["meta"]["snapshot.json"] = snapshot;
        (Kind::Timestamp, signed(Kind::Timestamp, &body))
    };
    let role = match kind {
        Kind::Root | Kind::Timestamp => return Vec::new(),
        Kind::Snapshot => return vec![timestamp(named(bytes, version))],
        Kind::Targets => "targets.json".to_owned(),
        Kind::Product => format!("{PRODUCT}.json"),
    };
    let mut snapshot = next_body(fake, Kind::Snapshot);
    snapshot["meta"][role] = named(bytes, version);
    let snapshot = signed(Kind::Snapshot, &snapshot);
    let mut before = vec![timestamp(named(&snapshot, 3)), (Kind::Snapshot, snapshot)];
    if kind == Kind::Product {
        before.push((Kind::Targets, fake.repository.targets.clone()));
    }
    before
}

fn seal(body: &Value, signers: &[&SecretKey]) -> Value {
    // What has no canonical form is signed as it stands: nobody may take it.
    let message = canon::to_bytes(body).unwrap_or_else(|_| bytes_of(body));
    let signatures: Vec<Value> = signers.iter().map(|key| signature(key, &message)).collect();
    json!({"signatures": signatures, "signed": body})
}

fn signature(key: &SecretKey, message: &[u8]) -> Value {
    let sig: String =
        key.sign(message).expect("a key in memory signs").iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"keyid": key.public_key().key_id(), "sig": sig})
}

fn bytes_of(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a value has a text")
}

// ---- bodies ------------------------------------------------------------------------------------

/// Every place in a value, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let at = format!("{at}/{}", escaped(key));
                places(member, &at, found);
                found.push(at);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let at = format!("{at}/{index}");
                places(item, &at, found);
                found.push(at);
            }
        }
        _ => {}
    }
}

/// Changes something somewhere, and says where.
fn change_value(value: &mut Value, rng: &mut StdRng) -> String {
    let mut found = Vec::new();
    places(value, "", &mut found);
    let at = &found[rng.random_range(0..found.len())];
    let other = value.pointer(&found[rng.random_range(0..found.len())]).cloned().unwrap_or_default();
    if rng.random_range(0..6) == 0 {
        remove(value, at);
        return format!("removed {at}");
    }
    let pick = rng.random_range(0..8);
    let stray = stray_value(rng);
    let Some(place) = value.pointer_mut(at) else { return format!("nothing at {at}") };
    match (pick, place) {
        (0, place) => *place = other,
        (1 | 2, Value::Number(number)) => {
            let near = number.as_i64().unwrap_or_default().saturating_add(rng.random_range(-2..=2));
            *number = near.into();
        }
        (1 | 2, Value::String(text)) => change_text(text, rng),
        (1..=3, Value::Array(items)) if !items.is_empty() => {
            let item = items[rng.random_range(0..items.len())].clone();
            items.push(item);
        }
        (1..=3, Value::Object(members)) => change_members(members, stray, rng),
        (_, place) => *place = stray,
    }
    format!("changed {at}")
}

fn remove(value: &mut Value, at: &str) {
    let Some((parent, key)) = at.rsplit_once('/') else { return };
    let key = key.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(members)) => drop(members.remove(&key)),
        Some(Value::Array(items)) => drop(key.parse::<usize>().map(|index| items.remove(index))),
        _ => {}
    }
}

fn change_members(members: &mut Map<String, Value>, stray: Value, rng: &mut StdRng) {
    let keys: Vec<String> = members.keys().cloned().collect();
    let key = match keys.get(rng.random_range(0..keys.len().max(1))) {
        Some(key) if rng.random() => key.clone(),
        _ => "x-unknown".to_owned(),
    };
    match members.remove(&key) {
        Some(member) if rng.random() => drop(members.insert(format!("{key}2"), member)),
        Some(member) => {
            members.insert(format!("{key}2"), member.clone());
            members.insert(key, member);
        }
        None => drop(members.insert(key, stray)),
    }
}

fn change_text(text: &mut String, rng: &mut StdRng) {
    let mut letters: Vec<char> = text.chars().collect();
    match rng.random_range(0..5) {
        0 => letters.push('x'),
        1 => drop(letters.pop()),
        2 => *text = text.to_uppercase(),
        _ if letters.is_empty() => letters.push('\u{e9}'),
        _ => {
            let at = rng.random_range(0..letters.len());
            letters[at] = char::from(rng.random_range(b' '..=b'~'));
        }
    }
    if text.chars().count() != letters.len() || rng.random() {
        *text = letters.into_iter().collect();
    }
}

fn stray_value(rng: &mut StdRng) -> Value {
    let texts = [
        "",
        "x",
        "root",
        "targets",
        "timestamp",
        "ed25519",
        "1",
        "1.0",
        "1.1.0",
        "2.0.0",
        "2030-01-01",
        "2030-01-01T00:00:00Z",
        "2030-01-01T00:00:00+00:00",
        "2030-01-01T00:00:00.5Z",
        "2020-01-01T00:00:00Z",
        "2030-02-30T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "pump/*",
        "*",
    ];
    let numbers = [0, 1, 2, 3, 4, -1, (1 << 53) - 1, 1 << 53, i64::MAX];
    match rng.random_range(0..8) {
        0 => Value::Null,
        1 => rng.random::<bool>().into(),
        2 => json!([]),
        3 => json!({}),
        4 => json!(1.5),
        5 => NOW.to_string().into(),
        6 => numbers[rng.random_range(0..numbers.len())].into(),
        _ => texts[rng.random_range(0..texts.len())].into(),
    }
}

// ---- envelopes ---------------------------------------------------------------------------------

fn change_envelope(envelope: &mut Value, fake: &Fake, rng: &mut StdRng) -> &'static str {
    let message = canon::to_bytes(&envelope["signed"]).expect("an honest body");
    let Some(signatures) = envelope["signatures"].as_array_mut() else { return "nothing" };
    let index = rng.random_range(0..signatures.len());
    let sig = signatures[index]["sig"].as_str().unwrap_or_default().to_owned();
    match rng.random_range(0..12) {
        0 => {
            signatures.remove(index);
            "a signature taken away"
        }
        1 => {
            signatures.push(signatures[index].clone());
            "a signature twice"
        }
        2 => {
            signatures.push(json!({"keyid": "nobody", "sig": ""}));
            "an empty signature of nobody"
        }
        3 => {
            signatures.push(signature(&fake.keys.stranger, &message));
            "a stranger's signature beside"
        }
        4 => {
            signatures[index] = signature(&fake.keys.stranger, &message);
            "a stranger's signature instead"
        }
        5 => {
            signatures[index]["sig"] = stray_value(rng);
            "another value for a signature"
        }
        6 => {
            signatures[index]["sig"] = sig.to_uppercase().into();
            "a signature in upper case"
        }
        7 => {
            signatures[index]["sig"] = sig[2..].into();
            "a signature cut short"
        }
        8 => {
            signatures[index]["x-unknown"] = stray_value(rng);
            "an unknown field in a signature"
        }
        9 => {
            signatures.reverse();
            "signatures in reverse"
        }
        10 => {
            envelope["x-unknown"] = stray_value(rng);
            "an unknown field in the envelope"
        }
        _ => {
            let mut text = sig.clone();
            change_text(&mut text, rng);
            let upper = text == sig.to_uppercase();
            signatures[index]["sig"] = text.into();
            if upper { "a signature in upper case" } else { "a signature with a wrong letter" }
        }
    }
}

// ---- bytes -------------------------------------------------------------------------------------

fn change_bytes(bytes: &mut Vec<u8>, rng: &mut StdRng) {
    if bytes.is_empty() {
        return;
    }
    let at = rng.random_range(0..bytes.len());
    match rng.random_range(0..7) {
        0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 => drop(bytes.remove(at)),
        2 => bytes.insert(at, rng.random()),
        3 => bytes.insert(at, b" \n\"{}[],:0"[rng.random_range(0..10)]),
        4 => bytes.truncate(at),
        5 => bytes.push(b" \n}x"[rng.random_range(0..4)]),
        _ => {
            let part = bytes[at..(at + 24).min(bytes.len())].to_vec();
            bytes.splice(at..at, part);
        }
    }
}

/// One flipped bit makes a capital of a letter.
fn upper_case(bytes: &[u8]) -> bool {
    let envelope: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let signatures = envelope["signatures"].as_array().into_iter().flatten();
    let mut texts = signatures.filter_map(|signature| signature["sig"].as_str());
    texts.any(|text| text.bytes().any(|byte| byte.is_ascii_uppercase()))
}
