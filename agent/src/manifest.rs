//! The release manifest: fetched once, kept until the next release.

use slipway_trust::{Manifest, ReleaseEntry, Sha256};

use crate::{
    config::{Config, StateDir},
    durable,
    link::{GetError, Source},
    machine::{Reason, Release},
};

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It did not arrive; asking again may help.
    #[error("the release manifest did not arrive")]
    Get(#[source] GetError),
    /// It arrived and is not to be used.
    #[error("{}", .0.detail)]
    Refused(Reason),
    /// It cannot be kept.
    #[error("cannot keep the release manifest")]
    Keep(#[source] std::io::Error),
}

/// Fetches and checks the manifest of a release that both sides stand behind; says what it means for this
/// device.
///
/// # Errors
/// [`ManifestError`].
pub async fn resolve(
    source: &impl Source,
    state: &StateDir,
    config: &Config,
    entry: &ReleaseEntry,
) -> Result<Release, ManifestError> {
    let version = entry.version.to_string();
    let bytes = obtain(source, state, &entry.product, &version, entry.sha256, entry.length).await?;
    let manifest = Manifest::verify(entry, &bytes)
        .map_err(|error| ManifestError::Refused(Reason::new(error.code(), &error)))?;
    let Some(artifact) = manifest.artifact_for(&config.component, &config.hardware) else {
        return Err(ManifestError::Refused(Reason::new(
            "ARTIFACT_MISSING",
            format!(
                "release {} has nothing for component {} on {}",
                entry.path(),
                config.component,
                config.hardware
            ),
        )));
    };
    // Looked at now, so that a manifest that cannot be installed is refused before anything is touched.
    slipway_payload::segments(artifact)
        .map_err(|error| ManifestError::Refused(Reason::new("MANIFEST_INCONSISTENT", &error)))?;
    Ok(Release {
        product: entry.product.clone(),
        version,
        counter: entry.counter,
        floor: entry.floor,
        manifest: entry.sha256,
        manifest_length: entry.length,
        digest: artifact.digest,
        size: artifact.size,
    })
}

/// The manifest of a release that was resolved before, from the file that keeps it or anew.
///
/// # Errors
/// [`ManifestError`].
pub async fn load(
    source: &impl Source,
    state: &StateDir,
    release: &Release,
) -> Result<Manifest, ManifestError> {
    let (manifest, length) = (release.manifest, release.manifest_length);
    let bytes = obtain(source, state, &release.product, &release.version, manifest, length).await?;
    Manifest::parse(&bytes).map_err(|error| ManifestError::Refused(Reason::new(error.code(), &error)))
}

/// Bytes with this digest: nothing else is ever returned.
async fn obtain(
    source: &impl Source,
    state: &StateDir,
    product: &str,
    version: &str,
    digest: Sha256,
    length: u64,
) -> Result<Vec<u8>, ManifestError> {
    if let Ok(Some(bytes)) = durable::read_optional(&state.manifest(), length)
        && Sha256::of(&bytes) == digest
    {
        return Ok(bytes);
    }
    let mut bytes = Vec::new();
    let path = format!("/tuf/targets/{product}/{digest}.{version}.json");
    let limit = usize::try_from(length).unwrap_or(usize::MAX);
    source.get(&path, &mut bytes, limit).await.map_err(ManifestError::Get)?;
    let found = Sha256::of(&bytes);
    if found != digest {
        return Err(ManifestError::Refused(Reason::new(
            "MANIFEST_DIGEST_MISMATCH",
            format!("the manifest of {product} {version} has digest {found}, the publisher signed {digest}"),
        )));
    }
    durable::replace(&state.manifest(), &bytes, durable::PLAIN).map_err(ManifestError::Keep)?;
    Ok(bytes)
}
