//! Targets files: what their signers vouch for, and to whom they delegate.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::date::Date;
use crate::digest::Sha256;
use crate::error::Error;
use crate::key::Keys;
use crate::limits;
use crate::read::{Fields, SHA256};
use crate::role::{RoleKeys, header, read_keys, read_role};
use crate::signed::{Authority, Envelope};

/// Path of the one file that the top-level targets list themselves: the authorities (PEM) that the server's
/// own certificate may come from. No product has a name like it.
pub const SERVER_CA: &str = "_trust/server-ca.pem";

/// The top-level targets file, or that of a delegated role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// Grows with each signature.
    pub version: u64,
    /// After this it vouches for nothing.
    pub expires: Date,
    /// By target path.
    pub targets: BTreeMap<String, Target>,
    /// Who else may speak, for which paths, in the order of search.
    pub delegations: Delegations,
}

/// A file that the signers vouch for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its length in bytes.
    pub length: u64,
    /// Its digest. No release can do without; a foreign repository may name other algorithms only.
    pub sha256: Option<Sha256>,
    /// Its digests by other algorithms, as they were signed, by the algorithm's name.
    pub other_hashes: BTreeMap<String, String>,
    /// What the signers say beside; null when nothing.
    pub custom: Value,
}

/// Roles that this one gives a part of its rights to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delegations {
    /// Every key of the delegated roles.
    pub keys: Keys,
    /// In the order in which a search asks them.
    pub roles: Vec<DelegatedRole>,
}

/// One delegation. Its keys hold for this edge only: another delegator names its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegatedRole {
    /// Name of the role, and of its file.
    pub name: String,
    /// Who signs it.
    pub keys: RoleKeys,
    /// A search that matched here asks nobody after it.
    pub terminating: bool,
    /// What it may speak for.
    pub paths: Paths,
}

/// Which target paths a delegated role may speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paths {
    /// Shell patterns, one part between slashes at a time: `*` any characters, `?` one.
    Patterns(Vec<String>),
    /// Leading hex digits of the SHA-256 of the path.
    HashPrefixes(Vec<String>),
}

impl Targets {
    /// Reads a targets file without believing it; `role` names it in errors.
    pub fn parse(role: &str, bytes: &[u8]) -> Result<Self, Error> {
        let document = document_name(role);
        Self::read(&document, Envelope::parse(&document, bytes, limits::TARGETS_BYTES)?.signed())
    }

    pub(crate) fn read(document: &str, signed: &Value) -> Result<Self, Error> {
        let fields = header(document, "targets", signed)?;
        let listed = fields.object("targets")?;
        let mut targets = BTreeMap::new();
        for (path, value) in listed.members() {
            targets.insert(path.clone(), Target::read(&Fields::of(document, path, value)?)?);
        }
        let delegations = match fields.get("delegations") {
            None | Some(Value::Null) => Delegations::default(),
            Some(_) => Delegations::read(&fields.object("delegations")?)?,
        };
        Ok(Self {
            version: fields.version("version")?,
            expires: fields.date("expires")?,
            targets,
            delegations,
        })
    }

    /// What the signers of the top-level targets say of [`SERVER_CA`], if they do.
    pub fn server_ca(&self) -> Option<&Target> {
        self.targets.get(SERVER_CA)
    }

    /// The delegation to `role`, if there is one.
    pub fn delegation(&self, role: &str) -> Option<&DelegatedRole> {
        self.delegations.roles.iter().find(|delegated| delegated.name == role)
    }

    /// Who may sign `role` by this file's word.
    pub fn authority(&self, role: &str) -> Option<Authority> {
        self.delegation(role).map(|delegated| Authority::new(&self.delegations.keys, &delegated.keys))
    }
}

impl Target {
    /// A file of these bytes, of which nothing else is said.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            length: bytes.len() as u64,
            sha256: Some(Sha256::of(bytes)),
            other_hashes: BTreeMap::new(),
            custom: Value::Null,
        }
    }

    /// Whether these are the bytes that the signers vouch for. A file without a SHA-256 has none.
    pub fn is(&self, bytes: &[u8]) -> bool {
        self.length == bytes.len() as u64 && self.sha256 == Some(Sha256::of(bytes))
    }

    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let hashes = fields.object("hashes")?;
        let mut other_hashes = BTreeMap::new();
        for (algorithm, _) in hashes.members().filter(|(algorithm, _)| *algorithm != SHA256) {
            other_hashes.insert(algorithm.clone(), hashes.string(algorithm)?.to_owned());
        }
        Ok(Self {
            length: fields.integer("length")?,
            sha256: hashes.get(SHA256).map(|_| fields.sha256()).transpose()?,
            other_hashes,
            custom: fields.get("custom").cloned().unwrap_or_default(),
        })
    }
}

