//! Sticks that lie, are cut, are old, or are for somebody else.

use std::{process::Command, sync::Arc};

use rand::{SeedableRng as _, rngs::StdRng};
use slipway_agent::{Config, bundle::Bundles, clock::Clock, install, machine::Slot, verify::TrustStore};
use slipway_payload::bundle::{BLOCK, MANIFEST, assignment_name};
use slipway_proto::v1::TrustDelta;
use slipway_trust::{
    Date,
    fake::{self, DEVICE, Delta, Fake, PRODUCT},
};
use tokio::sync::watch;

use super::{Stick, refused};
use crate::{
    device::Device,
    fleet::{Fleet, NOW},
};

/// Names and contents, in the order of the file.
type Entries = Vec<(String, Vec<u8>)>;

/// Every broken repository of the fake, from a stick.
#[tokio::test]
async fn broken_metadata_is_refused_by_the_same_names_as_from_a_server() {
    let fleet = Fleet::start(NOW).await;
    let honest = Fake::new(Date::from_millis(NOW));
    let root = &honest.repository.roots[0];
    let believed = honest.delta(honest.assignment(1, Some(1)));
    for attack in fake::attacks(&honest) {
        let device = Device::enrolled(&fleet, "").await;
        let Delta { roots, timestamp, snapshot, targets, product, assignment } = believed.clone();
        let clock = Clock::from_source(Arc::new(|| NOW));
        let (mut trust, _) = TrustStore::open(&device.state(), PRODUCT, DEVICE, &clock).unwrap();
        trust.apply(&TrustDelta { roots, timestamp, snapshot, targets, product, assignment }).unwrap();
        let before = trust.have();
        drop(trust);

        let manifest = honest.manifests.values().next().unwrap();
        let (code, detail) = device.refusal(&Stick::with(root, &attack.delta, manifest).pack()).await;
        let sent = &attack.delta;
        let parts = [&sent.timestamp, &sent.snapshot, &sent.targets, &sent.product];
        // What is not sent at all is no bundle.
        let is_cut = parts.iter().any(|part| part.is_empty()) && code == "BUNDLE_INVALID";
        assert!(code == attack.code || is_cut, "{}: {code}: {detail}", attack.name);
        assert!(device.is_untouched(), "{}", attack.name);
        let (trust, lost) = TrustStore::open(&device.state(), PRODUCT, DEVICE, &clock).unwrap();
        assert!(lost.is_empty() && trust.have().timestamp >= before.timestamp, "{}", attack.name);
    }
}

