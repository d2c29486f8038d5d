//! A release as the fleet knows it, and what has to hold before one is published.

use std::{borrow::Cow, collections::BTreeSet};

use serde::{Deserialize, Serialize};
use slipway_trust::{Manifest, ReleaseEntry, Sha256, Version};

use super::{
    filter::{Field, Subject},
    id,
    refusal::{Reason, Refusal},
    text::quoted,
    time::Timestamp,
};

/// Fields a filter on releases may name.
pub const FILTER_FIELDS: &[Field] =
    &[Field::text("product"), Field::version("version"), Field::text("hardware")];

/// A version of a product that its publishers signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// The product.
    pub product: String,
    /// For people.
    pub version: Version,
    /// Order among the product's releases.
    pub counter: u64,
    /// After running it a device never goes below this counter.
    pub floor: u64,
    /// Needs at least this counter installed.
    pub min_from: u64,
    /// Models that at least one artifact is for.
    pub hardware: Vec<String>,
    /// What it installs.
    pub artifacts: Vec<ArtifactSummary>,
    /// Digest of the manifest.
    pub manifest_digest: Sha256,
    /// When it was published.
    pub created_at: Timestamp,
    /// The token that published it.
    pub created_by: String,
}

/// An artifact without its list of segments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArtifactSummary {
    /// The component it is for.
    pub component: String,
    /// The models it is for.
    pub hardware: Vec<String>,
    /// Bytes, decoded.
    pub size: u64,
    /// Digest of all of it.
    pub digest: Sha256,
    /// How many segments.
    pub segments: u32,
}

impl Release {
    /// The release that `entry` and its manifest describe.
    pub fn new(entry: &ReleaseEntry, manifest: &Manifest, now: Timestamp, publisher: &str) -> Self {
        let summary = |artifact: &slipway_trust::Artifact| ArtifactSummary {
            component: artifact.component.clone(),
            hardware: artifact.hardware.clone(),
            size: artifact.size,
            digest: artifact.digest,
            segments: u32::try_from(artifact.segments.len()).unwrap_or(u32::MAX),
        };
        Release {
            product: entry.product.clone(),
            version: entry.version.clone(),
            counter: entry.counter,
            floor: entry.floor,
            min_from: entry.min_from,
            hardware: entry.hardware.clone(),
            artifacts: manifest.artifacts.iter().map(summary).collect(),
            manifest_digest: entry.sha256,
            created_at: now,
            created_by: publisher.to_owned(),
        }
    }

    /// `releases/{product}/{version}`.
    pub fn name(&self) -> String {
        resource_name(&self.product, &self.version)
    }
}

impl Subject for Release {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        match path {
            "product" => Some(Cow::Borrowed(&self.product)),
            "version" => Some(Cow::Borrowed(self.version.as_str())),
            // One model compares as itself; several read as a list for `hardware:gw-a`.
            "hardware" => Some(Cow::Owned(self.hardware.join(" "))),
            _ => None,
        }
    }
}

/// `releases/{product}/{version}`.
pub fn resource_name(product: &str, version: &Version) -> String {
    format!("releases/{product}/{version}")
}

/// Product and version of a resource name; none when it is no release's.
pub fn parse_name(name: &str) -> Option<(&str, Version)> {
    let (product, version) = name.strip_prefix("releases/")?.split_once('/')?;
    slipway_trust::product_name(product).ok()?;
    Some((product, version.parse().ok()?))
}

/// The refusal of a name that is no release's, or of none that exists.
pub fn not_found(name: &str) -> Refusal {
    Refusal::new(
        Reason::ReleaseNotFound,
        format!("there is no release {}", quoted(name)),
        "name it as PRODUCT/VERSION; `slipway release list` shows those there are",
    )
    .fact("release", name)
}

/// The one release that a publication adds.
///
/// `published` are the releases of the product that stand, `offered` those of the new metadata.
/// What stands has to stay as it is, and the added one has to be newer than all of it.
pub fn added(
    published: &[ReleaseEntry],
    offered: &[ReleaseEntry],
    manifest: &Manifest,
) -> Result<ReleaseEntry, Refusal> {
    let Some(entry) = offered.iter().find(|entry| entry.version == manifest.version) else {
        return Err(Refusal::new(
            Reason::ManifestInvalid,
            format!(
                "the manifest is of version {}, which the metadata of {} does not list",
                manifest.version, manifest.product
            ),
            "sign the product's metadata with the manifest that is sent along",
        )
        .field("manifest"));
    };
    if let Some(newest) = published.iter().max_by_key(|release| release.counter) {
        let highest = published.iter().map(|release| &release.version).max().unwrap_or(&newest.version);
        if entry.counter <= newest.counter || !entry.version.is_newer_than(highest) {
            return Err(Refusal::new(
                Reason::VersionNotNewer,
                format!(
                    "{} {} (counter {}) is not newer than {highest} (counter {}), which is published",
                    entry.product, entry.version, entry.counter, newest.counter
                ),
                format!("choose a version above {highest}"),
            )
            .fact("newest", highest)
            .fact("newest_counter", newest.counter));
        }
    }
    let of_publisher = |message: String, hint: &str| {
        Refusal::new(Reason::MetadataRefused, message, hint).field("product_metadata")
    };
    if let Some(lost) = published.iter().find(|release| !offered.contains(release)) {
        return Err(of_publisher(
            format!(
                "the new metadata drops or changes {} {}, which is published",
                lost.product, lost.version
            ),
            "sign on top of the newest metadata: fetch it again, add the release, sign",
        )
        .fact("code", "RELEASE_CHANGED"));
    }
    if offered.len() != published.len() + 1 {
        return Err(of_publisher(
            format!("the new metadata adds {} releases; one call adds one", offered.len() - published.len()),
            "publish them one after the other, the oldest first",
        )
        .fact("code", "RELEASES_TOO_MANY"));
    }
    Ok(entry.clone())
}

