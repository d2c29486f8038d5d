//! Input that no honest tool writes. Every document goes through one reader; the timestamp stands for all.

use serde_json::json;
use slipway_trust::fake::{self, DEVICE, PRODUCT};
use slipway_trust::repo::Body as _;
use slipway_trust::{Change, Date, Error, Manifest, Timestamp, TrustedSet, limits};

use crate::world::{NOW, World, attacks};

attacks! {
    /// Row 26.
    of_another_type: "root as a timestamp",
    /// Row 49.
    longer_than_its_kind_may_be: "document of 20 KB",
    /// Row 50.
    nested_too_deep: "document nested 5,000 deep",
    /// Row 50.
    with_a_key_twice: "document with a key twice",
    /// Row 50.
    with_a_float: "document with a float",
    /// Row 50.
    with_an_integer_that_others_read_otherwise: "document with an integer beyond 2^53",
    /// Row 50.
    after_a_byte_order_mark: "document after a byte order mark",
    /// Row 50.
    with_trailing_bytes: "document with trailing bytes",
    /// Row 50.
    cut_short: "document cut short",
    /// Row 50.
    that_is_a_list: "document that is a list",
    /// Row 50.
    without_a_body: "document without a body",
    /// Row 14.
    unsigned: "document unsigned",
}

/// Row 49: every kind has its limit, and is refused before a byte of it is read.
#[test]
fn metadata_of_six_to_nine_megabytes() {
    type Offer = fn(&mut TrustedSet, &[u8], Date) -> Result<(), Error>;
    let offers: [(&str, Offer); 6] = [
        ("root", |set, bytes, _| set.update_root(bytes).map(drop)),
        ("timestamp", |set, bytes, now| set.update_timestamp(bytes, now).map(drop)),
        ("snapshot", |set, bytes, now| set.update_snapshot(bytes, now).map(drop)),
        ("targets", |set, bytes, now| set.update_targets(bytes, now).map(drop)),
        ("product", |set, bytes, now| set.update_product(PRODUCT, bytes, now).map(drop)),
        ("assignment", |set, bytes, now| set.update_assignment(DEVICE, bytes, now).map(drop)),
    ];
    for megabytes in [6, 9] {
        let huge = vec![b' '; megabytes << 20];
        for (name, offer) in offers {
            // What a snapshot or timestamp vouches for is already refused for its length.
            let code = match name {
                "snapshot" | "targets" | "product" => "METADATA_LENGTH_MISMATCH",
                _ => "METADATA_TOO_LARGE",
            };
            World::new().refuses(code, |device| offer(device, &huge, NOW));
        }
    }
    assert_eq!(
        Manifest::parse(&vec![b' '; limits::MANIFEST_BYTES + 1]).map_err(|e| e.code()),
        Err("METADATA_TOO_LARGE")
    );
}

/// Row 50.
#[test]
fn text_that_some_readers_take_for_json() {
    let mut deep = "[".repeat(10_000);
    deep.push_str(&"]".repeat(10_000));
    for text in ["NaN", "{\"signed\":NaN,\"signatures\":[]}", "Infinity", "{'a':1}", "[1,]", "", "\0", &deep]
    {
        World::new().refuses("METADATA_MALFORMED", |device| device.update_root(text.as_bytes()));
    }
}

/// Row 51: they are signed like all else, and kept.
#[test]
fn unknown_fields_are_taken_and_covered_by_the_signature() {
    let mut world = World::new();
    let held = Timestamp::parse(&world.fake.repository.timestamp).expect("its own bytes");
    let mut body = Timestamp { version: held.version + 1, ..held }.to_json();
    body["x-unknown"] = json!({"anything": [1, 2]});
    body["meta"]["snapshot.json"]["x-unknown"] = json!("beside a file");
    let bytes = fake::signed_value(body, &[&world.fake.keys.timestamp]);
    let changed = String::from_utf8(bytes.clone()).expect("JSON is UTF-8").replace("beside", "BESIDE");
    world.refuses_step("SIGNATURES_MISSING", |device| device.update_timestamp(changed.as_bytes(), NOW));
    assert_eq!(world.device.update_timestamp(&bytes, NOW), Ok(Change::Accepted));
}
