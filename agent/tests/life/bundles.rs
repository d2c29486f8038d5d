//! Updates from a file: no server is there, and whoever made the file may be anybody.

mod interrupted;
mod refused;

use std::{fs, sync::Arc, time::Duration};

use slipway_agent::{
    Config, InstallError, RunError,
    bundle::Bundles,
    clock::Clock,
    config::ConfigError,
    install,
    machine::{Installed, Slot},
};
use slipway_payload::bundle::{
    BLOCK, MANIFEST, assignment_name, header, metadata_name, padding, root_name, segment_name, segment_order,
};
use slipway_proto::v1::UpdateState::{RolledBack, Succeeded};
use slipway_trust::{
    Manifest,
    fake::{DEVICE, Delta, PRODUCT},
};
use tokio::sync::watch;

use crate::{
    device::Device,
    fleet::{Fleet, NOW, World},
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
        // What another test starts holds the lock too, between its fork and its exec.
        for patience in (0..50).rev() {
            let (_stop, stopped) = watch::channel(false);
            let rng = slipway_agent::rng::from_kernel().unwrap();
            let clock = Clock::from_source(Arc::new(move || now));
            let outcome = install(&self.state(), &path, clock, rng, stopped).await;
            if !is_locked(&outcome) || patience == 0 {
                return outcome;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        unreachable!("the last try is returned")
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

fn is_locked(outcome: &Result<(Installed, Slot), InstallError>) -> bool {
    matches!(outcome, Err(InstallError::Device(RunError::Config(ConfigError::Locked { .. }))))
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
    assert!(is_locked(&outcome), "{outcome:?}");
    drop(lock);
    device.install(&stick).await.unwrap();
}
