//! The server's own keys: those it signs with, and those that wait until the owners' root names them.
//!
//! A new key is made here and never leaves the machine. From the moment a root (for the director: targets)
//! names it instead of the one in use, it takes that one's place, in memory and in the folder. Replicas
//! share the folder's content by copying it, as they do when they are set up.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use slipway_trust::{PublicKey, Root, SecretKey, Signer, Targets};

use super::{
    known_keys::KnownKeys,
    online_keys::OnlineKeys,
    trust_set::{ONLINE_ROLES, may_sign_alone},
};
use crate::{
    chain::chain,
    data_dir::{DataDirError, write_durably},
    rng::Rng,
};

/// The keys of a server. Cheap to clone; all clones see the same.
#[derive(Clone, Debug)]
pub struct KeyRing(Arc<Ring>);

#[derive(Debug)]
struct Ring {
    /// None where keys live in memory only.
    folder: Option<PathBuf>,
    keys: RwLock<Held>,
}

#[derive(Clone, Debug)]
struct Held {
    in_use: OnlineKeys,
    waiting: BTreeMap<&'static str, Waiting>,
}

/// A key that no root names yet.
#[derive(Clone)]
struct Waiting(Arc<dyn Signer>);

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting({})", self.0.public_key())
    }
}

impl From<OnlineKeys> for KeyRing {
    /// Keys that are in no folder.
    fn from(in_use: OnlineKeys) -> Self {
        KeyRing(Arc::new(Ring { folder: None, keys: RwLock::new(Held { in_use, waiting: BTreeMap::new() }) }))
    }
}

impl KeyRing {
    /// Reads the folder; makes what is missing, see [`OnlineKeys::open`]. Returns the roles made too.
    pub fn open(
        folder: &Path,
        rng: &Rng,
        known: &KnownKeys,
    ) -> Result<(Self, Vec<&'static str>), DataDirError> {
        for role in ONLINE_ROLES {
            let (file, next) = (in_use_file(folder, role), waiting_file(folder, role));
            let id = |path: &Path| Ok::<_, DataDirError>(read(path)?.map(|key| key.public_key().key_id()));
            // A process that ended between the root and its own files is completed here.
            let is_right = |path: &Path, id: &Option<String>| {
                id.is_some() && known.check(role, path, id.as_deref()).is_ok()
            };
            let waiting = read_next(folder, role)?.map(|key| key.public_key().key_id());
            let in_use = id(&file)?;
            if !is_right(&file, &in_use) && known.names(role) && is_right(&next, &waiting) {
                promote(folder, role)?;
            }
        }
        let (in_use, made) = OnlineKeys::open(folder, rng, known)?;
        let ring = KeyRing::from(in_use);
        let waiting = read_waiting(folder)?;
        let in_use = ring.in_use();
        let held = Held { in_use, waiting };
        Ok((KeyRing(Arc::new(Ring { folder: Some(folder.to_owned()), keys: RwLock::new(held) })), made))
    }

    /// The keys to sign with.
    pub fn in_use(&self) -> OnlineKeys {
        self.held().in_use
    }

    /// The public halves of the keys that wait, by role.
    pub fn waiting(&self) -> Vec<(&'static str, PublicKey)> {
        self.held().waiting.iter().map(|(role, key)| (*role, key.0.public_key())).collect()
    }

    /// The key of `role` that waits; made when none does. Durable when this returns.
    pub fn prepare(&self, role: &'static str, rng: &Rng) -> Result<PublicKey, DataDirError> {
        let mut held = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = held.waiting.get(role) {
            return Ok(waiting.0.public_key());
        }
        let key = SecretKey::from_seed(rng.bytes());
        if let Some(folder) = &self.0.folder {
            let file = waiting_file(folder, role);
            let pem = key.to_pem().map_err(|error| damaged(&file, &error))?;
            write_durably(&file, pem.as_bytes(), 0o600)?;
        }
        let public = key.public_key();
        held.waiting.insert(role, Waiting(Arc::new(key)));
        Ok(public)
    }

    /// The keys that root and targets let sign: those in use, where they are named, else those that wait.
    pub fn fitting(&self, root: &Root, targets: Option<&Targets>) -> OnlineKeys {
        let held = self.held();
        let mut keys = held.in_use;
        for (role, waiting) in &held.waiting {
            let is_named = |key: PublicKey| may_sign_alone(root, targets, role, key);
            if !is_named(keys.signer(role).public_key()) && is_named(waiting.0.public_key()) {
                keys.replace(role, waiting.0.clone());
            }
        }
        keys
    }

