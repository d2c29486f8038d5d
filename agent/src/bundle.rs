//! A release from a file instead of the server: fed to the same verifier, step by step, and then a source
//! of the same bytes.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use slipway_payload::{
    FRAME_MAX, Segment,
    bundle::{self, BundleError, Entry, Reader, metadata_limit, metadata_name},
};
use slipway_proto::v1::TrustDelta;
use slipway_trust::{Artifact, Manifest, ReleaseEntry, Sha256, limits};
use tokio::sync::watch;

use crate::{
    config::Config,
    link::{GetError, Link, Source, chain},
    machine::Reason,
    verify::{TrustError, TrustStore},
};

/// Stands in the names of updates that no server knows.
pub const UPDATE: &str = "/updates/bundle-";
/// Its layout is wrong.
const INVALID: &str = "BUNDLE_INVALID";

/// What a device installs from a file, beside everything that holds for any update: hardware, product,
/// order, floor, stepping stones and the publishers' signatures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bundles {
    /// The release that the server assigned to it, as over the network: who finds a stick chooses nothing.
    #[default]
    Assigned,
    /// Any release that the publishers signed: whoever has the stick stands in for the server.
    Signed,
    /// Nothing.
    Off,
}

/// A bundle whose layout is right and whose release this device may believe.
pub struct Bundle {
    path: PathBuf,
    file: File,
    /// The release.
    pub entry: ReleaseEntry,
    manifest_bytes: Vec<u8>,
    manifest: Manifest,
    /// Where each frame starts, and how many bytes it has.
    frames: BTreeMap<Sha256, (u64, usize)>,
    /// Why it cannot be read any more.
    broken: watch::Sender<Option<Reason>>,
}

impl Bundle {
    /// Reads the file from its start to its end. What it says of keys and releases is fed to `trust` as an
    /// answer of the server would be; what is accepted stays accepted, whatever is wrong further on.
    ///
    /// # Errors
    /// Whatever is wrong first.
    pub fn open(path: &Path, trust: &mut TrustStore, config: &Config) -> Result<Self, Reason> {
        let unreadable = |error: &io::Error| unreadable(path, error);
        let invalid = |error: &BundleError| match error {
            BundleError::Io(error) => unreadable(error),
            BundleError::Invalid { .. } => {
                Reason::new(INVALID, format!("{} is no bundle: {error}", path.display()))
            }
        };
        // A pipe on a stick would have the agent wait for somebody to write into it.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let opened = File::options().read(true).custom_flags(flags).open(path);
        let file = opened.map_err(|error| unreadable(&error))?;
        if !file.metadata().map_err(|error| unreadable(&error))?.is_file() {
            return Err(Reason::new(INVALID, format!("{} is no regular file", path.display())));
        }
        let mut reader = Reader::new(&file);
        let (manifest_bytes, entry) = documents(&mut reader, trust, config).map_err(|why| match why {
            Wrong::Layout(error) => invalid(&error),
            Wrong::Refused(reason) => reason,
        })?;
        let manifest =
            Manifest::verify(&entry, &manifest_bytes).map_err(|error| Reason::new(error.code(), &error))?;
        let order =
            bundle::segment_order(&manifest).map_err(|error| Reason::new("MANIFEST_INCONSISTENT", &error))?;
        let frames = frames(&mut reader, &order).map_err(|error| invalid(&error))?;
        let (broken, path) = (watch::channel(None).0, path.to_path_buf());
        Ok(Self { path, file, entry, manifest_bytes, manifest, frames, broken })
    }