#[tokio::test]
async fn what_is_no_whole_bundle_in_its_order_is_refused_before_anything_is_written() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let (stick, other) = {
        let mut world = fleet.world.lock().unwrap();
        world.publish(4, 0, 5);
        (Stick::of(&mut world, 3), Stick::of(&mut world, 4))
    };
    let good = Stick::of(&mut fleet.world.lock().unwrap(), 3);
    let first = good.segments();
    let changed = |change: &dyn Fn(&mut Entries)| {
        let mut stick = good.clone();
        change(&mut stick.0);
        stick.pack()
    };
    let whole = good.pack();
    let mut cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing at all", Vec::new(), "ends too early"),
        ("zeros without an end", vec![0; 64 << 10], "no further entry"),
        ("half a bundle", whole[..whole.len() / 2].to_vec(), "ends too early"),
        ("without its end", whole[..whole.len() - 2 * BLOCK].to_vec(), "ends too early"),
        ("padded", [whole.clone(), vec![0; BLOCK]].concat(), "goes on behind its end"),
        ("two at once", [whole.clone(), whole.clone()].concat(), "goes on behind its end"),
        ("reordered", changed(&|entries| entries.swap(first, first + 1)), "is expected"),
        ("manifest first", changed(&|entries| entries.rotate_right(1)), "is expected"),
        ("a segment missing", changed(&|entries| drop(entries.remove(first + 2))), "is expected"),
        ("the last segment missing", changed(&|entries| drop(entries.pop())), "no further entry"),
        ("a segment twice", changed(&|entries| entries.push(entries[first].clone())), "more than"),
        ("a file more", changed(&|entries| entries.push(("readme".into(), vec![1]))), "more than"),
        (
            "another release's segment",
            changed(&|entries| entries[first + 1] = other.0[other.segments()].clone()),
            "is expected",
        ),
        ("an empty segment", changed(&|entries| entries[first].1.clear()), "it may have 1 to"),
        ("a root missing", changed(&|entries| drop(entries.remove(0))), "is expected"),
    ];
    for name in [
        "../../etc/passwd",
        "/etc/passwd",
        "segments/../key.pem",
        "metadata/../../x.json",
        "assignments/../a",
    ] {
        cases.push(("a path", changed(&|entries| entries[first].0 = name.to_owned()), "is expected"));
        cases.push((
            "a path in front",
            changed(&|entries| entries.insert(0, (name.to_owned(), vec![1]))),
            "is expected",
        ));
    }
    let oversized = slipway_payload::FRAME_MAX + 1;
    cases.push((
        "an oversized segment",
        changed(&|entries| entries[first].1.resize(oversized, 0)),
        "it may have 1 to",
    ));
    let timestamp = good.place("metadata/timestamp.json");
    cases.push((
        "an oversized timestamp",
        changed(&|entries| entries[timestamp].1.resize(20_000, b' ')),
        "it may have 1 to",
    ));
    for (name, bytes, says) in cases {
        let (code, detail) = device.refusal(&bytes).await;
        assert_eq!(code, "BUNDLE_INVALID", "{name}: {detail}");
        assert!(detail.contains(says), "{name}: {detail}");
        assert!(device.is_untouched(), "{name}");
    }
    // Contents: the layout is right, and they are not what was signed.
    let spoil = |index: usize| {
        changed(&|entries| {
            let middle = entries[index].1.len() / 2;
            entries[index].1[middle] ^= 0xff;
        })
    };
    let manifest = good.place(MANIFEST);
    for (index, code) in
        [(manifest, "MANIFEST_MISMATCH"), (first, "SEGMENT_"), (good.0.len() - 1, "SEGMENT_")]
    {
        let (found, detail) = device.refusal(&spoil(index)).await;
        assert!(found.starts_with(code), "{found}: {detail}");
        assert!(device.is_untouched(), "{found}");
    }
    let mixed = changed(&|entries| entries[first].1 = entries[first + 1].1.clone());
    assert_eq!(device.refusal(&mixed).await.0, "SEGMENT_DIGEST_MISMATCH");
    assert!(device.is_untouched());
    // Files that have no end, that nobody writes into, and none that can be read.
    let pipe = device.folder().join("pipe").display().to_string();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, code) in [
        ("/dev/zero", "BUNDLE_INVALID"),
        ("/", "BUNDLE_INVALID"),
        (pipe.as_str(), "BUNDLE_INVALID"),
        ("/nowhere", "BUNDLE_UNREADABLE"),
    ] {
        let (_stop, stopped) = watch::channel(false);
        let clock = Clock::from_source(Arc::new(|| NOW));
        let outcome = install(&device.state(), path.as_ref(), clock, StdRng::seed_from_u64(1), stopped).await;
        assert_eq!(refused(outcome).0, code, "{path}");
    }
    // An older one than what the device has believed by now.
    assert_eq!(device.refusal(&stick.pack()).await.0, "METADATA_ROLLED_BACK");
    assert!(device.is_untouched());
    // And after all that the good one is as good as ever.
    device.install(&whole).await.unwrap();
}

