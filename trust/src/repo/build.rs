//! Bodies from what a person or a server knows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::assignment::{AssignedTarget, Assignment};
use crate::date::Date;
use crate::digest::Sha256;
use crate::error::Error;
use crate::key::{Keys, PublicKey};
use crate::manifest::Manifest;
use crate::release::{ReleaseEntry, product_name};
use crate::role::{MetaFile, RoleKeys, Root, Snapshot, Timestamp};
use crate::set::{DIRECTOR, TARGETS};
use crate::signed::Authority;
use crate::targets::{DelegatedRole, Delegations, Paths, Target, Targets};

/// The keys of a role, and how many of them have to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSpec {
    /// Distinct keys.
    pub keys: Vec<PublicKey>,
    /// From 1 to their number.
    pub threshold: u32,
}

impl RoleSpec {
    /// One key that signs alone.
    pub fn single(key: PublicKey) -> Self {
        Self { keys: vec![key], threshold: 1 }
    }

    /// What a root or a delegation says of a role. Keys of kinds that this crate does not know are left out.
    pub fn of(authority: &Authority) -> Self {
        let threshold = u32::try_from(authority.threshold()).unwrap_or(u32::MAX);
        Self { keys: authority.public_keys().into_iter().collect(), threshold }
    }

    fn enter(&self, keys: &mut Keys) -> RoleKeys {
        let key_ids = self.keys.iter().map(|key| keys.insert(*key)).collect();
        RoleKeys { key_ids, threshold: u64::from(self.threshold) }
    }
}

/// The keys of the four top-level roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootKeys {
    /// Offline.
    pub root: RoleSpec,
    /// Offline.
    pub targets: RoleSpec,
    /// Online.
    pub snapshot: RoleSpec,
    /// Online.
    pub timestamp: RoleSpec,
}

/// A root for these keys. The next version of a chain is signed by the old keys and the new.
pub fn root(version: u64, expires: Date, keys: &RootKeys) -> Root {
    let mut table = Keys::default();
    let root = keys.root.enter(&mut table);
    let targets = keys.targets.enter(&mut table);
    let snapshot = keys.snapshot.enter(&mut table);
    let timestamp = keys.timestamp.enter(&mut table);
    Root { version, expires, consistent_snapshot: true, keys: table, root, targets, snapshot, timestamp }
}

/// Top-level targets: no target of their own, only whom they delegate to. The director comes last,
/// and a search for a release never reaches it.
pub fn targets(
    version: u64,
    expires: Date,
    director: &RoleSpec,
    products: &[(String, RoleSpec)],
) -> Result<Targets, Error> {
    let mut body = Targets::empty(version, expires);
    body.delegate_director(director);
    for (product, keys) in products {
        body.delegate_product(product, keys)?;
    }
    Ok(body)
}

/// What the publishers say of a release beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReleaseRules {
    /// After running it a device never goes below this counter.
    pub floor: u64,
    /// Needs at least this counter installed.
    pub min_from: u64,
}

impl Targets {
    /// A file without targets and delegations: a product before its first release, or the director's base.
    pub fn empty(version: u64, expires: Date) -> Self {
        Self { version, expires, targets: BTreeMap::new(), delegations: Delegations::default() }
    }

    /// Delegates `product` to these keys, in place of those it had.
    pub fn delegate_product(&mut self, product: &str, keys: &RoleSpec) -> Result<(), Error> {
        product_name(product)?;
        self.delegate(product, keys, format!("{product}/*"));
        Ok(())
    }

    /// Delegates assignments to these keys, in place of those they had.
    pub fn delegate_director(&mut self, keys: &RoleSpec) {
        // One star per folder: `assignments/<product>/<version>.json`.
        self.delegate(DIRECTOR, keys, "assignments/*/*".to_owned());
    }

