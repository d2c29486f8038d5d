//! A draft: documents with too few signatures, in a folder that goes from hand to hand.
//!
//! `sign/` holds ordinary TUF files, which other tools can sign too; `published/` what was published when
//! it was drafted, so that a signer without a network sees what changes; `manifest.json` the manifest of
//! a release, `server-ca.pem` the CAs of the server that devices shall know; `draft.json` what the draft is for. It is written last: a folder without it is no draft.

mod changes;
mod review;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use slipway_trust::{TARGETS, limits, product_name, repo::merge_signatures};

pub use self::review::{Review, Seat};
use crate::{error::Failure, private_file, publish::current::Published};

const SERVER_CA_FILE: &str = "server-ca.pem";
/// Above the roots of any chain, and above the products of any company.
const FILES_MAX: usize = 2 * limits::ROOTS_IN_CHAIN as usize;

/// What `draft.json` says it is; a later form gets a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// This one.
    #[serde(rename = "slipway-draft/v1")]
    V1,
}

/// What a draft is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// To publish a release.
    Release,
    /// To withdraw one.
    Withdrawal,
    /// To change who may sign, or to sign anew what ends soon.
    Trust,
}

/// `draft.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Which form it has.
    #[serde(rename = "_type")]
    pub form: Form,
    /// What it is for.
    pub purpose: Purpose,
    /// The product of a release; else empty.
    #[serde(default)]
    pub product: String,
    /// Its version; else empty.
    #[serde(default)]
    pub version: String,
    /// Accept hardware models that no device or claim of the product has yet.
    #[serde(default)]
    pub new_hardware: bool,
    /// Withdraw a stepping stone that devices still need.
    #[serde(default)]
    pub force: bool,
    /// Why a release is withdrawn.
    #[serde(default)]
    pub reason: String,
}

impl About {
    /// Of a draft for this purpose; the rest is empty.
    pub fn new(purpose: Purpose) -> Self {
        Self {
            form: Form::V1,
            purpose,
            product: String::new(),
            version: String::new(),
            new_hardware: false,
            force: false,
            reason: String::new(),
        }
    }
}

/// A draft as it stands in its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What it is for.
    pub about: About,
    /// What is to be signed, by role.
    pub documents: BTreeMap<String, Vec<u8>>,
    /// The manifest of a release; else empty.
    pub manifest: Vec<u8>,
    /// The CAs of the server that the targets name, when it names others than before; else empty.
    pub server_ca: Vec<u8>,
    /// What was published when it was made.
    pub published: Published,
}

impl Draft {
    /// Whether there is one at `path`.
    pub fn is_at(path: &Path) -> bool {
        path.join("draft.json").is_file()
    }

    /// Refuses a folder that is there already; asked before anything is done for the draft.
    ///
    /// # Errors
    /// Something of that name exists.
    pub fn check_new(path: &Path) -> Result<(), Failure> {
        match path.exists() {
            false => Ok(()),
            true => Err(Failure::new(format!("{} exists already", path.display()))
                .hint("name another folder with --out; signatures may be in this one")
                .reason("FILE_UNUSABLE")),
        }
    }