/// Refuses models that nothing of the product has: most likely a typing mistake.
pub fn known_hardware(entry: &ReleaseEntry, known: &BTreeSet<String>) -> Result<(), Refusal> {
    let unknown: Vec<&str> =
        entry.hardware.iter().map(String::as_str).filter(|model| !known.contains(*model)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let known = if known.is_empty() {
        "none is known yet".to_owned()
    } else {
        format!("known are {}", known.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    };
    Err(Refusal::new(
        Reason::HardwareUnknown,
        format!(
            "no device and no claim of {} has the hardware {}; {known}",
            entry.product,
            unknown.join(", ")
        ),
        "correct the model, or publish with --new-hardware when the model is new",
    )
    .fact("hardware", unknown.join(",")))
}

/// Refuses a name that no product can have.
pub fn check_product(product: &str) -> Result<(), Refusal> {
    slipway_trust::product_name(product).map_err(|error| {
        Refusal::new(
            Reason::NameInvalid,
            error.to_string(),
            "a product is named with 1 to 32 of a-z, 0-9 and '-', beginning with a letter or digit",
        )
        .field("product")
    })
}

/// A digest as it travels.
pub fn digest(bytes: &[u8], field: &str) -> Result<Sha256, Refusal> {
    Sha256::try_from(bytes).map_err(|_| {
        Refusal::new(
            Reason::DigestInvalid,
            format!("{field} has {} bytes; a SHA-256 has 32", bytes.len()),
            "send the raw digest of the decoded segment, not its hex form",
        )
        .field(field)
    })
}

/// Whether `text` is an id of 64 lower-case hex digits.
pub fn hex_digest(text: &str) -> Option<Sha256> {
    let digest: Sha256 = text.parse().ok()?;
    (id::hex(digest.as_bytes()) == text).then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: &str, counter: u64) -> ReleaseEntry {
        ReleaseEntry {
            product: "pump".to_owned(),
            version: version.parse().unwrap(),
            length: 10,
            sha256: Sha256::of(version.as_bytes()),
            hardware: vec!["gw-a".to_owned()],
            counter,
            floor: 0,
            min_from: 0,
        }
    }

    fn reason(published: &[ReleaseEntry], offered: &[ReleaseEntry], version: &str) -> Result<u64, Reason> {
        let manifest = Manifest {
            product: "pump".to_owned(),
            version: version.parse().unwrap(),
            counter: 0,
            artifacts: vec![],
        };
        added(published, offered, &manifest).map(|entry| entry.counter).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn one_newer_release_is_added() {
        let (one, two, three) = (entry("1.0.0", 1), entry("2.0.0", 2), entry("3.0.0", 3));
        let stands = [one.clone(), two.clone()];
        assert_eq!(reason(&[], std::slice::from_ref(&one), "1.0.0"), Ok(1));
        assert_eq!(reason(&stands, &[one.clone(), two.clone(), three.clone()], "3.0.0"), Ok(3));
        for (why, offered, version, expected) in [
            ("not listed", vec![one.clone(), two.clone()], "9.0.0", Reason::ManifestInvalid),
            ("again", vec![one.clone(), two.clone()], "2.0.0", Reason::VersionNotNewer),
            ("older", vec![one.clone(), two.clone(), entry("1.5.0", 3)], "1.5.0", Reason::VersionNotNewer),
            ("counter", vec![one.clone(), two.clone(), entry("3.0.0", 2)], "3.0.0", Reason::VersionNotNewer),
            ("drops", vec![two.clone(), three.clone()], "3.0.0", Reason::MetadataRefused),
            (
                "changes",
                vec![one.clone(), entry("2.0.0", 7), entry("3.0.0", 8)],
                "3.0.0",
                Reason::MetadataRefused,
            ),
            (
                "two",
                vec![one.clone(), two.clone(), three.clone(), entry("4.0", 4)],
                "4.0",
                Reason::MetadataRefused,
            ),
        ] {
            assert_eq!(reason(&stands, &offered, version), Err(expected), "{why}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(parse_name("releases/pump/2.0.0").unwrap().1.as_str(), "2.0.0");
        for bad in
            ["releases/pump", "releases/Pump/1.0", "release/pump/1.0", "releases/pump/1.0/x", "releases//1.0"]
        {
            assert!(parse_name(bad).is_none(), "{bad}");
        }
    }
}
