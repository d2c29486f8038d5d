//! The release manifest: which bytes make up a release, segment by segment.
//!
//! It is one target of the product's role, so that parts of two releases cannot be mixed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::canon;
use crate::digest::Sha256;
use crate::error::Error;
use crate::limits;
use crate::read::Fields;
use crate::release::{ReleaseEntry, plain_name, product_name, read_hardware};
use crate::version::Version;

const TYPE: &str = "slipway-release/v1";
const DOCUMENT: &str = "manifest";

/// What a release installs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Product.
    pub product: String,
    /// For people.
    pub version: Version,
    /// Order among the product's releases.
    pub counter: u64,
    /// At most one for each component and hardware model.
    pub artifacts: Vec<Artifact>,
}

/// The bytes for one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Component, for example `system`.
    pub component: String,
    /// Hardware models it is for.
    pub hardware: Vec<String>,
    /// Size in bytes, decoded.
    pub size: u64,
    /// Digest of the whole.
    pub digest: Sha256,
    /// Bytes in a segment; the last one is what remains. A power of two.
    pub segment_size: u32,
    /// Digests of the decoded segments, in order.
    pub segments: Vec<Sha256>,
}

impl Artifact {
    /// How many segments its size makes.
    pub fn segment_count(&self) -> u64 {
        self.size.div_ceil(u64::from(self.segment_size.max(1)))
    }
}

impl Manifest {
    /// The canonical bytes, which are the target that publishers list.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        self.validate()?;
        let artifacts: Vec<Value> = self.artifacts.iter().map(artifact_json).collect();
        let value = json!({
            "_type": TYPE,
            "artifacts": artifacts,
            "counter": self.counter,
            "product": self.product,
            "version": self.version.as_str(),
        });
        let bytes = canon::to_bytes(&value).map_err(malformed)?;
        check_size(bytes.len())?;
        Ok(bytes)
    }

    /// Reads and validates a manifest. Says nothing about who made it: see [`Manifest::verify`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        check_size(bytes.len())?;
        let value = canon::parse(bytes).map_err(malformed)?;
        let fields = Fields::of(DOCUMENT, "", &value)?;
        let found = fields.string("_type")?;
        if found != TYPE {
            return Err(Error::WrongType {
                document: DOCUMENT.to_owned(),
                found: found.to_owned(),
                expected: TYPE,
            });
        }
        let version = fields.string("version")?.parse();
        let manifest = Self {
            product: fields.string("product")?.to_owned(),
            version: version.map_err(|error| fields.error("version", format!("is none: {error}")))?,
            counter: fields.version("counter")?,
            artifacts: fields.array("artifacts")?.iter().map(read_artifact).collect::<Result<_, _>>()?,
        };
        manifest.validate()?;
        Ok(manifest)
    }

    /// Reads the manifest that a trusted entry lists: length and digest first, then the content,
    /// which has to say the same of the release as the entry does.
    pub fn verify(entry: &ReleaseEntry, bytes: &[u8]) -> Result<Self, Error> {
        let mismatch = |what| Error::ManifestMismatch { release: entry.path(), what };
        if bytes.len() as u64 != entry.length {
            return Err(mismatch("length"));
        }
        if Sha256::of(bytes) != entry.sha256 {
            return Err(mismatch("digest"));
        }
        let manifest = Self::parse(bytes)?;
        if manifest.product != entry.product {
            return Err(mismatch("product"));
        }
        if manifest.version != entry.version {
            return Err(mismatch("version"));
        }
        if manifest.counter != entry.counter {
            return Err(mismatch("counter"));
        }
        Ok(manifest)
    }

    /// The artifact of `component` for a hardware model.
    pub fn artifact_for(&self, component: &str, hardware: &str) -> Option<&Artifact> {
        let fits = |artifact: &&Artifact| {
            artifact.component == component && artifact.hardware.iter().any(|model| model == hardware)
        };
        self.artifacts.iter().find(fits)
    }

    /// Every hardware model that some artifact is for, sorted.
    pub fn hardware(&self) -> Vec<String> {
        let models: BTreeSet<&String> =
            self.artifacts.iter().flat_map(|artifact| &artifact.hardware).collect();
        models.into_iter().cloned().collect()
    }

    fn validate(&self) -> Result<(), Error> {
        product_name(&self.product)?;
        if self.counter == 0 || self.counter > limits::INTEGER {
            return Err(field("counter", "has to be 1 to 2^53 - 1"));
        }
        if self.artifacts.is_empty() || self.artifacts.len() > limits::ARTIFACTS {
            return Err(field("artifacts", format!("has to list 1 to {}", limits::ARTIFACTS)));
        }
        let mut taken = BTreeSet::new();
        for artifact in &self.artifacts {
            artifact.validate()?;
            for model in &artifact.hardware {
                if !taken.insert((&artifact.component, model)) {
                    let text = format!("has two for the component {} on {model}", artifact.component);
                    return Err(field("artifacts", text));
                }
            }
        }
        Ok(())
    }
}

