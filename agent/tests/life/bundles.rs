//! Updates from a file: no server is there, and whoever made the file may be anybody.

use std::{
    fs::{self, File, OpenOptions},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use slipway_agent::{
    Config, InstallError, RunError,
    bundle::Bundles,
    clock::Clock,
    config::ConfigError,
    install,
    machine::{Installed, Slot},
    verify::TrustStore,
};
use slipway_payload::bundle::{
    BLOCK, MANIFEST, assignment_name, header, metadata_name, padding, root_name, segment_name, segment_order,
};
use slipway_proto::v1::{
    TrustDelta,
    UpdateState::{RolledBack, Succeeded},
};
use slipway_trust::{
    Date, Manifest,
    fake::{self, DEVICE, Delta, Fake, PRODUCT},
};
use tokio::sync::watch;

use crate::{
    device::Device,
    fleet::{Fleet, NOW, SEGMENT, World},
};

const FACTORY: &[u8] = b"what the factory put there";

/// A bundle before it is packed.
#[derive(Clone)]
struct Stick(Vec<(String, Vec<u8>)>);

impl Stick {
    /// What `slipway release bundle --device` would write.
    fn of(world: &mut World, counter: u64) -> Self {
        world.offer(counter);
        world.offer = None;
        let bytes = world.manifests.iter().find(|(path, _)| path.ends_with(&format!(".{counter}.0.0.json")));
        let manifest = bytes.expect("a published release").1;
        let mut stick = Self::with(&world.fake.repository.roots[0], &world.delta, manifest);
        for segment in segment_order(&Manifest::parse(manifest).unwrap()).unwrap() {
            let digest = segment.digest();
            stick.0.push((segment_name(&digest), world.segments[&digest.to_string()].clone()));
        }
        stick
    }

    /// Everything but segments.
    fn with(root: &[u8], delta: &Delta, manifest: &[u8]) -> Self {
        let mut entries = vec![(root_name(1), root.to_vec())];
        entries.extend(delta.roots.iter().zip(2..).map(|(root, version)| (root_name(version), root.clone())));
        for (role, bytes) in [
            ("timestamp", &delta.timestamp),
            ("snapshot", &delta.snapshot),
            ("targets", &delta.targets),
            (PRODUCT, &delta.product),
        ] {
            entries.push((metadata_name(role), bytes.clone()));
        }
        entries.push((assignment_name(DEVICE), delta.assignment.clone()));
        entries.push((MANIFEST.to_owned(), manifest.to_vec()));
        entries.retain(|(_, bytes)| !bytes.is_empty());
        Self(entries)
    }

    fn place(&self, name: &str) -> usize {
        self.0.iter().position(|(known, _)| known == name).expect("an entry of that name")
    }

    /// Where the segments begin.
    fn segments(&self) -> usize {
        self.place(MANIFEST) + 1
    }

    fn pack(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in &self.0 {
            bytes.extend(header(name, content.len() as u64).expect("a name that fits"));
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len() + padding(content.len() as u64), 0);
        }
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        bytes
    }
}

impl Device {
    /// Plugs a stick in and installs what is on it; the clock says `now`.
    async fn install_at(&self, bytes: &[u8], now: i64) -> Result<(Installed, Slot), InstallError> {
        let path = self.folder().join("bundle.tar");
        fs::write(&path, bytes).unwrap();
        let (_stop, stopped) = watch::channel(false);
        let rng = slipway_agent::rng::from_kernel().unwrap();
        let clock = Clock::from_source(Arc::new(move || now));
        install(&self.state(), &path, clock, rng, stopped).await
    }

    async fn install(&self, bytes: &[u8]) -> Result<(Installed, Slot), InstallError> {
        self.install_at(bytes, NOW).await
    }

    async fn refusal(&self, bytes: &[u8]) -> (String, String) {
        refused(self.install(bytes).await)
    }

    fn takes(&self, bundles: Bundles) {
        let mut config = Config::read(&self.state()).unwrap();
        config.bundles = bundles;
        config.write(&self.state()).unwrap();
    }

    /// Nothing was begun: slots and journal are as at the start.
    fn is_untouched(&self) -> bool {
        let status = self.status();
        self.content(Slot::A) == FACTORY
            && self.content(Slot::B).is_empty()
            && status.state == "idle"
            && status.reports_waiting == 0
    }
}

