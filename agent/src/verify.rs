//! Signed metadata: what the device believes, bound to files.
//!
//! What the server sends is untrusted. It is fed to the verifier in the order in which each document
//! vouches for the next, and each accepted document is durable before the next is looked at.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use slipway_proto::v1::{MetadataVersions, TrustDelta};
use slipway_trust::{Change, Date, ReleaseEntry, Sha256, Stored, Target, TrustedSet, limits};

use crate::{
    clock::Clock,
    config::StateDir,
    durable,
    kept::{self, Kept},
    link::chain,
    machine::Reason,
};

// More are not even read.
const _: () = assert!(TrustDelta::ROOTS == limits::ROOTS_PER_POLL);

/// What a signed time begins with, so that no metadata can be taken for one.
const TIME: &[u8] = b"slipway-time/v1\n";

/// Why metadata was not accepted, or could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The verifier refused it.
    #[error(transparent)]
    Refused(#[from] slipway_trust::Error),
    /// More roots in one answer than a server may send.
    #[error("the answer carries {count} roots; at most {} are taken at once", limits::ROOTS_PER_POLL)]
    TooManyRoots {
        /// How many.
        count: usize,
    },
    /// A file cannot be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The server's word on the time is not to be believed.
    #[error("the server's answer to what time it is is not signed for this question by the key that says so")]
    Time,
    /// The root that came with the device is gone.
    #[error("{} is missing: without a root nothing can be verified", path.display())]
    NoRoot {
        /// Where it should be.
        path: PathBuf,
    },
}

impl TrustError {
    /// Stable code for reports.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::TooManyRoots { .. } => "TOO_MANY_ROOTS",
            Self::Io { .. } => "STATE_IO_FAILED",
            Self::Time => "TIME_REFUSED",
            Self::NoRoot { .. } => "ROOT_MISSING",
        }
    }
}

/// What the device believes, and the folder that keeps it.
pub struct TrustStore {
    state: StateDir,
    folder: PathBuf,
    product: String,
    device: String,
    clock: Clock,
    set: TrustedSet,
}

impl TrustStore {
    /// Stores the first root, the one that the claim pins. A root that is there already and holds stays.
    ///
    /// # Errors
    /// A root that does not verify, or I/O errors.
    pub fn pin(state: &StateDir, root: &[u8]) -> Result<(), TrustError> {
        let set = TrustedSet::from_root(root)?;
        let folder = state.metadata();
        durable::make_folder(&folder).map_err(io_error("make", &folder))?;
        let path = folder.join("root.json");
        if newest_root(&folder).is_ok() {
            return Ok(());
        }
        let numbered = folder.join(format!("{}.root.json", set.root().body.version));
        for path in [numbered, path] {
            durable::replace(&path, root, durable::PLAIN).map_err(io_error("write", &path))?;
        }
        Ok(())
    }

    /// Reads what was accepted so far. Stored documents may have expired: they are floors. Those that
    /// cannot be read or do not verify any more are left out, named in the list, and fetched again.
    ///
    /// # Errors
    /// When no root that was accepted once can be read.
    pub fn open(
        state: &StateDir,
        product: &str,
        device: &str,
        clock: &Clock,
    ) -> Result<(Self, Vec<Reason>), TrustError> {
        let folder = state.metadata();
        let mut lost = Vec::new();
        let mut read = |name: &str, limit: usize| {
            let path = folder.join(format!("{name}.json"));
            durable::read_optional(&path, limit as u64).unwrap_or_else(|error| {
                lost.push(damaged(&path, &error.to_string(), "it is fetched again"));
                None
            })
        };
        let timestamp = read("timestamp", limits::TIMESTAMP_BYTES);
        let snapshot = read("snapshot", limits::SNAPSHOT_BYTES);
        let targets = read("targets", limits::TARGETS_BYTES);
        let product_role = read(product, limits::TARGETS_BYTES);
        let assignment = read("assignment", limits::ASSIGNMENT_BYTES);
        let (root, damage) = newest_root(&folder)?;
        lost.extend(damage);
        let products: Vec<(&str, &[u8])> =
            product_role.as_deref().map(|bytes| (product, bytes)).into_iter().collect();
        let stored = Stored {
            timestamp: timestamp.as_deref(),
            snapshot: snapshot.as_deref(),
            targets: targets.as_deref(),
            products: &products,
            assignment: assignment.as_deref(),
        };
        let (set, left_out) = TrustedSet::load(&root, stored, device)?;
        let left_out = left_out
            .iter()
            .map(|error| Reason::new(error.code(), format!("a stored document was left out: {error}")));
        lost.extend(left_out);
        let mut store = Self {
            state: state.clone(),
            product: product.to_owned(),
            device: device.to_owned(),
            clock: clock.clone(),
            set,
            folder,
        };
        lost.extend(store.load_clock_floor());
        Ok((store, lost))
    }