impl Artifact {
    fn validate(&self) -> Result<(), Error> {
        if !plain_name(&self.component) {
            return Err(field("artifacts[].component", format!("{:?} is no component name", self.component)));
        }
        let names = |model: &String| plain_name(model);
        if self.hardware.is_empty()
            || self.hardware.len() > limits::HARDWARE_MODELS
            || !self.hardware.iter().all(names)
        {
            let text = format!("has to name 1 to {} hardware models", limits::HARDWARE_MODELS);
            return Err(field("artifacts[].hardware", text));
        }
        let in_range = (limits::SEGMENT_MIN..=limits::SEGMENT_MAX).contains(&self.segment_size);
        if !in_range || !self.segment_size.is_power_of_two() {
            let (min, max) = (limits::SEGMENT_MIN, limits::SEGMENT_MAX);
            let text = format!("{} is no power of two from {min} to {max}", self.segment_size);
            return Err(field("artifacts[].segment_size", text));
        }
        if self.size == 0 || self.size > limits::INTEGER {
            return Err(field("artifacts[].size", "has to be 1 to 2^53 - 1"));
        }
        if self.segment_count() != self.segments.len() as u64 {
            let text = format!("has {} digests for {} segments", self.segments.len(), self.segment_count());
            return Err(field("artifacts[].segments", text));
        }
        Ok(())
    }
}

fn read_artifact(value: &Value) -> Result<Artifact, Error> {
    let fields = Fields::of(DOCUMENT, "artifacts[]", value)?;
    let digest =
        |text: &str| text.parse().map_err(|error| fields.error("digest", format!("is none: {error}")));
    let segment_size = u32::try_from(fields.integer("segment_size")?);
    Ok(Artifact {
        component: fields.string("component")?.to_owned(),
        hardware: read_hardware(&fields)?,
        size: fields.integer("size")?,
        digest: digest(fields.string("digest")?)?,
        segment_size: segment_size.map_err(|_| fields.error("segment_size", "is too large"))?,
        segments: fields.strings("segments")?.into_iter().map(digest).collect::<Result<_, _>>()?,
    })
}

fn artifact_json(artifact: &Artifact) -> Value {
    let segments: Vec<String> = artifact.segments.iter().map(Sha256::to_string).collect();
    json!({
        "component": artifact.component,
        "digest": artifact.digest.to_string(),
        "hardware": artifact.hardware,
        "segment_size": artifact.segment_size,
        "segments": segments,
        "size": artifact.size,
    })
}

fn check_size(length: usize) -> Result<(), Error> {
    let limit = limits::MANIFEST_BYTES;
    if length > limit {
        return Err(Error::TooLarge { document: DOCUMENT.to_owned(), length, limit });
    }
    Ok(())
}

fn malformed(problem: canon::CanonError) -> Error {
    Error::Malformed { document: DOCUMENT.to_owned(), problem }
}

fn field(name: &str, problem: impl Into<String>) -> Error {
    Error::Field { document: DOCUMENT.to_owned(), field: name.to_owned(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            product: "pump".to_owned(),
            version: "2.0.0".parse().expect("a version"),
            counter: 2,
            artifacts: vec![Artifact {
                component: "system".to_owned(),
                hardware: vec!["gw-a".to_owned(), "gw-b".to_owned()],
                size: 5000,
                digest: Sha256::of(b"whole"),
                segment_size: 4096,
                segments: vec![Sha256::of(b"one"), Sha256::of(b"two")],
            }],
        }
    }

    #[test]
    fn reads_what_it_writes() {
        let bytes = manifest().to_bytes().expect("valid");
        assert_eq!(Manifest::parse(&bytes), Ok(manifest()));
        assert!(
            bytes.starts_with(b"{\"_type\":\"slipway-release/v1\",\"artifacts\":[{\"component\":\"system\"")
        );
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        type Spoil = fn(&mut Manifest);
        let cases: &[(&str, Spoil)] = &[
            ("product", |m| m.product = "Pump".to_owned()),
            ("no counter", |m| m.counter = 0),
            ("no artifact", |m| m.artifacts.clear()),
            ("two for one model", |m| m.artifacts.push(m.artifacts[0].clone())),
            ("component", |m| m.artifacts[0].component = "../system".to_owned()),
            ("no hardware", |m| m.artifacts[0].hardware.clear()),
            ("size", |m| m.artifacts[0].size = 0),
            ("a segment too few", |m| m.artifacts[0].size = 8193),
            ("a segment too many", |m| m.artifacts[0].size = 4096),
            ("segment size", |m| m.artifacts[0].segment_size = 5000),
            ("segment size of zero", |m| m.artifacts[0].segment_size = 0),
        ];
        for (name, spoil) in cases {
            let mut spoilt = manifest();
            spoil(&mut spoilt);
            assert!(spoilt.to_bytes().is_err(), "{name}");
        }
    }

    #[test]
    fn finds_the_artifact_of_a_device() {
        let manifest = manifest();
        assert!(manifest.artifact_for("system", "gw-b").is_some());
        assert!(manifest.artifact_for("system", "gw-c").is_none());
        assert!(manifest.artifact_for("app", "gw-a").is_none());
        assert_eq!(manifest.hardware(), ["gw-a", "gw-b"]);
    }
}
