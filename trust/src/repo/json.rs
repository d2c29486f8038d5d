//! Bodies as JSON values: the exact reverse of reading them.

use serde_json::{Map, Value, json};

use crate::assignment::Assignment;
use crate::key::Keys;
use crate::read::SHA256;
use crate::role::{MetaFile, RoleKeys, Root, Snapshot, Timestamp};
use crate::targets::{DelegatedRole, Delegations, Paths, Target, Targets};

/// The edition of the specification that what we write follows.
const SPEC_VERSION: &str = "1.0.31";

/// Something that can be signed.
pub trait Body {
    /// The `signed` part of its file.
    fn to_json(&self) -> Value;
}

impl Body for Root {
    fn to_json(&self) -> Value {
        json!({
            "_type": "root",
            "consistent_snapshot": self.consistent_snapshot,
            "expires": self.expires.to_string(),
            "keys": keys(&self.keys),
            "roles": {
                "root": role(&self.root),
                "snapshot": role(&self.snapshot),
                "targets": role(&self.targets),
                "timestamp": role(&self.timestamp),
            },
            "spec_version": SPEC_VERSION,
            "version": self.version,
        })
    }
}

impl Body for Timestamp {
    fn to_json(&self) -> Value {
        let mut body = json!({
            "_type": "timestamp",
            "expires": self.expires.to_string(),
            "meta": {"snapshot.json": meta_file(&self.snapshot)},
            "spec_version": SPEC_VERSION,
            "version": self.version,
        });
        if let Some(issued) = self.issued {
            body["x-issued"] = issued.to_string().into();
        }
        body
    }
}

impl Body for Snapshot {
    fn to_json(&self) -> Value {
        let meta = self.meta.iter().map(|(role, file)| (format!("{role}.json"), meta_file(file)));
        json!({
            "_type": "snapshot",
            "expires": self.expires.to_string(),
            "meta": meta.collect::<Map<_, _>>(),
            "spec_version": SPEC_VERSION,
            "version": self.version,
        })
    }
}

impl Body for Targets {
    fn to_json(&self) -> Value {
        let targets = self.targets.iter().map(|(path, entry)| (path.clone(), target(entry)));
        let mut body = json!({
            "_type": "targets",
            "expires": self.expires.to_string(),
            "spec_version": SPEC_VERSION,
            "targets": targets.collect::<Map<_, _>>(),
            "version": self.version,
        });
        if !self.delegations.roles.is_empty() {
            body["delegations"] = delegations(&self.delegations);
        }
        body
    }
}

impl Body for Assignment {
    fn to_json(&self) -> Value {
        let mut targets = Map::new();
        if let Some(assigned) = &self.target {
            let hashes = json!({"sha256": assigned.sha256.to_string()});
            targets.insert(assigned.path.clone(), json!({"hashes": hashes, "length": assigned.length}));
        }
        let mut body = json!({
            "_type": "targets",
            "device": self.device,
            "expires": self.expires.to_string(),
            "spec_version": SPEC_VERSION,
            "targets": targets,
            "version": self.version,
        });
        if let Some(issued) = self.issued {
            body["x-issued"] = issued.to_string().into();
        }
        body
    }
}

fn keys(keys: &Keys) -> Value {
    keys.iter().map(|(id, key)| (id.to_owned(), key.to_json())).collect::<Map<_, _>>().into()
}

fn role(role: &RoleKeys) -> Value {
    json!({"keyids": role.key_ids, "threshold": role.threshold})
}

fn meta_file(file: &MetaFile) -> Value {
    let mut value = json!({"version": file.version});
    if let Some(length) = file.length {
        value["length"] = length.into();
    }
    if let Some(sha256) = file.sha256 {
        value["hashes"] = json!({"sha256": sha256.to_string()});
    }
    value
}

fn target(target: &Target) -> Value {
    let mut hashes: Map<_, Value> =
        target.other_hashes.iter().map(|(name, digest)| (name.clone(), digest.as_str().into())).collect();
    if let Some(sha256) = target.sha256 {
        hashes.insert(SHA256.to_owned(), sha256.to_string().into());
    }
    let mut value = json!({"hashes": hashes, "length": target.length});
    if !target.custom.is_null() {
        value["custom"] = target.custom.clone();
    }
    value
}

fn delegations(delegations: &Delegations) -> Value {
    let roles: Vec<Value> = delegations.roles.iter().map(delegated_role).collect();
    json!({"keys": keys(&delegations.keys), "roles": roles})
}

fn delegated_role(delegated: &DelegatedRole) -> Value {
    let (field, values) = match &delegated.paths {
        Paths::Patterns(patterns) => ("paths", patterns),
        Paths::HashPrefixes(prefixes) => ("path_hash_prefixes", prefixes),
    };
    json!({
        "keyids": delegated.keys.key_ids,
        "name": delegated.name,
        field: values,
        "terminating": delegated.terminating,
        "threshold": delegated.keys.threshold,
    })
}