    /// The versions held, as the server wants to hear them.
    pub fn have(&self) -> MetadataVersions {
        let versions = self.set.versions(&self.product);
        MetadataVersions {
            root: versions.root,
            timestamp: versions.timestamp,
            snapshot: versions.snapshot,
            targets: versions.targets,
            product: versions.product,
            assignment: versions.assignment,
        }
    }

    /// Takes new documents, as far as they verify; each is durable before the next is looked at.
    ///
    /// # Errors
    /// The first document that is refused or cannot be stored; what came before it stays accepted.
    pub fn apply(&mut self, delta: &TrustDelta) -> Result<(), TrustError> {
        // One time for the whole walk, so that nothing expires in the middle of it.
        let mut now = Date::from_millis(self.clock.now());
        if delta.roots.len() > limits::ROOTS_PER_POLL {
            return Err(TrustError::TooManyRoots { count: delta.roots.len() });
        }
        for root in &delta.roots {
            self.accept(|store| {
                let step = store.set.update_root(root)?;
                // With their keys the documents lose what they said of the time, as of versions: a thief may
                // have set the clock to where nothing honest is valid. First, because after a power cut
                // between the two the documents, which are still there, prove the time again.
                if step.dropped.iter().any(|role| role == "timestamp") {
                    store.forget_time()?;
                }
                store.store(&format!("{}.root", step.version), root)?;
                store.store("root", root)?;
                for role in &step.dropped {
                    let path = store.folder.join(format!("{role}.json"));
                    durable::remove(&path).map_err(io_error("remove", &path))?;
                }
                Ok(())
            })?;
            now = Date::from_millis(self.clock.now());
        }
        let (product, device) = (self.product.clone(), self.device.clone());
        let documents: [(&str, &[u8]); 5] = [
            ("timestamp", &delta.timestamp),
            ("snapshot", &delta.snapshot),
            ("targets", &delta.targets),
            (&product, &delta.product),
            ("assignment", &delta.assignment),
        ];
        for (name, bytes) in documents.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
            self.accept(|store| {
                let set = &mut store.set;
                let was_assigned = set.assignment().is_some();
                let change = match name {
                    "timestamp" => set.update_timestamp(bytes, now)?,
                    "snapshot" => set.update_snapshot(bytes, now)?,
                    "targets" => set.update_targets(bytes, now)?,
                    "assignment" => set.update_assignment(&device, bytes, now)?,
                    _ => set.update_product(&product, bytes, now)?,
                };
                if matches!(change, Change::Accepted) {
                    store.store(name, bytes)?;
                    if was_assigned && store.set.assignment().is_none() {
                        // The director's keys changed.
                        store.forget_time()?;
                    }
                    store.keep_clock_floor()?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// What cannot be stored is not believed either: it would be forgotten at the next start.
    fn accept(&mut self, step: impl FnOnce(&mut Self) -> Result<(), TrustError>) -> Result<(), TrustError> {
        let before = self.set.clone();
        step(self).inspect_err(|_| self.set = before)
    }

    /// The release that the director assigned and the publisher signed; none means stay.
    ///
    /// # Errors
    /// When the two do not agree, or when something is missing or has expired.
    pub fn assigned(&self) -> Result<Option<ReleaseEntry>, TrustError> {
        let now = Date::from_millis(self.clock.now());
        Ok(self.set.assigned(&self.product, &self.device, now)?)
    }

    /// The release with this manifest that the publishers list, whoever shall run it.
    ///
    /// # Errors
    /// When something that would say so is missing or has expired.
    pub fn published(&self, manifest: Sha256) -> Result<Option<ReleaseEntry>, TrustError> {
        let now = Date::from_millis(self.clock.now());
        Ok(self.set.published(&self.product, manifest, now)?)
    }

    /// The file of the server's authorities, as the owners signed it: none while what says so is stale.
    pub fn server_ca(&self) -> Option<&Target> {
        let named = self.set.targets()?.body.server_ca();
        named.filter(|_| self.stale().is_none())
    }

    /// Whether something that is held has expired, so that nothing could be installed now. What is not
    /// held yet is no news: a device that was never assigned anything has no assignment.
    pub fn stale(&self) -> Option<TrustError> {
        let now = Date::from_millis(self.clock.now());
        let error = self.set.check_fresh(&self.product, now).err()?;
        matches!(error, slipway_trust::Error::Expired { .. }).then(|| error.into())
    }

    /// The highest rollback floor that the publishers signed into a release of this device's product. The
    /// device's own is not above it, unless its release was taken off the list.
    pub fn highest_floor(&self) -> u64 {
        let held = self.set.product(&self.product);
        let releases = held.and_then(|held| held.body.releases(&self.product).ok()).unwrap_or_default();
        releases.iter().map(|release| release.floor).max().unwrap_or(0)
    }

    /// Takes over the time that the server signed for `nonce` just now: the clock goes by it from here on.
    ///
    /// # Errors
    /// A signature that is not by the key of the timestamp role, or a time after the end of the root, by
    /// which nobody can be held to anything; or when it cannot be kept.
    pub fn prove_time(&self, nonce: &[u8], seconds: i64, signature: &[u8]) -> Result<(), TrustError> {
        let root = &self.set.root().body;
        let authority = root.authority(&root.timestamp);
        let message = [TIME, nonce, seconds.to_string().as_bytes()].concat();
        // One signature cannot make a threshold of two.
        let is_signed = authority.threshold() == 1
            && authority.public_keys().iter().any(|key| key.verify(&message, signature));
        if !is_signed || Date::from_unix(seconds) > root.expires {
            return Err(TrustError::Time);
        }
        self.clock.prove(seconds.saturating_mul(1000));
        self.keep_clock(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), TrustError> {
        let path = self.folder.join(format!("{name}.json"));
        durable::replace(&path, bytes, durable::PLAIN).map_err(io_error("write", &path))
    }

    /// What the documents that are held prove is all that is known of the time from here on.
    fn forget_time(&self) -> Result<(), TrustError> {
        let path = self.state.clock();
        let proved = self.set.time_floor().and_then(|floor| u64::try_from(floor.millis()).ok()).unwrap_or(0);
        kept::write(&path, proved).map_err(io_error("write", &path))?;
        self.clock.forget(i64::try_from(proved).unwrap_or(i64::MAX));
        Ok(())
    }

    /// The floor is kept apart from the documents that proved it: those can be lost.
    fn keep_clock_floor(&self) -> Result<(), TrustError> {
        let proved = self.set.time_floor().and_then(|floor| u64::try_from(floor.millis()).ok()).unwrap_or(0);
        self.keep_clock(proved)
    }

    fn keep_clock(&self, proved: u64) -> Result<(), TrustError> {
        let path = self.state.clock();
        let kept = kept::read(&path);
        if proved > kept.value().unwrap_or(0) {
            kept::write(&path, proved).map_err(io_error("write", &path))?;
        }
        self.raise_clock(proved);
        Ok(())
    }

    /// A floor that cannot be read is lost: what the stored documents prove still holds, and is written
    /// down anew.
    fn load_clock_floor(&mut self) -> Option<Reason> {
        let path = self.state.clock();
        let kept = kept::read(&path);
        self.raise_clock(kept.value().unwrap_or(0));
        let healed = self.keep_clock_floor();
        let Kept::Damaged(what) = kept else { return None };
        let then = match healed {
            Ok(()) => "the time that the stored metadata proves holds".to_owned(),
            Err(error) => chain(&error),
        };
        Some(damaged(&path, &what, &then))
    }

    fn raise_clock(&self, millis: u64) {
        self.clock.raise_floor(i64::try_from(millis).unwrap_or(i64::MAX));
    }
}

/// A file of the agent's own that is not what it wrote, and what becomes of it.
pub fn damaged(path: &Path, what: &str, then: &str) -> Reason {
    Reason::new("STATE_DAMAGED", format!("{} is damaged ({what}); {then}", path.display()))
}

/// The newest root that holds: `root.json`, or when that went bad the newest of the numbered ones, each
/// of which was accepted once. With it, what was wrong with `root.json`.
fn newest_root(folder: &Path) -> Result<(Vec<u8>, Option<Reason>), TrustError> {
    let read = |path: &Path| {
        let bytes =
            durable::read_optional(path, limits::ROOT_BYTES as u64).map_err(io_error("read", path))?;
        let bytes = bytes.ok_or_else(|| TrustError::NoRoot { path: path.to_path_buf() })?;
        TrustedSet::from_root(&bytes)?;
        Ok(bytes)
    };
    let path = folder.join("root.json");
    let damage: TrustError = match read(&path) {
        Ok(root) => return Ok((root, None)),
        Err(damage) => damage,
    };
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut versions: Vec<u64> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".root.json")?.parse().ok())
        .collect();
    versions.sort_unstable();
    for version in versions.into_iter().rev() {
        if let Ok(root) = read(&folder.join(format!("{version}.root.json"))) {
            // The next damage may hit this one. Where it cannot be written, it is looked for again.
            let _ = durable::replace(&path, &root, durable::PLAIN);
            let text = format!("root {version} stands in for root.json: {}", chain(&damage));
            return Ok((root, Some(Reason::new(damage.code(), text))));
        }
    }
    Err(damage)
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TrustError {
    let path = path.to_path_buf();
    move |source| TrustError::Io { action, path, source }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
