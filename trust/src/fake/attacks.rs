//! The directory of attacks: what a lying server, network or insider may send to [`Fake::device`],
//! and the code with which it has to be refused.

use serde_json::{Value, json};

use super::{Delta, Fake, PRODUCT, root_keys, signed, signed_value};
use crate::repo::{self, Body as _, RoleSpec};
use crate::{AssignedTarget, Assignment, Root, Sha256, Signer, Snapshot, Targets, Timestamp};

/// One attack.
#[derive(Debug, Clone)]
pub struct Attack {
    /// What is attempted.
    pub name: &'static str,
    /// What is sent to a device that believes the honest repository.
    pub delta: Delta,
    /// The code of the refusal.
    pub code: &'static str,
}

/// Every attack on the device of `fake`. After each the device believes what it did before.
pub fn attacks(fake: &Fake) -> Vec<Attack> {
    let mut list = Vec::new();
    root_attacks(fake, &mut list);
    timestamp_attacks(fake, &mut list);
    snapshot_attacks(fake, &mut list);
    targets_attacks(fake, &mut list);
    assignment_attacks(fake, &mut list);
    document_attacks(fake, &mut list);
    list
}

fn add(list: &mut Vec<Attack>, name: &'static str, code: &'static str, delta: Delta) {
    list.push(Attack { name, delta, code });
}

fn root_attacks(fake: &Fake, list: &mut Vec<Attack>) {
    let keys = &fake.keys;
    let [first, second, third] = &keys.root;
    let stranger: &dyn Signer = &keys.stranger;
    let mut next = repo::root(2, fake.now.plus_days(400), &root_keys(keys));
    let mut case =
        |name, code, bytes| add(list, name, code, Delta { roots: vec![bytes], ..Delta::default() });

    let mut taken = root_keys(keys);
    taken.root = RoleSpec::single(keys.stranger.public_key());
    let taken = repo::root(2, fake.now.plus_days(400), &taken);
    case("root signed only by new keys", "ROOT_NOT_SIGNED_BY_PREVIOUS", signed(&taken, &[stranger]));
    case("root signed only by old keys", "ROOT_NOT_SIGNED_BY_ITSELF", signed(&taken, &[first, second]));
    case("root signed by one key of two", "ROOT_NOT_SIGNED_BY_PREVIOUS", signed(&next, &[first]));
    case(
        "root signed by one key and a stranger",
        "ROOT_NOT_SIGNED_BY_PREVIOUS",
        signed(&next, &[third, stranger]),
    );

    next.version = 3;
    case("root skipped", "ROOT_VERSION_WRONG", signed(&next, &[first, second]));
    next.version = 1;
    case("root unchanged", "ROOT_VERSION_WRONG", signed(&next, &[first, second]));

    // One public key under two ids: both its signatures are valid, and it is still one person.
    next.version = 2;
    let mut twice = next.to_json();
    twice["keys"]["another name"] = first.public_key().to_json();
    let id = first.public_key().key_id();
    twice["roles"]["root"] = json!({"keyids": [id, "another name"], "threshold": 2});
    let honest = signed_value(twice, &[first, second]);
    let mut envelope: Value = serde_json::from_slice(&honest).expect("its own bytes");
    let sig = envelope["signatures"][0]["sig"].clone();
    let entries = envelope["signatures"].as_array_mut().expect("a list");
    entries.push(json!({"keyid": "another name", "sig": sig}));
    case("one key under two ids", "ROOT_NOT_SIGNED_BY_ITSELF", bytes(&envelope));

    let mut envelope: Value =
        serde_json::from_slice(&signed(&next, &[first, second])).expect("its own bytes");
    let again = envelope["signatures"][0].clone();
    envelope["signatures"].as_array_mut().expect("a list").push(again);
    case("one signature twice", "SIGNATURE_REPEATED", bytes(&envelope));

    for (name, threshold, code) in [
        ("threshold of zero", 0, "THRESHOLD_INVALID"),
        ("threshold below zero", -1, "METADATA_FIELD_INVALID"),
    ] {
        let mut body = next.to_json();
        body["roles"]["timestamp"]["threshold"] = threshold.into();
        case(name, code, signed_value(body, &[first, second]));
    }
}

fn timestamp_attacks(fake: &Fake, list: &mut Vec<Attack>) {
    let held = Timestamp::parse(&fake.repository.timestamp).expect("its own bytes");
    let key: &dyn Signer = &fake.keys.timestamp;
    let mut case = |name, code, body: &Timestamp, key: &dyn Signer| {
        add(list, name, code, Delta { timestamp: signed(body, &[key]), ..Delta::default() });
    };
    let newer = Timestamp { version: held.version + 1, ..held.clone() };
    case("timestamp of a stranger", "SIGNATURES_MISSING", &newer, &fake.keys.stranger);
    case("timestamp signed by the snapshot key", "SIGNATURES_MISSING", &newer, &fake.keys.snapshot);
    case("timestamp expired", "METADATA_EXPIRED", &Timestamp { expires: fake.now, ..newer.clone() }, key);
    case("timestamp older", "METADATA_ROLLED_BACK", &Timestamp { version: held.version - 1, ..held }, key);
    let far = fake.now.plus_days(20_000);
    let late = Timestamp { issued: Some(far), expires: far.plus_days(7), ..newer.clone() };
    case("timestamp from after the root's end", "METADATA_ISSUED_TOO_LATE", &late, key);
    let late = Timestamp { issued: Some(newer.expires), ..newer.clone() };
    case("timestamp signed when it had expired", "METADATA_ISSUED_TOO_LATE", &late, key);
    let mut back = newer;
    back.snapshot.version -= 1;
    case("timestamp naming an older snapshot", "TIMESTAMP_NAMES_OLDER_SNAPSHOT", &back, key);
}