    fn delegate(&mut self, name: &str, keys: &RoleSpec, pattern: String) {
        let delegations = &mut self.delegations;
        let keys = keys.enter(&mut delegations.keys);
        let role = DelegatedRole {
            name: name.to_owned(),
            keys,
            terminating: true,
            paths: Paths::Patterns(vec![pattern]),
        };
        let first_other = delegations.roles.iter().position(|other| other.name == DIRECTOR);
        match delegations.roles.iter_mut().find(|other| other.name == name) {
            Some(held) => *held = role,
            None => delegations.roles.insert(first_other.unwrap_or(delegations.roles.len()), role),
        }
        let roles = &delegations.roles;
        delegations.keys.retain(|id| roles.iter().any(|role| role.keys.key_ids.contains(id)));
    }

    /// Lists a release in this file, the role of its product. Its version and counter have to be newer
    /// than those of every release listed.
    pub fn add_release(
        &mut self,
        manifest: &Manifest,
        manifest_bytes: &[u8],
        rules: ReleaseRules,
    ) -> Result<ReleaseEntry, Error> {
        let entry = ReleaseEntry {
            product: manifest.product.clone(),
            version: manifest.version.clone(),
            length: manifest_bytes.len() as u64,
            sha256: Sha256::of(manifest_bytes),
            hardware: manifest.hardware(),
            counter: manifest.counter,
            floor: rules.floor,
            min_from: rules.min_from,
        };
        if let Some(newest) = self.releases(&manifest.product)?.last() {
            let problem = if !entry.version.is_newer_than(&newest.version) {
                Some("its version is not higher".to_owned())
            } else if entry.counter <= newest.counter {
                Some(format!("its counter {} is not above {}", entry.counter, newest.counter))
            } else {
                None
            };
            if let Some(problem) = problem {
                let (release, newest) = (entry.version.to_string(), newest.version.to_string());
                return Err(Error::NotNewer { release, newest, problem });
            }
        }
        let target = Target {
            length: entry.length,
            sha256: Some(entry.sha256),
            other_hashes: BTreeMap::new(),
            custom: custom(&entry),
        };
        // Read back as a device will: nonsense in the rules shows here and not in the field.
        let entry = ReleaseEntry::read(&entry.product, &entry.path(), &target)?;
        Manifest::verify(&entry, manifest_bytes)?;
        self.targets.insert(entry.path(), target);
        Ok(entry)
    }
}

fn custom(entry: &ReleaseEntry) -> Value {
    json!({
        "counter": entry.counter,
        "floor": entry.floor,
        "hardware": entry.hardware,
        "min_from": entry.min_from,
        "version": entry.version.as_str(),
    })
}

/// A snapshot of these signed files, by role: the top-level targets, every product, the director.
pub fn snapshot(version: u64, expires: Date, files: &[(&str, &[u8])]) -> Result<Snapshot, Error> {
    let mut meta = BTreeMap::new();
    for (role, bytes) in files {
        let listed = Targets::parse(role, bytes)?;
        meta.insert((*role).to_owned(), MetaFile::of(listed.version, bytes));
    }
    if !meta.contains_key(TARGETS) {
        return Err(Error::Missing { document: "snapshot".to_owned(), needs: TARGETS.to_owned() });
    }
    Ok(Snapshot { version, expires, meta })
}

/// A timestamp for this signed snapshot.
pub fn timestamp(version: u64, expires: Date, issued: Date, snapshot: &[u8]) -> Result<Timestamp, Error> {
    let listed = Snapshot::parse(snapshot)?;
    let snapshot = MetaFile::of(listed.version, snapshot);
    Ok(Timestamp { version, expires, issued: Some(issued), snapshot })
}

/// Says that `device` shall run `release`, or hold.
pub fn assignment(
    version: u64,
    expires: Date,
    issued: Date,
    device: &str,
    release: Option<&ReleaseEntry>,
) -> Assignment {
    let target = release.map(|release| AssignedTarget {
        path: release.assignment_path(),
        length: release.length,
        sha256: release.sha256,
    });
    Assignment { version, expires, issued: Some(issued), device: device.to_owned(), target }
}