    /// Goes over to the keys that root and targets name, if they are here; from then on they are in use.
    pub fn follow(&self, root: &Root, targets: Option<&Targets>) {
        let is_foreign = |keys: &OnlineKeys, role: &str| {
            !may_sign_alone(root, targets, role, keys.signer(role).public_key())
        };
        if !ONLINE_ROLES.iter().any(|role| is_foreign(&self.in_use(), role)) {
            return;
        }
        if let Err(error) = self.reread() {
            tracing::error!(error = %chain(&error), "the folder of the server's keys cannot be read");
        }
        let fitting = self.fitting(root, targets);
        let mut held = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        for role in ONLINE_ROLES {
            if fitting.signer(role).public_key() == held.in_use.signer(role).public_key() {
                continue;
            }
            held.in_use.replace(role, fitting.signer(role).clone());
            held.waiting.remove(role);
            let promoted = self.0.folder.as_deref().map_or(Ok(()), |folder| promote(folder, role));
            match promoted {
                Ok(()) => tracing::info!(role, "the owners' root names the new key: it signs from now on"),
                // The next start completes it.
                Err(error) => {
                    tracing::error!(role, error = %chain(&error), "a new key could not be put in its place")
                }
            }
        }
    }

    /// Another replica may have made or taken a key, and somebody copied it.
    fn reread(&self) -> Result<(), DataDirError> {
        let Some(folder) = &self.0.folder else { return Ok(()) };
        let mut found = read_waiting(folder)?;
        for role in ONLINE_ROLES {
            if let Some(key) = read(&in_use_file(folder, role))?
                && key.public_key() != self.in_use().signer(role).public_key()
            {
                found.insert(role, Waiting(Arc::new(key)));
            }
        }
        self.0.keys.write().unwrap_or_else(PoisonError::into_inner).waiting = found;
        Ok(())
    }

