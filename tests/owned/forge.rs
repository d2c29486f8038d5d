//! What whoever owns the server can sign: everything that its own keys sign, and nothing else.

use std::collections::BTreeMap;

use slipway_proto::v1::{MetadataVersions, TrustDelta};
use slipway_server::clock::Clock;
use slipway_tests::{desk::PRODUCT, world::World};
use slipway_trust::{
    Assignment, Date, MetaFile, ReleaseEntry, Root, SecretKey, Sha256, Signer, Snapshot, TARGETS, Targets,
    Timestamp,
    repo::{self, Body, lifetime},
};

/// The largest number that every JSON implementation reads.
pub const LAST: u64 = slipway_trust::limits::INTEGER;

/// The keys in the server's data folder, and what is published.
pub struct Forge {
    pub timestamp_key: SecretKey,
    pub snapshot_key: SecretKey,
    pub director_key: SecretKey,
    pub now: Date,
    pub root: Root,
    pub timestamp: Timestamp,
    pub snapshot: Snapshot,
    pub targets: Targets,
    pub product: Targets,
    /// By version.
    pub releases: BTreeMap<String, ReleaseEntry>,
    /// Of another product.
    pub foreign: ReleaseEntry,
}

impl Forge {
    /// Takes everything from a running server.
    pub fn of(world: &World) -> Self {
        let key = |role: &str| {
            SecretKey::from_pem(&world.read(&format!("keys/{role}.pem")), None).expect("the server's own key")
        };
        let set = world.running.context.trust.current().expect("trust");
        let file = |role: &str| set.file(role).expect("published").bytes.clone();
        let releases = set.releases(PRODUCT).iter().cloned();
        Self {
            timestamp_key: key("timestamp"),
            snapshot_key: key("snapshot"),
            director_key: key("director"),
            now: now(&world.clock),
            root: Root::parse(set.roots().last().expect("a root")).expect("a root"),
            timestamp: Timestamp::parse(&file("timestamp")).expect("a timestamp"),
            snapshot: Snapshot::parse(&file("snapshot")).expect("a snapshot"),
            targets: Targets::parse(TARGETS, &file(TARGETS)).expect("targets"),
            product: Targets::parse(PRODUCT, &file(PRODUCT)).expect("a product's role"),
            releases: releases.map(|release| (release.version.to_string(), release)).collect(),
            foreign: set.releases("gateway").first().expect("a release").clone(),
        }
    }

    /// Everything that the server's keys can be made to sign together.
    pub fn online(&self) -> [&dyn Signer; 3] {
        [&self.timestamp_key, &self.snapshot_key, &self.director_key]
    }

    /// The body of an assignment of `release` to `device`, which holds another one; nothing means hold.
    pub fn word(&self, device: &str, held: MetadataVersions, release: Option<&ReleaseEntry>) -> Assignment {
        let expires = self.now.plus_days(lifetime::ASSIGNMENT_DAYS);
        repo::assignment(held.assignment + 1, expires, self.now, device, release)
    }

    /// The same, signed, as all that a check-in brings.
    pub fn assign(&self, device: &str, held: MetadataVersions, release: Option<&ReleaseEntry>) -> TrustDelta {
        self.say(&self.word(device, held, release))
    }

    /// An assignment, signed, as all that a check-in brings.
    pub fn say(&self, word: &Assignment) -> TrustDelta {
        TrustDelta { assignment: signed(word, &[&self.director_key]), ..TrustDelta::default() }
    }

    /// The releases as they would be with one more, of firmware that the owner wrote.
    pub fn with_own_firmware(&self) -> Targets {
        let mut product = self.product.clone();
        product.version += 1;
        let mut target = product.targets.values().last().expect("a release").clone();
        target.sha256 = Some(Sha256::of(b"evil"));
        target.custom["version"] = "9.9.9".into();
        target.custom["counter"] = 99.into();
        product.targets.insert(format!("{PRODUCT}/9.9.9.json"), target);
        product
    }

    /// `file` in place of the published one of `role`, vouched for by snapshot and timestamp.
    pub fn publish(&self, role: &str, version: u64, file: Vec<u8>) -> TrustDelta {
        let mut snapshot = self.snapshot.clone();
        snapshot.version += 1;
        snapshot.meta.insert(role.to_owned(), MetaFile::of(version, &file));
        let snapshot = signed(&snapshot, &[&self.snapshot_key]);
        let timestamp = self.next_timestamp(&snapshot);
        let mut delta = TrustDelta { timestamp, snapshot, ..TrustDelta::default() };
        match role {
            TARGETS => delta.targets = file,
            _ => delta.product = file,
        }
        delta
    }

    /// The next timestamp, for a snapshot.
    pub fn next_timestamp(&self, snapshot: &[u8]) -> Vec<u8> {
        let expires = self.now.plus_days(lifetime::TIMESTAMP_DAYS);
        let body = repo::timestamp(self.timestamp.version + 1, expires, self.now, snapshot);
        signed(&body.expect("a snapshot"), &[&self.timestamp_key])
    }
}

/// A file with these signatures.
pub fn signed(body: &impl Body, keys: &[&dyn Signer]) -> Vec<u8> {
    repo::sign(body, keys).expect("signs")
}

/// A server's clock as a date.
pub fn now(clock: &Clock) -> Date {
    Date::from_millis(clock.now().millis())
}