    /// Reads and decodes every segment that this device needs, before anything is written anywhere.
    ///
    /// # Errors
    /// The first that is not as it was signed.
    pub async fn check(&self, config: &Config) -> Result<(), Reason> {
        let segments = self.artifact(config).map(slipway_payload::segments).transpose();
        let segments = segments.map_err(|error| Reason::new("MANIFEST_INCONSISTENT", &error))?;
        // A release without anything for this device is refused further on, by name.
        for segment in segments.iter().flatten() {
            let frame = self.frame(&segment.digest()).map_err(|error| unreadable(&self.path, &error))?;
            slipway_payload::decode(segment, &frame)
                .map_err(|error| Reason::new(error.code(), format!("{}: {error}", self.path.display())))?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Waits until it cannot be read any more: a stick that was pulled.
    pub async fn broke(&self) -> Reason {
        let mut broken = self.broken.subscribe();
        let reason = broken.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => reason,
            // It is gone, and nobody reads it any more.
            None => std::future::pending().await,
        }
    }

    fn artifact(&self, config: &Config) -> Option<&Artifact> {
        self.manifest.artifact_for(&config.component, &config.hardware)
    }

    fn frame(&self, digest: &Sha256) -> io::Result<Vec<u8>> {
        let (at, size) = self.frames.get(digest).copied().ok_or(io::ErrorKind::NotFound)?;
        let mut frame = vec![0; size];
        self.file.read_exact_at(&mut frame, at)?;
        Ok(frame)
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Reason {
    Reason::new("BUNDLE_UNREADABLE", format!("cannot read {}: {error}", path.display()))
}

enum Wrong {
    Layout(BundleError),
    Refused(Reason),
}

impl From<BundleError> for Wrong {
    fn from(error: BundleError) -> Self {
        Self::Layout(error)
    }
}

impl From<TrustError> for Wrong {
    fn from(error: TrustError) -> Self {
        Self::Refused(Reason::new(error.code(), chain(&error)))
    }
}

/// Everything before the segments; the release that it is all about, and its manifest.
fn documents(
    reader: &mut Reader<&File>,
    trust: &mut TrustStore,
    config: &Config,
) -> Result<(Vec<u8>, ReleaseEntry), Wrong> {
    let mut entry = reader.entry()?;
    let mut version = 1;
    while entry.name == bundle::root_name(version) {
        let root = reader.take(&entry, limits::ROOT_BYTES)?;
        // One at a time: all of a long chain need not fit into memory.
        if version > trust.have().root {
            trust.apply(&TrustDelta { roots: vec![root], ..TrustDelta::default() })?;
        }
        version += 1;
        entry = reader.entry()?;
    }
    if version == 1 {
        expect(&entry, &bundle::root_name(1))?;
    }
    let mut delta = TrustDelta::default();
    for (role, into) in [
        ("timestamp", &mut delta.timestamp),
        ("snapshot", &mut delta.snapshot),
        ("targets", &mut delta.targets),
        (config.product.as_str(), &mut delta.product),
    ] {
        if role == config.product && entry.name.starts_with("metadata/") {
            of_product(&entry, &config.product)?;
        }
        expect(&entry, &metadata_name(role))?;
        *into = reader.take(&entry, metadata_limit(role))?;
        entry = reader.entry()?;
    }
    let (mut before, mut count) = (String::new(), 0);
    while entry.name.starts_with("assignments/") && entry.name > before && count < bundle::ASSIGNMENTS {
        if entry.name == bundle::assignment_name(&config.device_id) {
            delta.assignment = reader.take(&entry, limits::ASSIGNMENT_BYTES)?;
        } else {
            reader.pass(&entry, limits::ASSIGNMENT_BYTES)?;
        }
        (before, count) = (entry.name, count + 1);
        entry = reader.entry()?;
    }
    expect(&entry, bundle::MANIFEST)?;
    let manifest = reader.take(&entry, limits::MANIFEST_BYTES)?;
    trust.apply(&delta)?;
    let release = release(trust, config, Sha256::of(&manifest), !delta.assignment.is_empty())?;
    Ok((manifest, release))
}

fn expect(entry: &Entry, name: &str) -> Result<(), BundleError> {
    if entry.name == name {
        return Ok(());
    }
    let what = format!("{name} is expected, and {:?} stands there", entry.name);
    Err(BundleError::Invalid { at: entry.at - bundle::BLOCK as u64, what })
}

fn of_product(entry: &Entry, product: &str) -> Result<(), Wrong> {
    if entry.name == metadata_name(product) {
        return Ok(());
    }
    let other = entry.name.trim_start_matches("metadata/").trim_end_matches(".json");
    let detail = format!("the bundle is for the product {other:?}, this device is a {product}");
    Err(Wrong::Refused(Reason::new("RELEASE_FOREIGN_PRODUCT", detail)))
}

/// The release with this manifest, if the publishers list it and it is this device's to take.
fn release(
    trust: &TrustStore,
    config: &Config,
    manifest: Sha256,
    has_assignment: bool,
) -> Result<ReleaseEntry, Wrong> {
    let refuse = |code: &str, detail: String| Err(Wrong::Refused(Reason::new(code, detail)));
    let assigned = match config.bundles {
        Bundles::Assigned => trust.assigned()?,
        Bundles::Signed | Bundles::Off => None,
    };
    if let Some(assigned) = assigned.as_ref().filter(|assigned| assigned.sha256 == manifest) {
        return Ok(assigned.clone());
    }
    let Some(release) = trust.published(manifest)? else {
        let detail =
            format!("the publishers of {} list no release with the manifest {manifest}", config.product);
        return refuse("MANIFEST_MISMATCH", detail);
    };
    if config.bundles == Bundles::Signed {
        return Ok(release);
    }
    let says = match assigned {
        Some(assigned) => format!("this device is assigned {}", assigned.path()),
        None if has_assignment => "its assignment tells this device to stay as it is".to_owned(),
        None => format!("nothing assigns it to {}", config.device_id),
    };
    refuse("BUNDLE_NOT_ASSIGNED", format!("the bundle brings {}, and {says}", release.path()))
}

/// Where the segments are, which have to be those of the release, all of them, in its order.
fn frames(
    reader: &mut Reader<&File>,
    order: &[Segment],
) -> Result<BTreeMap<Sha256, (u64, usize)>, BundleError> {
    let mut frames = BTreeMap::new();
    for digest in order.iter().map(Segment::digest) {
        let entry = reader.entry()?;
        expect(&entry, &bundle::segment_name(&digest))?;
        reader.pass(&entry, FRAME_MAX)?;
        frames.insert(digest, (entry.at, entry.size));
    }
    reader.finish()?;
    Ok(frames)
}

/// Where this life of the agent has its files from.
#[derive(Clone)]
pub enum Supply {
    /// The server.
    Server(Link),
    /// A bundle.
    Bundle(std::sync::Arc<Bundle>),
}

impl Source for Supply {
    async fn get(&self, path: &str, into: &mut Vec<u8>, limit: usize) -> Result<(), GetError> {
        let bundle = match self {
            Self::Server(link) => return link.get(path, into, limit).await,
            Self::Bundle(bundle) => bundle,
        };
        let digest = path.strip_prefix("/segments/").and_then(|hex| hex.parse().ok());
        let read = match digest {
            Some(digest) => bundle.frame(&digest),
            None => Ok(bundle.manifest_bytes.clone()),
        };
        match read {
            // Frames were bounded when they were found, and the manifest by its entry.
            Ok(bytes) => *into = bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(GetError::Status { status: 404, path: path.to_owned() });
            }
            Err(error) => {
                // Whoever waits for `broke` ends this; what is in the slot is gone on with next time.
                bundle.broken.send_replace(Some(unreadable(&bundle.path, &error)));
                return Err(GetError::Network(error.to_string()));
            }
        }
        Ok(())
    }
}
