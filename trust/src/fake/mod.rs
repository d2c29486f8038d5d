//! A complete signed repository in one call, for tests, and every broken variant of it by name.
//!
//! Keys come from fixed seeds, so that two calls give the same bytes. Nothing here is for production:
//! what cannot fail on its fixed input panics.

mod attacks;

use std::collections::BTreeMap;

pub use attacks::{Attack, attacks};
use serde_json::Value;

use crate::repo::{self, ReleaseRules, Repository, RoleSpec, RootKeys};
use crate::{
    Artifact, Date, Error, Manifest, MetaFile, PublicKey, ReleaseEntry, SecretKey, Sha256, Signer, Snapshot,
    Targets, TrustedSet,
};

/// The product of the fake repository.
pub const PRODUCT: &str = "pump";
/// The device that its assignments are for.
pub const DEVICE: &str = "device-1";
/// The hardware model that its releases are for.
pub const HARDWARE: &str = "gw-a";

/// The private keys of everybody.
#[derive(Debug, Clone)]
pub struct FakeKeys {
    /// Three, of which two sign.
    pub root: [SecretKey; 3],
    /// One.
    pub targets: SecretKey,
    /// Two, and both sign.
    pub publishers: [SecretKey; 2],
    /// One.
    pub snapshot: SecretKey,
    /// One.
    pub timestamp: SecretKey,
    /// One.
    pub director: SecretKey,
    /// Nobody's: an attacker's.
    pub stranger: SecretKey,
}

impl FakeKeys {
    fn new() -> Self {
        let key = |seed| SecretKey::from_seed([seed; 32]);
        Self {
            root: [key(1), key(2), key(3)],
            targets: key(4),
            publishers: [key(5), key(6)],
            snapshot: key(7),
            timestamp: key(8),
            director: key(9),
            stranger: key(66),
        }
    }
}

/// What a device is sent: as in the check-in, empty means that nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is named for its document")]
pub struct Delta {
    pub roots: Vec<Vec<u8>>,
    pub timestamp: Vec<u8>,
    pub snapshot: Vec<u8>,
    pub targets: Vec<u8>,
    pub product: Vec<u8>,
    pub assignment: Vec<u8>,
}

impl Delta {
    /// Offers everything in order, as an agent does, and asks what is assigned then.
    pub fn feed(&self, set: &mut TrustedSet, now: Date) -> Result<Option<ReleaseEntry>, Error> {
        for root in &self.roots {
            set.update_root(root)?;
        }
        set.finish_root(now)?;
        type Step = fn(&mut TrustedSet, &[u8], Date) -> Result<crate::Change, Error>;
        let steps: [(&[u8], Step); 5] = [
            (&self.timestamp, TrustedSet::update_timestamp),
            (&self.snapshot, TrustedSet::update_snapshot),
            (&self.targets, TrustedSet::update_targets),
            (&self.product, |set, bytes, now| set.update_product(PRODUCT, bytes, now)),
            (&self.assignment, |set, bytes, now| set.update_assignment(DEVICE, bytes, now)),
        ];
        for (bytes, step) in steps {
            if !bytes.is_empty() {
                step(set, bytes, now)?;
            }
        }
        set.assigned(PRODUCT, DEVICE, now)
    }
}

/// A repository of the product [`PRODUCT`] with the releases 1.0.0 and 2.0.0 (counters 1 and 2).
#[derive(Debug, Clone)]
pub struct Fake {
    /// When everything was signed.
    pub now: Date,
    /// Everybody's keys.
    pub keys: FakeKeys,
    /// The public files.
    pub repository: Repository,
    /// By counter.
    pub releases: Vec<ReleaseEntry>,
    /// Manifests by target path.
    pub manifests: BTreeMap<String, Vec<u8>>,
}

impl Fake {
    /// Signs everything afresh, for the lifetimes of [`repo::lifetime`]. Online files and the product's
    /// role are in their second version, so that there is something to roll back to.
    pub fn new(now: Date) -> Self {
        let keys = FakeKeys::new();
        let root = repo::root(1, now.plus_days(repo::lifetime::ROOT_DAYS), &root_keys(&keys));
        let mut product = Targets::empty(2, now.plus_days(repo::lifetime::TARGETS_DAYS));
        let mut releases = Vec::new();
        let mut manifests = BTreeMap::new();
        for (version, counter) in [("1.0.0", 1), ("2.0.0", 2)] {
            let bytes = manifest(version, counter).to_bytes().expect("a valid manifest");
            let parsed = Manifest::parse(&bytes).expect("its own bytes");
            let entry =
                product.add_release(&parsed, &bytes, ReleaseRules::default()).expect("a newer release");
            manifests.insert(entry.path(), bytes);
            releases.push(entry);
        }
        let top = repo::targets(
            1,
            now.plus_days(repo::lifetime::TARGETS_DAYS),
            &single(&keys.director),
            &[(PRODUCT.to_owned(), both(&keys.publishers))],
        );
        let base = Targets::empty(1, now.plus_days(repo::lifetime::DIRECTOR_DAYS));
        let publishers: [&dyn Signer; 2] = [&keys.publishers[0], &keys.publishers[1]];
        let delegated = BTreeMap::from([
            (PRODUCT.to_owned(), signed(&product, &publishers)),
            (crate::DIRECTOR.to_owned(), signed(&base, &[&keys.director])),
        ]);
        let repository = Repository {
            roots: vec![signed(&root, &[&keys.root[0], &keys.root[1]])],
            timestamp: Vec::new(),
            snapshot: Vec::new(),
            targets: signed(&top.expect("valid names"), &[&keys.targets]),
            delegated,
        };
        let mut fake = Self { now, keys, repository, releases, manifests };
        fake.sign_online(2);
        fake
    }

