//! Metadata on the wire: what a device says it holds, and what it is sent.

use slipway_proto::v1;
use slipway_trust::Versions;

use crate::model::trust::Delta;

/// What the device holds; nothing when it does not say.
pub fn versions(have: Option<&v1::MetadataVersions>) -> Versions {
    let have = have.copied().unwrap_or_default();
    Versions {
        root: have.root,
        timestamp: have.timestamp,
        snapshot: have.snapshot,
        targets: have.targets,
        product: have.product,
        assignment: have.assignment,
    }
}

/// What a device was seen to hold.
pub fn metadata_versions(have: &Versions) -> v1::MetadataVersions {
    v1::MetadataVersions {
        root: have.root,
        timestamp: have.timestamp,
        snapshot: have.snapshot,
        targets: have.targets,
        product: have.product,
        assignment: have.assignment,
    }
}

/// The new files as the answer to a check-in carries them.
pub fn delta(delta: Delta) -> v1::TrustDelta {
    let bytes = |file: Option<bytes::Bytes>| file.map(|file| file.to_vec()).unwrap_or_default();
    v1::TrustDelta {
        roots: delta.roots.iter().map(|root| root.to_vec()).collect(),
        timestamp: bytes(delta.timestamp),
        snapshot: bytes(delta.snapshot),
        targets: bytes(delta.targets),
        product: bytes(delta.product),
        assignment: bytes(delta.assignment),
    }
}
