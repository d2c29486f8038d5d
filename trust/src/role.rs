//! Root, timestamp and snapshot as plain values.
//!
//! `parse` reads a whole file without looking at its signatures: for display and bookkeeping.
//! Believing one is the business of [`TrustedSet`](crate::TrustedSet).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::date::Date;
use crate::digest::Sha256;
use crate::error::Error;
use crate::key::{Keys, PublicKey};
use crate::limits;
use crate::read::Fields;
use crate::signed::{Authority, Envelope};

/// Which keys speak for a role, and how many of them have to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleKeys {
    /// Ids in the same file's [`Keys`].
    pub key_ids: BTreeSet<String>,
    /// Distinct keys needed, at least 1.
    pub threshold: u64,
}

/// The keys of every top-level role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Position in the chain, from 1.
    pub version: u64,
    /// Only the last of a chain has to be fresh.
    pub expires: Date,
    /// Whether files are also served under versioned names; always so for what this crate writes.
    pub consistent_snapshot: bool,
    /// Every key of the file.
    pub keys: Keys,
    /// May replace this root.
    pub root: RoleKeys,
    /// Signs the top-level targets.
    pub targets: RoleKeys,
    /// Signs the snapshot.
    pub snapshot: RoleKeys,
    /// Signs the timestamp.
    pub timestamp: RoleKeys,
}

impl Root {
    /// Reads a root file without believing it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(Envelope::parse("root", bytes, limits::ROOT_BYTES)?.signed())
    }

    pub(crate) fn read(signed: &Value) -> Result<Self, Error> {
        let fields = header("root", "root", signed)?;
        let roles = fields.object("roles")?;
        let role = |name| read_role("root", name, &roles.object(name)?);
        Ok(Self {
            version: fields.version("version")?,
            expires: fields.date("expires")?,
            consistent_snapshot: match fields.get("consistent_snapshot") {
                Some(_) => fields.bool("consistent_snapshot")?,
                None => false,
            },
            keys: read_keys(&fields)?,
            root: role("root")?,
            targets: role("targets")?,
            snapshot: role("snapshot")?,
            timestamp: role("timestamp")?,
        })
    }

    /// Who may sign `role`, one of this root's four.
    pub fn authority(&self, role: &RoleKeys) -> Authority {
        Authority::new(&self.keys, role)
    }
}

/// A file as the document above it names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaFile {
    /// Its version.
    pub version: u64,
    /// Its length in bytes, where given.
    pub length: Option<u64>,
    /// Its digest, where given.
    pub sha256: Option<Sha256>,
}

impl MetaFile {
    /// Describes a signed file.
    pub fn of(version: u64, bytes: &[u8]) -> Self {
        Self { version, length: Some(bytes.len() as u64), sha256: Some(Sha256::of(bytes)) }
    }

    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        Ok(Self {
            version: fields.version("version")?,
            length: fields.get("length").map(|_| fields.integer("length")).transpose()?,
            sha256: fields.get("hashes").map(|_| fields.sha256()).transpose()?,
        })
    }

    /// Whether `bytes` are the ones named.
    pub(crate) fn check(&self, document: &str, named_by: &'static str, bytes: &[u8]) -> Result<(), Error> {
        let (document, found) = (document.to_owned(), bytes.len() as u64);
        match self.length {
            Some(expected) if expected != found => {
                return Err(Error::LengthMismatch { document, named_by, expected, found });
            }
            _ => {}
        }
        match (self.sha256, Sha256::of(bytes)) {
            (Some(expected), found) if expected != found => {
                Err(Error::DigestMismatch { document, named_by, expected, found })
            }
            _ => Ok(()),
        }
    }
}

/// Says which snapshot is the newest; signed often, so that a freeze is noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    /// Grows with each signature.
    pub version: u64,
    /// After this it vouches for nothing.
    pub expires: Date,
    /// When it was signed (`x-issued`): a floor for the device's clock.
    pub issued: Option<Date>,
    /// The newest snapshot.
    pub snapshot: MetaFile,
}

impl Timestamp {
    /// Reads a timestamp file without believing it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(Envelope::parse("timestamp", bytes, limits::TIMESTAMP_BYTES)?.signed())
    }

    pub(crate) fn read(signed: &Value) -> Result<Self, Error> {
        let fields = header("timestamp", "timestamp", signed)?;
        Ok(Self {
            version: fields.version("version")?,
            expires: fields.date("expires")?,
            issued: fields.optional_date("x-issued")?,
            snapshot: MetaFile::read(&fields.object("meta")?.object("snapshot.json")?)?,
        })
    }
}

/// Versions and digests of all targets files, so that they cannot be mixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Grows with each publication.
    pub version: u64,
    /// After this it vouches for nothing.
    pub expires: Date,
    /// By role name, without `.json`.
    pub meta: BTreeMap<String, MetaFile>,
}

impl Snapshot {
    /// Reads a snapshot file without believing it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(Envelope::parse("snapshot", bytes, limits::SNAPSHOT_BYTES)?.signed())
    }

    pub(crate) fn read(signed: &Value) -> Result<Self, Error> {
        let fields = header("snapshot", "snapshot", signed)?;
        let listed = fields.object("meta")?;
        let mut meta = BTreeMap::new();
        for (name, value) in listed.members() {
            let Some(role) = name.strip_suffix(".json") else {
                return Err(listed.error(name, "does not end in .json"));
            };
            meta.insert(role.to_owned(), MetaFile::read(&Fields::of("snapshot", name, value)?)?);
        }
        Ok(Self { version: fields.version("version")?, expires: fields.date("expires")?, meta })
    }
}

/// The fields that every body starts with: its type, and a specification version that this crate reads.
pub(crate) fn header<'a>(
    document: &'a str,
    expected: &'static str,
    signed: &'a Value,
) -> Result<Fields<'a>, Error> {
    let fields = Fields::of(document, "", signed)?;
    let found = fields.string("_type")?;
    if found != expected {
        return Err(Error::WrongType { document: document.to_owned(), found: found.to_owned(), expected });
    }
    if !fields.string("spec_version")?.starts_with("1.") {
        return Err(fields.error("spec_version", "is not 1.x"));
    }
    Ok(fields)
}

/// The `keys` of a root or of delegations. Unknown kinds are kept as names without a key.
pub(crate) fn read_keys(fields: &Fields<'_>) -> Result<Keys, Error> {
    let listed = fields.object("keys")?;
    let mut keys = Keys::default();
    for (id, value) in listed.members() {
        let key = Fields::of(fields.document(), "keys[]", value)?;
        keys.insert_read(id.clone(), PublicKey::read(&key)?);
    }
    Ok(keys)
}

/// `keyids` and `threshold`. A threshold of nothing is refused. One that nobody can reach is no error
/// here: what it governs is never believed, and the owners mend it with their next root.
pub(crate) fn read_role(document: &str, role: &str, fields: &Fields<'_>) -> Result<RoleKeys, Error> {
    let listed = fields.strings("keyids")?;
    let key_ids: BTreeSet<String> = listed.iter().map(|id| (*id).to_owned()).collect();
    if key_ids.len() != listed.len() {
        return Err(fields.error("keyids", "names a key twice"));
    }
    let threshold = fields.integer("threshold")?;
    if threshold == 0 {
        let (document, role) = (document.to_owned(), role.to_owned());
        return Err(Error::Threshold { document, role, threshold, keys: key_ids.len() });
    }
    Ok(RoleKeys { key_ids, threshold })
}