    /// Signs snapshot and timestamp over the other files, both in `version`.
    pub fn sign_online(&mut self, version: u64) {
        let repository = &self.repository;
        // Lists whatever is there, so that an attack may publish what no honest server would.
        let listed = |bytes: &[u8]| {
            let file: Value = serde_json::from_slice(bytes).expect("a JSON file");
            MetaFile::of(file["signed"]["version"].as_u64().unwrap_or(1), bytes)
        };
        let mut meta = BTreeMap::from([(crate::TARGETS.to_owned(), listed(&repository.targets))]);
        meta.extend(repository.delegated.iter().map(|(role, bytes)| (role.clone(), listed(bytes))));
        let expires = self.now.plus_days(repo::lifetime::SNAPSHOT_DAYS);
        let body = Snapshot { version, expires, meta };
        let snapshot = signed(&body, &[&self.keys.snapshot]);
        self.repository.timestamp = self.timestamp(version, &snapshot);
        self.repository.snapshot = snapshot;
    }

    /// A timestamp for a snapshot.
    pub fn timestamp(&self, version: u64, snapshot: &[u8]) -> Vec<u8> {
        let expires = self.now.plus_days(repo::lifetime::TIMESTAMP_DAYS);
        let body = repo::timestamp(version, expires, self.now, snapshot).expect("a parsable snapshot");
        signed(&body, &[&self.keys.timestamp])
    }

    /// Replaces the product's role and signs the online files over it, in `version`.
    pub fn set_product(&mut self, body: &Targets, version: u64) {
        let publishers: [&dyn Signer; 2] = [&self.keys.publishers[0], &self.keys.publishers[1]];
        self.repository.delegated.insert(PRODUCT.to_owned(), signed(body, &publishers));
        self.sign_online(version);
    }

    /// The body of the product's role.
    pub fn product(&self) -> Targets {
        Targets::parse(PRODUCT, &self.repository.delegated[PRODUCT]).expect("its own bytes")
    }

    /// Assigns the release of `counter` to [`DEVICE`], or hold.
    pub fn assignment(&self, version: u64, counter: Option<u64>) -> Vec<u8> {
        let release = counter.map(|counter| self.release(counter));
        let expires = self.now.plus_days(repo::lifetime::ASSIGNMENT_DAYS);
        signed(&repo::assignment(version, expires, self.now, DEVICE, release), &[&self.keys.director])
    }

    /// The release of a counter.
    pub fn release(&self, counter: u64) -> &ReleaseEntry {
        self.releases.iter().find(|release| release.counter == counter).expect("a release of the fake")
    }

    /// Everything as one check-in carries it.
    pub fn delta(&self, assignment: Vec<u8>) -> Delta {
        Delta {
            roots: self.repository.roots[1..].to_vec(),
            timestamp: self.repository.timestamp.clone(),
            snapshot: self.repository.snapshot.clone(),
            targets: self.repository.targets.clone(),
            product: self.repository.delegated[PRODUCT].clone(),
            assignment,
        }
    }

    /// What a device believes that was fed everything, and assigned release 1.
    pub fn device(&self) -> TrustedSet {
        let mut set = TrustedSet::from_root(&self.repository.roots[0]).expect("its own root");
        let assigned = self.delta(self.assignment(1, Some(1))).feed(&mut set, self.now);
        assert!(assigned.is_ok_and(|release| release.is_some()));
        set
    }
}

/// Two segments of 4 KiB and a half, different in each version.
pub fn image(version: &str) -> Vec<u8> {
    version.bytes().cycle().take(10_000).collect()
}

/// The manifest of [`image`].
pub fn manifest(version: &str, counter: u64) -> Manifest {
    let image = image(version);
    Manifest {
        product: PRODUCT.to_owned(),
        version: version.parse().expect("a version"),
        counter,
        artifacts: vec![Artifact {
            component: "system".to_owned(),
            hardware: vec![HARDWARE.to_owned()],
            size: image.len() as u64,
            digest: Sha256::of(&image),
            segment_size: 4096,
            segments: image.chunks(4096).map(Sha256::of).collect(),
        }],
    }
}

/// The root's keys as specified by `keys`.
pub fn root_keys(keys: &FakeKeys) -> RootKeys {
    RootKeys {
        root: RoleSpec { keys: keys.root.iter().map(public).collect(), threshold: 2 },
        targets: single(&keys.targets),
        snapshot: single(&keys.snapshot),
        timestamp: single(&keys.timestamp),
    }
}

/// A file with these signatures.
pub fn signed(body: &impl repo::Body, signers: &[&dyn Signer]) -> Vec<u8> {
    repo::sign(body, signers).expect("fixed input signs")
}

/// A file with these signatures over any JSON.
pub fn signed_value(body: Value, signers: &[&dyn Signer]) -> Vec<u8> {
    repo::sign_value(body, signers).expect("fixed input signs")
}

fn public(key: &SecretKey) -> PublicKey {
    key.public_key()
}

fn single(key: &SecretKey) -> RoleSpec {
    RoleSpec::single(key.public_key())
}

fn both(keys: &[SecretKey; 2]) -> RoleSpec {
    RoleSpec { keys: keys.iter().map(public).collect(), threshold: 2 }
}