impl Delegations {
    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let keys = read_keys(fields)?;
        let listed = fields.array("roles")?;
        if listed.len() > limits::DELEGATED_ROLES {
            return Err(fields.error("roles", format!("has more than {} entries", limits::DELEGATED_ROLES)));
        }
        let mut names = BTreeSet::new();
        let mut roles = Vec::with_capacity(listed.len());
        for value in listed {
            let role = DelegatedRole::read(&Fields::of(fields.document(), "delegations.roles[]", value)?)?;
            if !names.insert(role.name.clone()) {
                return Err(fields.error("roles", format!("delegates to {:?} twice", role.name)));
            }
            roles.push(role);
        }
        Ok(Self { keys, roles })
    }
}

impl DelegatedRole {
    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let name = fields.string("name")?;
        if matches!(name, "" | "root" | "targets" | "snapshot" | "timestamp") {
            return Err(fields.error("name", format!("{name:?} is not the name of a delegated role")));
        }
        let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
        let paths = match (fields.get("paths"), fields.get("path_hash_prefixes")) {
            (Some(_), None) => Paths::Patterns(owned(fields.strings("paths")?)),
            (None, Some(_)) => Paths::HashPrefixes(owned(fields.strings("path_hash_prefixes")?)),
            _ => return Err(fields.error("paths", "and path_hash_prefixes: exactly one has to be there")),
        };
        Ok(Self {
            name: name.to_owned(),
            keys: read_role(fields.document(), name, fields)?,
            terminating: fields.bool("terminating")?,
            paths,
        })
    }
}

impl Paths {
    /// Whether `path` is within.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Patterns(patterns) => patterns.iter().any(|pattern| pattern_matches(pattern, path)),
            Self::HashPrefixes(prefixes) => {
                let digest = Sha256::of(path.as_bytes()).to_string();
                prefixes.iter().any(|prefix| !prefix.is_empty() && digest.starts_with(prefix.as_str()))
            }
        }
    }
}

/// How a role's file is named in errors.
pub(crate) fn document_name(role: &str) -> String {
    if role == "targets" { role.to_owned() } else { format!("role {role}") }
}

fn pattern_matches(pattern: &str, path: &str) -> bool {
    let (patterns, parts) = (pattern.split('/'), path.split('/'));
    patterns.clone().count() == parts.clone().count()
        && patterns.zip(parts).all(|(pattern, part)| part_matches(pattern.as_bytes(), part.as_bytes()))
}

/// The classic two-pointer match: linear for one star, quadratic at worst, no recursion.
fn part_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star, from)) = retry else { return false };
                retry = Some((star, from + 1));
                p = star + 1;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Refuses a path that could leave its folder, or that two readers could take for different files.
pub fn target_path(path: &str) -> Result<(), Error> {
    let problem = if path.is_empty() {
        "it is empty"
    } else if path.starts_with('/') {
        "it is absolute"
    } else if path.len() > 255 {
        "it is longer than 255 bytes"
    } else if path.bytes().any(|b| !(b.is_ascii_graphic() || b == b' ') || b == b'\\') {
        "it has a character that is not plain ASCII"
    } else if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        "it has an empty part, '.' or '..'"
    } else {
        return Ok(());
    };
    Err(Error::TargetPath { path: path.to_owned(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stay_within_their_part() {
        for (pattern, path, expected) in [
            ("pump/*", "pump/1.0.json", true),
            ("pump/*", "pump/a/b", false),
            ("pump/*", "pumpe/1.0.json", false),
            ("pump/*", "pump", false),
            ("*", "pump/1.0.json", false),
            ("*/*", "pump/1.0.json", true),
            ("pump/?.0.json", "pump/1.0.json", true),
            ("pump/?.0.json", "pump/10.0.json", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("", "", true),
        ] {
            assert_eq!(pattern_matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        assert!(target_path("pump/1.0.0-rc.1+5.json").is_ok());
        assert!(target_path("read me.txt").is_ok());
        for bad in [
            "",
            "/etc/passwd",
            "../../etc/passwd",
            "pump/../x",
            "pump//x",
            "pump/.",
            "a\0b",
            "a\tb",
            "a\\b",
            "\u{e9}",
        ] {
            assert!(target_path(bad).is_err(), "{bad:?}");
        }
        assert!(target_path(&"x".repeat(256)).is_err());
    }
}