fn snapshot_attacks(fake: &Fake, list: &mut Vec<Attack>) {
    let held = Snapshot::parse(&fake.repository.snapshot).expect("its own bytes");
    let newer = Snapshot { version: held.version + 1, ..held.clone() };
    // The timestamp goes along with the lie: the attacker holds both online keys.
    let mut case = |name, code, body: &Snapshot| {
        let snapshot = signed(body, &[&fake.keys.snapshot]);
        let timestamp = fake.timestamp(held.version + 1, &snapshot);
        add(list, name, code, Delta { timestamp, snapshot, ..Delta::default() });
    };
    let mut without = newer.clone();
    without.meta.remove(PRODUCT);
    case("snapshot drops a role", "SNAPSHOT_DROPS_ROLE", &without);
    let mut older = newer.clone();
    older.meta.entry(PRODUCT.to_owned()).and_modify(|file| file.version -= 1);
    case("snapshot lists an older role", "SNAPSHOT_LISTS_OLDER_ROLE", &older);
    case("snapshot expired", "METADATA_EXPIRED", &Snapshot { expires: fake.now, ..newer.clone() });

    let (honest, other) = (signed(&newer, &[&fake.keys.snapshot]), signed(&without, &[&fake.keys.snapshot]));
    let timestamp = fake.timestamp(held.version + 1, &honest);
    let delta = Delta { timestamp: timestamp.clone(), snapshot: other, ..Delta::default() };
    add(list, "snapshot of another length", "METADATA_LENGTH_MISMATCH", delta);
    let mut flipped = honest;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let delta = Delta { timestamp, snapshot: flipped, ..Delta::default() };
    add(list, "snapshot with a flipped bit", "METADATA_DIGEST_MISMATCH", delta);
    let forged = signed(&newer, &[&fake.keys.stranger]);
    let delta =
        Delta { timestamp: fake.timestamp(held.version + 1, &forged), snapshot: forged, ..Delta::default() };
    add(list, "snapshot of a stranger", "SIGNATURES_MISSING", delta);
}

fn targets_attacks(fake: &Fake, list: &mut Vec<Attack>) {
    let keys = &fake.keys;
    let mut product = fake.product();
    product.version += 1;
    // The server publishes whatever it is given: it holds the online keys, not the publishers'.
    let published = |role: &str, file: Vec<u8>| {
        let mut lying = fake.clone();
        match role {
            "targets" => lying.repository.targets = file,
            _ => drop(lying.repository.delegated.insert(role.to_owned(), file)),
        }
        lying.sign_online(3);
        lying.delta(lying.assignment(2, Some(2)))
    };
    let mut case = |name, code, role: &str, file: Vec<u8>| add(list, name, code, published(role, file));
    let [one, two] = &keys.publishers;
    case("product signed by one publisher of two", "SIGNATURES_MISSING", PRODUCT, signed(&product, &[one]));
    case(
        "product signed by the director",
        "SIGNATURES_MISSING",
        PRODUCT,
        signed(&product, &[&keys.director]),
    );
    case(
        "product signed by the online keys",
        "SIGNATURES_MISSING",
        PRODUCT,
        signed(&product, &[&keys.snapshot, &keys.timestamp, &keys.director]),
    );
    let expired = Targets { expires: fake.now, ..product.clone() };
    case("product expired", "METADATA_EXPIRED", PRODUCT, signed(&expired, &[one, two]));

    let mut top = Targets::parse("targets", &fake.repository.targets).expect("its own bytes");
    top.version += 1;
    case("targets signed by the publishers", "SIGNATURES_MISSING", "targets", signed(&top, &[one, two]));
    let mut wrong = top.to_json();
    wrong["_type"] = "snapshot".into();
    case("targets of another type", "METADATA_TYPE_WRONG", "targets", signed_value(wrong, &[&keys.targets]));

    let mut delta = published(PRODUCT, signed(&product, &[one, two]));
    delta.product = fake.repository.delegated[PRODUCT].clone();
    add(list, "product older than the snapshot lists", "METADATA_DIGEST_MISMATCH", delta);
}