#[tokio::test]
async fn what_others_are_to_install_is_not_installed() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let (stick, held) = {
        let mut world = fleet.world.lock().unwrap();
        world.publish(4, 0, 5);
        let stick = Stick::of(&mut world, 4);
        world.delta.assignment = world.fake.assignment(9, None);
        (stick, world.delta.assignment.clone())
    };
    let changed = |from: &str, name: &str| {
        let mut stick = stick.clone();
        let place = stick.place(from);
        stick.0[place].0 = name.to_owned();
        stick.pack()
    };
    let own = assignment_name(DEVICE);
    let without = {
        let mut stick = stick.clone();
        stick.0.remove(stick.place(&own));
        stick
    };
    let mut hold = stick.clone();
    hold.0[stick.place(&own)].1 = held;
    for (name, bytes, code, says) in [
        ("no assignment", without.pack(), "BUNDLE_NOT_ASSIGNED", "nothing assigns it to device-1"),
        (
            "another device's",
            changed(&own, "assignments/device-2.json"),
            "BUNDLE_NOT_ASSIGNED",
            "nothing assigns",
        ),
        ("to stay", hold.pack(), "BUNDLE_NOT_ASSIGNED", "to stay as it is"),
        (
            "another product",
            changed("metadata/pump.json", "metadata/valve.json"),
            "RELEASE_FOREIGN_PRODUCT",
            "\"valve\"",
        ),
    ] {
        let fresh = Device::enrolled(&fleet, "").await;
        let (found, detail) = fresh.refusal(&bytes).await;
        assert_eq!(found, code, "{name}: {detail}");
        assert!(detail.contains(says), "{name}: {detail}");
        assert!(fresh.is_untouched(), "{name}");
    }
    // Other hardware.
    let mut config = Config::read(&device.state()).unwrap();
    config.hardware = "gw-z".to_owned();
    config.write(&device.state()).unwrap();
    assert_eq!(device.refusal(&stick.pack()).await.0, "HARDWARE_MISMATCH");
    config.hardware = fake::HARDWARE.to_owned();
    config.component = "radio".to_owned();
    config.write(&device.state()).unwrap();
    assert_eq!(device.refusal(&stick.pack()).await.0, "ARTIFACT_MISSING");
    config.component = "system".to_owned();
    config.write(&device.state()).unwrap();
    assert!(device.is_untouched());

    // The owner decides that whoever has the stick chooses; or that nobody does.
    device.takes(Bundles::Off);
    assert_eq!(device.refusal(&stick.pack()).await.0, "BUNDLES_OFF");
    device.takes(Bundles::Signed);
    let (installed, _) = device.install(&without.pack()).await.unwrap();
    assert_eq!(installed.counter, 4);
    let unlisted = {
        let mut stick = without;
        let place = stick.place(MANIFEST);
        stick.0[place].1.push(b' ');
        stick
    };
    assert_eq!(device.refusal(&unlisted.pack()).await.0, "MANIFEST_MISMATCH");
}

#[tokio::test]
async fn the_floor_holds_for_sticks_too() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    device.takes(Bundles::Signed);
    let (new, old) = {
        let mut world = fleet.world.lock().unwrap();
        world.publish(4, 4, 3);
        (Stick::of(&mut world, 4), Stick::of(&mut world, 3))
    };
    device.install(&new.pack()).await.unwrap();
    assert_eq!(device.status().floor, 4);
    let (code, detail) = device.refusal(&old.pack()).await;
    assert_eq!(code, "BELOW_FLOOR", "{detail}");
    assert_eq!(device.running(), Slot::B);
}

#[tokio::test]
async fn time_holds_for_sticks_too() {
    let fleet = Fleet::start(NOW).await;
    let stick = Stick::of(&mut fleet.world.lock().unwrap(), 3).pack();
    let day = 24 * 3_600_000;
    let late = Device::enrolled(&fleet, "").await;
    let (code, detail) = refused(late.install_at(&stick, NOW + 8 * day).await);
    assert_eq!(code, "METADATA_EXPIRED");
    assert!(detail.starts_with("timestamp"), "it says which: {detail}");
    assert!(late.is_untouched());

    // A device without a clock goes by the newest that it has proof of: its own build, then the stick.
    let stopped = Device::enrolled(&fleet, "").await;
    stopped.install_at(&stick, 0).await.unwrap();
}