fn refused(outcome: Result<(Installed, Slot), InstallError>) -> (String, String) {
    match outcome {
        Err(InstallError::Refused(reason)) => (reason.code, reason.detail),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_device_without_a_network_is_updated_and_says_so_when_it_has_one() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "test -s \"$SLIPWAY_SLOT\"").await;
    let (stick, image) = {
        let mut world = fleet.world.lock().unwrap();
        (Stick::of(&mut world, 3), world.images[&3].clone())
    };
    let asked = fleet.world.lock().unwrap().requests;
    let (installed, slot) = device.install(&stick.pack()).await.unwrap();
    assert_eq!((installed.version.as_str(), installed.counter, slot), ("3.0.0", 3, Slot::B));
    assert!(device.content(Slot::B) == image, "byte for byte");
    assert_eq!(device.content(Slot::A), FACTORY);
    assert_eq!(device.running(), Slot::B);
    assert_eq!(fleet.world.lock().unwrap().requests, asked, "the server was asked for nothing");

    // Twice is once.
    let before = device.status().reports_waiting;
    assert_eq!(device.install(&stick.pack()).await.unwrap().1, Slot::B);
    assert_eq!(device.status().reports_waiting, before + 1, "it says that it runs that already");

    // A server is there again: it hears all of it, in order, and what runs.
    let running = device.run();
    fleet.until(|world| (world.inventory.components.first()?.version == "3.0.0").then_some(())).await;
    fleet.until(|world| world.reports.last().filter(|last| last.state() == Succeeded).map(drop)).await;
    running.stop().await;
    let world = fleet.world.lock().unwrap();
    assert!(
        world.reports.iter().all(|report| report.update.contains("/updates/bundle-")),
        "{:?}",
        world.reports
    );
    assert!(world.fetched.is_empty(), "and nothing was fetched");
}

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
    let changed = |change: &dyn Fn(&mut Vec<(String, Vec<u8>)>)| {
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
    // Files that have no end, and none that can be read.
    for (path, code) in
        [("/dev/zero", "BUNDLE_INVALID"), ("/", "BUNDLE_INVALID"), ("/nowhere", "BUNDLE_UNREADABLE")]
    {
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

#[tokio::test]
async fn what_does_not_work_falls_back_and_is_tried_three_times() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "echo the pump does not start >&2; exit 1").await;
    let stick = Stick::of(&mut fleet.world.lock().unwrap(), 3).pack();
    for _ in 0..3 {
        let (code, detail) = device.refusal(&stick).await;
        assert_eq!(code, "HEALTH_CHECK_FAILED");
        assert!(detail.contains("the pump does not start"), "{detail}");
        assert_eq!((device.running(), device.content(Slot::A).as_slice()), (Slot::A, FACTORY));
    }
    assert_eq!(device.refusal(&stick).await.0, "RELEASE_QUARANTINED");
    // The server hears of each, should it want to.
    let running = device.run();
    fleet
        .until(|world| {
            (world.reports.iter().filter(|report| report.state() == RolledBack).count() == 3).then_some(())
        })
        .await;
    running.stop().await;
}

#[tokio::test]
async fn one_agent_at_a_time() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let stick = Stick::of(&mut fleet.world.lock().unwrap(), 3).pack();
    let lock = device.state().lock().unwrap();
    let outcome = device.install(&stick).await;
    let locked = matches!(&outcome, Err(InstallError::Device(RunError::Config(ConfigError::Locked { .. }))));
    assert!(locked, "{outcome:?}");
    drop(lock);
    device.install(&stick).await.unwrap();
}

