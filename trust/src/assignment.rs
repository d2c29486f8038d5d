//! What the server's director says: one device shall run one release, or hold.

use serde_json::Value;

use crate::date::Date;
use crate::digest::Sha256;
use crate::error::Error;
use crate::limits;
use crate::read::Fields;
use crate::role::header;
use crate::signed::Envelope;
use crate::targets::target_path;

/// The folder that the director may sign in, and the delegation's pattern for it.
pub const FOLDER: &str = "assignments/";

/// One device's assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Grows with each assignment of the device.
    pub version: u64,
    /// After this it assigns nothing.
    pub expires: Date,
    /// When it was signed (`x-issued`): a floor for the device's clock.
    pub issued: Option<Date>,
    /// For whom.
    pub device: String,
    /// What to run; nothing means hold.
    pub target: Option<AssignedTarget>,
}

/// The release that is assigned. Only its name, length and digest: all else the publishers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignedTarget {
    /// `assignments/<product>/<version>.json`.
    pub path: String,
    /// Length of the manifest.
    pub length: u64,
    /// Digest of the manifest.
    pub sha256: Sha256,
}

impl AssignedTarget {
    /// `<product>/<version>.json`, under which the publishers list the release.
    pub fn release_path(&self) -> &str {
        self.path.strip_prefix(FOLDER).unwrap_or(&self.path)
    }
}

impl Assignment {
    /// Reads an assignment without believing it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(Envelope::parse("assignment", bytes, limits::ASSIGNMENT_BYTES)?.signed())
    }

    pub(crate) fn read(signed: &Value) -> Result<Self, Error> {
        let fields = header("assignment", "targets", signed)?;
        if fields.get("delegations").is_some() {
            return Err(Error::AmbiguousAssignment { problem: "delegates".to_owned() });
        }
        let listed = fields.object("targets")?;
        let count = listed.members().count();
        if count > 1 {
            return Err(Error::AmbiguousAssignment { problem: format!("names {count} targets") });
        }
        let target = listed.members().next().map(|(path, value)| read_target(path, value)).transpose()?;
        Ok(Self {
            version: fields.version("version")?,
            expires: fields.date("expires")?,
            issued: fields.optional_date("x-issued")?,
            device: fields.string("device")?.to_owned(),
            target,
        })
    }
}

fn read_target(path: &str, value: &Value) -> Result<AssignedTarget, Error> {
    if !path.starts_with(FOLDER) {
        return Err(Error::AssignmentPath { path: path.to_owned() });
    }
    target_path(path)?;
    let fields = Fields::of("assignment", path, value)?;
    Ok(AssignedTarget { path: path.to_owned(), length: fields.integer("length")?, sha256: fields.sha256()? })
}