fn assignment_attacks(fake: &Fake, list: &mut Vec<Attack>) {
    let key: &dyn Signer = &fake.keys.director;
    let honest = Assignment::parse(&fake.assignment(2, Some(2))).expect("its own bytes");
    let mut case = |name, code, assignment: Vec<u8>| {
        add(list, name, code, Delta { assignment, ..Delta::default() });
    };
    let with = |change: fn(&mut AssignedTarget)| {
        let mut changed = honest.clone();
        changed.target.as_mut().map(change);
        signed(&changed, &[key])
    };
    let foreign = Assignment { device: "device-2".to_owned(), ..honest.clone() };
    case("assignment of another device", "ASSIGNMENT_FOREIGN", signed(&foreign, &[key]));
    case("assignment of a stranger", "SIGNATURES_MISSING", signed(&honest, &[&fake.keys.stranger]));
    case(
        "assignment signed by the timestamp key",
        "SIGNATURES_MISSING",
        signed(&honest, &[&fake.keys.timestamp]),
    );
    case(
        "assignment expired",
        "METADATA_EXPIRED",
        signed(&Assignment { expires: fake.now, ..honest.clone() }, &[key]),
    );
    let unpublished = with(|target| target.path = "assignments/pump/9.9.9.json".to_owned());
    case("assignment nobody published", "ASSIGNMENT_NOT_PUBLISHED", unpublished);
    case("assignment of another length", "ASSIGNMENT_MISMATCH", with(|target| target.length += 1));
    case(
        "assignment of other bytes",
        "ASSIGNMENT_MISMATCH",
        with(|target| target.sha256 = Sha256::of(b"evil")),
    );
    let foreign_product = with(|target| target.path = "assignments/gateway/2.0.0.json".to_owned());
    case("assignment of another product", "ASSIGNMENT_FOREIGN_PRODUCT", foreign_product);
    let outside = with(|target| target.path = "pump/2.0.0.json".to_owned());
    case("assignment outside its folder", "ASSIGNMENT_PATH_INVALID", outside);
    let climbing = with(|target| target.path = "assignments/../../etc/passwd".to_owned());
    case("assignment that climbs", "TARGET_PATH_INVALID", climbing);

    let far = fake.now.plus_days(20_000);
    let late = Assignment { issued: Some(far), expires: far.plus_days(7), ..honest.clone() };
    case("assignment from after the root's end", "METADATA_ISSUED_TOO_LATE", signed(&late, &[key]));

    let mut body = honest.to_json();
    let target = body["targets"]["assignments/pump/2.0.0.json"].clone();
    body["targets"]["assignments/pump/1.0.0.json"] = target;
    case("assignment of two releases", "ASSIGNMENT_AMBIGUOUS", signed_value(body, &[key]));
    let mut body = honest.to_json();
    body["delegations"] = json!({"keys": {}, "roles": []});
    case("assignment that delegates", "ASSIGNMENT_AMBIGUOUS", signed_value(body, &[key]));
    let mut body = honest.to_json();
    body["device"] = Value::Null;
    case("assignment for nobody", "METADATA_FIELD_INVALID", signed_value(body, &[key]));
    case(
        "base file as an assignment",
        "METADATA_FIELD_INVALID",
        fake.repository.delegated["director"].clone(),
    );
}

/// Bytes that no honest tool writes, sent as a timestamp: every document goes through the same reader.
fn document_attacks(fake: &Fake, list: &mut Vec<Attack>) {
    let honest = String::from_utf8(fake.repository.timestamp.clone()).expect("JSON is UTF-8");
    let deep = format!("{{\"signatures\":[],\"signed\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let mut case = |name, code, text: String| {
        add(list, name, code, Delta { timestamp: text.into_bytes(), ..Delta::default() });
    };
    case("document nested 5,000 deep", "METADATA_MALFORMED", deep);
    case("document with trailing bytes", "METADATA_MALFORMED", format!("{honest} x"));
    case("document after a byte order mark", "METADATA_MALFORMED", format!("\u{feff}{honest}"));
    case("document cut short", "METADATA_MALFORMED", honest[..honest.len() - 1].to_owned());
    let repeated = honest.replace("\"signed\":{", "\"signed\":{\"version\":9,");
    case("document with a key twice", "METADATA_MALFORMED", repeated);
    case("document with a float", "METADATA_MALFORMED", honest.replace("\"version\":2", "\"version\":2.5"));
    let large = honest.replace("\"version\":2", "\"version\":9007199254740992");
    case("document with an integer beyond 2^53", "METADATA_MALFORMED", large);
    case("document that is a list", "METADATA_FIELD_INVALID", "[]".to_owned());
    case("document without a body", "METADATA_FIELD_INVALID", "{\"signatures\":[]}".to_owned());
    case("document unsigned", "SIGNATURES_MISSING", honest.replace("\"keyid\":\"", "\"keyid\":\"0"));
    case("document of 20 KB", "METADATA_TOO_LARGE", format!("{honest}{}", " ".repeat(20_000)));
    let root = Root::parse(&fake.repository.roots[0]).expect("its own bytes");
    let wrong = signed(&root, &[&fake.keys.timestamp]);
    case("root as a timestamp", "METADATA_TYPE_WRONG", String::from_utf8(wrong).expect("JSON is UTF-8"));
}

fn bytes(envelope: &Value) -> Vec<u8> {
    crate::canon::to_bytes(envelope).expect("integers only")
}