#[tokio::test]
async fn a_stick_that_is_pulled_and_plugged_in_again_goes_on_where_it_was() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let stick = Stick::of(&mut fleet.world.lock().unwrap(), 3);
    let (whole, cut) = (stick.pack(), stick.pack().len() / 2);
    // Held back between the check and the first byte, so that the stick can be pulled right there.
    fs::write(device.state().inhibitor(), "the owner is using it").unwrap();
    let path = device.folder().join("bundle.tar");
    let installing = device.install(&whole);
    let pulled = async {
        while device.status().state != "waiting" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        OpenOptions::new().write(true).open(&path).unwrap().set_len(cut as u64).unwrap();
        fs::remove_file(device.state().inhibitor()).unwrap();
    };
    let (outcome, ()) = tokio::join!(installing, pulled);
    assert_eq!(refused(outcome).0, "BUNDLE_UNREADABLE");
    assert_eq!((device.running(), device.status().state.as_str()), (Slot::A, "fetching"));

    // Half of the stick is not begun with; the whole one goes on with the same update.
    assert_eq!(device.refusal(&whole[..cut]).await.0, "BUNDLE_INVALID");
    let update = device.status().update.unwrap();
    device.install(&whole).await.unwrap();
    let running = device.run();
    let end = fleet.end_of(&update).await;
    assert_eq!(end.state(), Succeeded);
    assert_eq!(end.attempt, 1, "a stick that was pulled is no failure of the release");
    let once = fleet.world.lock().unwrap().images[&3].len() - 10 * SEGMENT;
    assert!(end.bytes_written < once as u64, "what was in the slot is not written again");
    running.stop().await;
}

#[tokio::test]
async fn what_a_stick_began_the_network_ends() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let stick = Stick::of(&mut fleet.world.lock().unwrap(), 3);
    fs::write(device.state().inhibitor(), "the owner is using it").unwrap();
    let path = device.folder().join("bundle.tar");
    fs::write(&path, stick.pack()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let (state, clock) = (device.state(), Clock::from_source(Arc::new(|| NOW)));
    let waited = async {
        while device.status().state != "waiting" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.send_replace(true);
    };
    let installing = install(&state, &path, clock, StdRng::seed_from_u64(1), stopped);
    let (outcome, ()) = tokio::join!(installing, waited);
    assert!(matches!(outcome, Err(InstallError::Stopped)), "{outcome:?}");
    fs::remove_file(device.state().inhibitor()).unwrap();
    let update = device.status().update.unwrap();
    let running = device.run();
    assert_eq!(fleet.end_of(&update).await.state(), Succeeded);
    running.stop().await;
}

const KILLS: u32 = 30;
const SEED: u64 = 2026;

/// The whole program, killed wherever it may be.
#[tokio::test]
async fn kill_9_at_any_moment_leaves_the_old_version_or_the_new_one() {
    println!("seed {SEED}");
    let mut rng = StdRng::seed_from_u64(SEED);
    let fleet = Fleet::start(Clock::system().now()).await;
    let device = Device::enrolled(&fleet, "true").await;
    fleet.world.lock().unwrap().publish(4, 0, 60);
    let path = device.folder().join("bundle.tar");
    let (mut kills, mut installs, mut good) = (0, 0, FACTORY.to_vec());
    while kills < KILLS {
        let counter = 3 + installs % 2;
        let (bytes, image) = {
            let mut world = fleet.world.lock().unwrap();
            (Stick::of(&mut world, counter).pack(), world.images[&counter].clone())
        };
        fs::write(&path, bytes).unwrap();
        installs += 1;
        loop {
            let mut agent = Command::new(env!("CARGO_BIN_EXE_slipway-agent"))
                .args(["install", "--state"])
                .arg(device.state().path())
                .arg("--bundle")
                .arg(&path)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(File::options().create(true).append(true).open(device.folder().join("log")).unwrap())
                .spawn()
                .unwrap();
            let moment = Duration::from_millis(rng.random_range(5..400));
            let ended = tokio::time::timeout(moment, async {
                loop {
                    if let Some(ended) = agent.try_wait().unwrap() {
                        return ended;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
            if let Ok(ended) = ended.await {
                assert!(ended.success(), "{}", fs::read_to_string(device.folder().join("log")).unwrap());
                break;
            }
            agent.kill().unwrap();
            agent.wait().unwrap();
            kills += 1;
            let status = device.status();
            let default = status.slots.iter().find(|slot| slot.default).unwrap().slot;
            let content = device.content(default);
            assert!(content == good || content == image, "what boots is whole");
        }
        assert!(device.content(device.running()) == image);
        good = image;
    }
    println!("{kills} kills in {installs} installations");
}