    /// Writes it into a new folder.
    ///
    /// # Errors
    /// A folder that is there already; what the file system says.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        Self::check_new(path)?;
        for folder in ["sign", "published"] {
            let folder = path.join(folder);
            private_file::directory(&folder)
                .map_err(|error| Failure::file("make the folder", &folder, &error))?;
        }
        for role in self.documents.keys() {
            self.store(path, role)?;
        }
        for (role, bytes) in &self.published.documents {
            put(&path.join(format!("published/{role}.json")), bytes)?;
        }
        for (number, root) in self.published.roots.iter().enumerate() {
            put(&path.join(format!("published/{}.root.json", number + 1)), root)?;
        }
        for (name, bytes) in [("manifest.json", &self.manifest), (SERVER_CA_FILE, &self.server_ca)] {
            if !bytes.is_empty() {
                put(&path.join(name), bytes)?;
            }
        }
        let about = serde_json::to_string_pretty(&self.about).map_err(Failure::bug)?;
        put(&path.join("draft.json"), format!("{about}\n").as_bytes())
    }

    /// Writes one document anew, after it was signed.
    ///
    /// # Errors
    /// What the file system says.
    pub fn store(&self, path: &Path, role: &str) -> Result<(), Failure> {
        match self.documents.get(role) {
            Some(bytes) => put(&path.join(format!("sign/{role}.json")), bytes),
            None => Ok(()),
        }
    }

    /// Reads one that somebody made, perhaps somebody else: nothing of it is believed.
    ///
    /// # Errors
    /// A folder that is no draft.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let about = get(&path.join("draft.json"), limits::ROOT_BYTES)?.ok_or_else(|| {
            Failure::new(format!("{} is no draft: it has no draft.json", path.display()))
                .hint("name the folder that was given to --out")
                .reason("DRAFT_INVALID")
        })?;
        let about: About =
            serde_json::from_slice(&about).map_err(|error| invalid(path, &format!("draft.json: {error}")))?;
        let documents = folder(&path.join("sign"), limits::TARGETS_BYTES)?;
        if documents.is_empty() {
            return Err(invalid(path, "there is nothing to sign in it"));
        }
        let mut published = Published::default();
        let mut roots = BTreeMap::new();
        for (name, bytes) in folder(&path.join("published"), limits::TARGETS_BYTES)? {
            match name.strip_suffix(".root").map(str::parse::<u64>) {
                Some(Ok(version)) => drop(roots.insert(version, bytes)),
                _ => drop(published.documents.insert(name, bytes)),
            }
        }
        published.roots = roots.into_values().collect();
        let manifest = get(&path.join("manifest.json"), limits::MANIFEST_BYTES)?.unwrap_or_default();
        let server_ca = get(&path.join(SERVER_CA_FILE), limits::SERVER_CA_BYTES)?.unwrap_or_default();
        Ok(Self { about, documents, manifest, server_ca, published })
    }

    /// Takes over the signatures of another copy.
    ///
    /// # Errors
    /// A copy of another draft.
    pub fn merge(&mut self, other: &Self) -> Result<(), Failure> {
        let other_draft = || {
            Failure::new("these are copies of different drafts: their documents differ")
                .hint("name copies of one draft, as `--out` wrote it")
                .reason("DRAFT_INVALID")
        };
        if self.about != other.about
            || self.manifest != other.manifest
            || self.server_ca != other.server_ca
            || !self.documents.keys().eq(other.documents.keys())
        {
            return Err(other_draft());
        }
        for (role, ours) in &mut self.documents {
            let Some(theirs) = other.documents.get(role) else { continue };
            let merged = merge_signatures(ours, theirs)
                .map_err(|error| Failure::new(error.to_string()).reason(error.code()))?;
            *ours = merged.ok_or_else(other_draft)?;
        }
        Ok(())
    }

    /// One document, or nothing.
    pub fn document(&self, role: &str) -> Vec<u8> {
        self.documents.get(role).cloned().unwrap_or_default()
    }

    /// The products that it speaks of: those to be signed, and those that were looked at when it was made.
    pub fn concerned(&self) -> Vec<String> {
        let seen = self.published.documents.keys().filter(|role| *role != TARGETS);
        let all: BTreeSet<String> = seen.cloned().chain(self.products()).collect();
        all.into_iter().collect()
    }

    /// The products among what is to be signed.
    pub fn products(&self) -> Vec<String> {
        let is_product = |role: &&String| !matches!(role.as_str(), "root" | TARGETS);
        self.documents.keys().filter(is_product).cloned().collect()
    }
}

fn invalid(path: &Path, why: &str) -> Failure {
    Failure::new(format!("{} is not a draft that can be read: {why}", path.display()))
        .hint("have it made anew; a draft is a folder, and all of it has to be passed on")
        .reason("DRAFT_INVALID")
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    private_file::replace(path, bytes).map_err(|error| Failure::file("write", path, &error))
}

/// A file of at most `limit` bytes; `None` when it is not there.
fn get(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
    // A pipe would be waited for, and a device has no end.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(invalid(path, "it is no file"));
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::file("read", path, &error)),
    };
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::file("read", path, &error))?;
    match bytes.len() > limit {
        true => Err(invalid(path, &format!("it is longer than {limit} bytes"))),
        false => Ok(Some(bytes)),
    }
}

/// The JSON files of a folder by name, without the ending. What no role can be named after is refused.
fn folder(path: &Path, limit: usize) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let unreadable = |error: io::Error| Failure::file("look into", path, &error);
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file: PathBuf = entry.map_err(unreadable)?.path();
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(role) = name.strip_suffix(".json") else { continue };
        let is_root = |text: &str| text.strip_suffix(".root").is_some_and(|n| n.parse::<u64>().is_ok());
        if !matches!(role, "root" | "targets") && product_name(role).is_err() && !is_root(role) {
            return Err(invalid(&file, "no role has that name"));
        }
        if files.len() >= FILES_MAX {
            return Err(invalid(path, &format!("it holds more than {FILES_MAX} files")));
        }
        if let Some(bytes) = get(&file, limit)? {
            files.insert(role.to_owned(), bytes);
        }
    }
    Ok(files)
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