    fn held(&self) -> Held {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn in_use_file(folder: &Path, role: &str) -> PathBuf {
    folder.join(format!("{role}.pem"))
}

fn waiting_file(folder: &Path, role: &str) -> PathBuf {
    folder.join(format!("{role}.next.pem"))
}

fn read_waiting(folder: &Path) -> Result<BTreeMap<&'static str, Waiting>, DataDirError> {
    let mut waiting = BTreeMap::new();
    for role in ONLINE_ROLES {
        if let Some(key) = read_next(folder, role)? {
            waiting.insert(role, Waiting(Arc::new(key)));
        }
    }
    Ok(waiting)
}

/// The key that waits, if one can be read. The server signs without one, so a file that was cut off keeps nobody
/// from a start: a key that somebody relies on already is missed by its name.
fn read_next(folder: &Path, role: &str) -> Result<Option<SecretKey>, DataDirError> {
    match read(&waiting_file(folder, role)) {
        Err(DataDirError::Damaged { path, problem }) => {
            tracing::warn!(
                file = %path.display(),
                problem,
                "a key that waits for its root cannot be read, and is left out: put it back from a backup, or remove it \
                 and run slipway trust rotate again"
            );
            Ok(None)
        }
        read => read,
    }
}

fn read(file: &Path) -> Result<Option<SecretKey>, DataDirError> {
    match fs::read_to_string(file) {
        Ok(pem) => SecretKey::from_pem(&pem, None).map(Some).map_err(|error| damaged(file, &error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DataDirError::Io { action: "read", path: file.to_owned(), source }),
    }
}

/// The key that waited takes the place of the one in use, which no device believes any more.
fn promote(folder: &Path, role: &str) -> Result<(), DataDirError> {
    let (file, next) = (in_use_file(folder, role), waiting_file(folder, role));
    let io_error = |action, path: &Path| {
        let path = path.to_owned();
        move |source| DataDirError::Io { action, path, source }
    };
    if !next.exists() {
        return Ok(());
    }
    let pem = fs::read(&next).map_err(io_error("read", &next))?;
    write_durably(&file, &pem, 0o600)?;
    fs::remove_file(&next).map_err(io_error("remove", &next))
}

fn damaged(file: &Path, problem: &dyn std::fmt::Display) -> DataDirError {
    DataDirError::Damaged { path: file.to_owned(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use slipway_trust::{
        Date,
        repo::{self, RoleSpec, RootKeys},
    };

    use super::*;

    fn named(keys: &OnlineKeys) -> (Root, Targets) {
        let single = |role: &str| RoleSpec::single(keys.signer(role).public_key());
        let owner = RoleSpec::single(SecretKey::from_seed([1; 32]).public_key());
        let roles = RootKeys {
            root: owner.clone(),
            targets: owner,
            snapshot: single("snapshot"),
            timestamp: single("timestamp"),
        };
        let ends = Date::from_unix(2_000_000_000);
        (repo::root(1, ends, &roles), repo::targets(1, ends, &single("director"), &[]).unwrap())
    }

    #[test]
    fn a_key_waits_until_it_is_named_and_then_takes_over() {
        let folder = tempfile::tempdir().unwrap();
        let rng = Rng::seeded(7);
        let (ring, _) = KeyRing::open(folder.path(), &rng, &KnownKeys::default()).unwrap();
        let before = ring.in_use();
        for role in ONLINE_ROLES {
            let key = ring.prepare(role, &rng).unwrap();
            assert_eq!(ring.prepare(role, &rng).unwrap(), key, "asked twice, made once");
            assert_ne!(key, before.signer(role).public_key());
        }
        let (root, targets) = named(&before);
        ring.follow(&root, Some(&targets));
        assert_eq!(ring.in_use().public(), before.public(), "nobody named the new ones");
        let waiting = ring.waiting();

        let mut after = before.clone();
        for (role, _) in &waiting {
            after.replace(role, ring.held().waiting[role].0.clone());
        }
        let (root, targets) = named(&after);
        assert_eq!(ring.fitting(&root, Some(&targets)).public(), after.public());
        let ids = after.public().map(|(role, key)| (role.to_owned(), vec![key.key_id()]));
        let known = KnownKeys::relied_on(ids);

        // A process that ended here: the root is stored, the files are as before.
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        let (healed, made) = KeyRing::open(copy.path(), &rng, &known).unwrap();
        assert_eq!((healed.in_use().public(), made.len(), healed.waiting().len()), (after.public(), 0, 0));

        ring.follow(&root, Some(&targets));
        assert_eq!((ring.in_use().public(), ring.waiting().len()), (after.public(), 0));
        let (again, _) = KeyRing::open(folder.path(), &rng, &known).unwrap();
        assert_eq!(again.in_use().public(), after.public());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), ONLINE_ROLES.len());
    }

    #[test]
    fn a_waiting_key_that_is_cut_off_keeps_nobody_from_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let rng = Rng::seeded(7);
        let (first, _) = KeyRing::open(folder.path(), &rng, &KnownKeys::default()).unwrap();
        fs::write(waiting_file(folder.path(), "snapshot"), "").unwrap();
        let ids = first.in_use().public().map(|(role, key)| (role.to_owned(), vec![key.key_id()]));
        let known = KnownKeys::relied_on(ids);
        let (again, made) = KeyRing::open(folder.path(), &rng, &known).unwrap();
        assert_eq!(
            (again.in_use().public(), again.waiting().len(), made.len()),
            (first.in_use().public(), 0, 0)
        );
        // Where the key in use is not the one that is named, nothing is made up for.
        fs::remove_file(in_use_file(folder.path(), "snapshot")).unwrap();
        assert!(KeyRing::open(folder.path(), &rng, &known).is_err());
    }

    #[test]
    fn a_replica_takes_over_the_key_that_somebody_copied() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let rng = Rng::seeded(7);
        let (first, _) = KeyRing::open(one.path(), &rng, &KnownKeys::default()).unwrap();
        for role in ONLINE_ROLES {
            fs::copy(in_use_file(one.path(), role), in_use_file(other.path(), role)).unwrap();
        }
        let (second, _) = KeyRing::open(other.path(), &rng, &KnownKeys::default()).unwrap();
        first.prepare("snapshot", &rng).unwrap();
        let mut after = first.in_use();
        after.replace("snapshot", first.held().waiting["snapshot"].0.clone());
        let (root, targets) = named(&after);
        second.follow(&root, Some(&targets));
        assert_eq!(second.in_use().public(), first.in_use().public(), "it is not there yet");
        fs::copy(waiting_file(one.path(), "snapshot"), waiting_file(other.path(), "snapshot")).unwrap();
        second.follow(&root, Some(&targets));
        assert_eq!(second.in_use().public(), after.public());
    }
}
