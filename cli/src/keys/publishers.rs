//! Who publishes the next new product: `publishers.json`. Publishers that were only drafted wait in it, and
//! count from when a product that is published names them: until then their keys sign nothing.

use std::{collections::BTreeSet, io, path::PathBuf};

use serde_json::{Value, json};
use slipway_trust::{DIRECTOR, PublicKey, Targets, repo::RoleSpec};

use super::{KeyDir, KeyRole};
use crate::{error::Failure, input, private_file};

/// What the file says.
struct Publishers {
    in_force: RoleSpec,
    /// Those of drafts, oldest first.
    drafted: Vec<RoleSpec>,
}

impl KeyDir {
    /// Who publishes a product that nobody published yet: what `publishers.json` says, or the publishers
    /// whose keys are in this directory.
    ///
    /// # Errors
    /// No such file and no such key; a file that cannot be read.
    pub fn publishers(&mut self) -> Result<RoleSpec, Failure> {
        if let Some(stored) = self.stored_publishers()? {
            return Ok(stored.in_force);
        }
        let keys = self.all_public(KeyRole::Publisher)?;
        match keys.as_slice() {
            [] => Err(self.missing(KeyRole::Publisher, true)),
            [one] => Ok(RoleSpec::single(*one)),
            several => Ok(RoleSpec { keys: several.to_vec(), threshold: 1 }),
        }
    }

    /// As [`KeyDir::publishers`], where `published` is in force: a draft of other publishers may have been
    /// published since it was made here.
    ///
    /// # Errors
    /// As [`KeyDir::publishers`].
    pub fn publishers_after(&mut self, published: &Targets) -> Result<RoleSpec, Failure> {
        let drafted = self.stored_publishers()?.map(|stored| stored.drafted).unwrap_or_default();
        let named = named(published);
        match drafted.into_iter().rev().find(|spec| named.iter().any(|named| is_same(named, spec))) {
            Some(spec) => Ok(spec),
            None => self.publishers(),
        }
    }

    /// As [`KeyDir::publishers_after`], to publish a product that nobody published yet. A folder that was copied
    /// before publishers were replaced still names the old ones, and a key that was stolen would sign again: so
    /// publishers who publish nothing else have to be meant (`new_publishers`).
    ///
    /// # Errors
    /// As [`KeyDir::publishers_after`]; publishers of nothing, unless they are meant.
    pub fn publishers_of_new(
        &mut self,
        published: &Targets,
        new_publishers: bool,
    ) -> Result<RoleSpec, Failure> {
        let spec = self.publishers_after(published)?;
        let named = named(published);
        if new_publishers || named.is_empty() || named.iter().any(|named| is_same(named, &spec)) {
            return Ok(spec);
        }
        Err(Failure::new(format!(
            "the publishers of {} publish none of the products that there are: their keys may have been replaced \
             after this folder was copied",
            self.path.display()
        ))
        .hint("use the newest key directory; if they are to publish this product and no other, say --new-publishers")
        .reason("PUBLISHER_NOT_AUTHORIZED"))
    }

    /// Whether `publishers.json` says who, and not just the keys that there are.
    pub fn has_publishers(&self) -> bool {
        self.publishers_path().exists()
    }

    /// Keeps who publishes products from now on. What was drafted before is forgotten.
    ///
    /// # Errors
    /// What the file system says.
    pub fn store_publishers(&self, spec: &RoleSpec) -> Result<(), Failure> {
        self.write_publishers(&Publishers { in_force: spec.clone(), drafted: Vec::new() })
    }

    /// Keeps who publishes products once a draft is published, and until then `in_force`.
    ///
    /// # Errors
    /// What the file system says; a file that cannot be read.
    pub fn draft_publishers(&self, in_force: &RoleSpec, drafted: &RoleSpec) -> Result<(), Failure> {
        let mut all = self.stored_publishers()?.map(|stored| stored.drafted).unwrap_or_default();
        all.retain(|spec| !is_same(spec, in_force) && !is_same(spec, drafted));
        all.push(drafted.clone());
        self.write_publishers(&Publishers { in_force: in_force.clone(), drafted: all })
    }

    fn stored_publishers(&self) -> Result<Option<Publishers>, Failure> {
        let path = self.publishers_path();
        match input::bytes(&path, input::SMALL) {
            Ok(bytes) => parse(&bytes).map(Some).ok_or_else(|| {
                Failure::new(format!("{} cannot be read", path.display()))
                    .hint(format!(
                        "bring it back from its copy: cp COPY/publishers.json {}/",
                        self.path.display()
                    ))
                    .reason("FILE_UNUSABLE")
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::file("read", &path, &error)),
        }
    }

    fn write_publishers(&self, publishers: &Publishers) -> Result<(), Failure> {
        let mut value = spec_as_json(&publishers.in_force);
        if !publishers.drafted.is_empty() {
            value["drafted"] = publishers.drafted.iter().map(spec_as_json).collect();
        }
        let path = self.publishers_path();
        private_file::replace(&path, format!("{value:#}\n").as_bytes())
            .map_err(|error| Failure::file("write", &path, &error))
    }

    fn publishers_path(&self) -> PathBuf {
        self.path.join("publishers.json")
    }
}

/// Who publishes the products that there are.
fn named(published: &Targets) -> Vec<RoleSpec> {
    let products = published.delegations.roles.iter().filter(|role| role.name != DIRECTOR);
    products.filter_map(|role| Some(RoleSpec::of(&published.authority(&role.name)?))).collect()
}

/// Whether both name the same keys, in whatever order.
fn is_same(one: &RoleSpec, other: &RoleSpec) -> bool {
    let keys = |spec: &RoleSpec| spec.keys.iter().copied().collect::<BTreeSet<PublicKey>>();
    one.threshold == other.threshold && keys(one) == keys(other)
}

fn spec_as_json(spec: &RoleSpec) -> Value {
    let keys: Vec<String> = spec.keys.iter().map(PublicKey::to_string).collect();
    json!({"keys": keys, "threshold": spec.threshold})
}

fn parse(bytes: &[u8]) -> Option<Publishers> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let drafted = match value.get("drafted") {
        None => Vec::new(),
        Some(drafted) => drafted.as_array()?.iter().map(spec_from_json).collect::<Option<_>>()?,
    };
    Some(Publishers { in_force: spec_from_json(&value)?, drafted })
}

fn spec_from_json(value: &Value) -> Option<RoleSpec> {
    let keys = value["keys"].as_array()?.iter().map(|key| key.as_str()?.parse().ok());
    let keys: Vec<PublicKey> = keys.collect::<Option<_>>()?;
    Some(RoleSpec { keys, threshold: value["threshold"].as_u64()?.try_into().ok()? })
}
