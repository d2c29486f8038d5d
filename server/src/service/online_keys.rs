//! The three keys that the server signs with by itself, each for one role and no other.
//!
//! What they can do at worst: assign releases that the publishers signed, and withhold newer ones.

use std::{fmt, fs, io, path::Path, sync::Arc};

use slipway_trust::{PublicKey, SecretKey, Signer};

use crate::{
    data_dir::{DataDirError, write_durably},
    rng::Rng,
    service::known_keys::KnownKeys,
};

/// Signers for `timestamp`, `snapshot` and `director`. Cheap to clone.
#[derive(Clone)]
pub struct OnlineKeys {
    /// Says often which snapshot is the newest.
    pub timestamp: Arc<dyn Signer>,
    /// Says which files belong together.
    pub snapshot: Arc<dyn Signer>,
    /// Says which device shall run what.
    pub director: Arc<dyn Signer>,
}

impl OnlineKeys {
    /// Reads `{role}.pem` from `folder`; makes what is missing. Returns the keys and the roles made.
    ///
    /// A key that is there and cannot be read is an error, never replaced; so is one that is not
    /// among the `known`, or is gone, once the fleet relies on it.
    pub fn open(
        folder: &Path,
        rng: &Rng,
        known: &KnownKeys,
    ) -> Result<(Self, Vec<&'static str>), DataDirError> {
        let mut made = Vec::new();
        let mut key = |role: &'static str| {
            let file = folder.join(format!("{role}.pem"));
            let damaged = |problem: &dyn fmt::Display| DataDirError::Damaged {
                path: file.clone(),
                problem: problem.to_string(),
            };
            let key = match fs::read_to_string(&file) {
                Ok(pem) => {
                    let key = SecretKey::from_pem(&pem, None).map_err(|error| damaged(&error))?;
                    known.check(role, &file, Some(&key.public_key().key_id()))?;
                    key
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    known.check(role, &file, None)?;
                    let key = SecretKey::from_seed(rng.bytes());
                    let pem = key.to_pem().map_err(|error| damaged(&error))?;
                    write_durably(&file, pem.as_bytes(), 0o600)?;
                    made.push(role);
                    key
                }
                Err(source) => return Err(DataDirError::Io { action: "read", path: file, source }),
            };
            Ok(Arc::new(key) as Arc<dyn Signer>)
        };
        let keys = OnlineKeys {
            timestamp: key("timestamp")?,
            snapshot: key("snapshot")?,
            director: key("director")?,
        };
        Ok((keys, made))
    }

    /// The key of a role; that of the director for a name that is none of the three.
    pub fn signer(&self, role: &str) -> &Arc<dyn Signer> {
        match role {
            "timestamp" => &self.timestamp,
            "snapshot" => &self.snapshot,
            _ => &self.director,
        }
    }

    /// Another key for a role.
    pub fn replace(&mut self, role: &str, key: Arc<dyn Signer>) {
        match role {
            "timestamp" => self.timestamp = key,
            "snapshot" => self.snapshot = key,
            _ => self.director = key,
        }
    }

    /// The public halves, by role.
    pub fn public(&self) -> [(&'static str, PublicKey); 3] {
        [
            ("timestamp", self.timestamp.public_key()),
            ("snapshot", self.snapshot.public_key()),
            ("director", self.director.public_key()),
        ]
    }
}

impl fmt::Debug for OnlineKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.public()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ROLES: [&str; 3] = ["timestamp", "snapshot", "director"];

    #[test]
    fn keys_are_made_once_and_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let (rng, first_start) = (Rng::seeded(7), KnownKeys::default());
        let (first, made) = OnlineKeys::open(folder.path(), &rng, &first_start).unwrap();
        assert_eq!(made, ROLES);
        let (second, made) = OnlineKeys::open(folder.path(), &rng, &first_start).unwrap();
        assert!(made.is_empty());
        assert_eq!(first.public(), second.public());
        for role in ROLES {
            let mode = folder.path().join(format!("{role}.pem")).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{role}");
        }
        let [(_, a), (_, b), (_, c)] = first.public();
        assert!(a != b && b != c && a != c);
    }

    #[test]
    fn a_broken_key_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshot.pem");
        fs::write(&file, "nonsense").unwrap();
        let error = OnlineKeys::open(folder.path(), &Rng::seeded(7), &KnownKeys::default()).unwrap_err();
        assert!(error.to_string().contains("snapshot.pem"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "nonsense");
    }
    #[test]
    fn a_key_that_the_fleet_relies_on_is_neither_made_anew_nor_exchanged() {
        let folder = tempfile::tempdir().unwrap();
        let rng = Rng::seeded(7);
        let (first, _) = OnlineKeys::open(folder.path(), &rng, &KnownKeys::default()).unwrap();
        let known = first.public().map(|(role, key)| (role.to_owned(), vec![key.key_id()]));
        let known = KnownKeys::relied_on(known);
        assert!(OnlineKeys::open(folder.path(), &rng, &known).is_ok());
        for role in ROLES {
            let file = folder.path().join(format!("{role}.pem"));
            let good = fs::read(&file).unwrap();
            fs::remove_file(&file).unwrap();
            let gone = OnlineKeys::open(folder.path(), &rng, &known).unwrap_err();
            assert!(matches!(&gone, DataDirError::KeyGone { path, .. } if *path == file), "{gone}");
            assert!(!file.exists(), "nothing was made in its place");
            fs::write(&file, SecretKey::from_seed([9; 32]).to_pem().unwrap().as_bytes()).unwrap();
            let other = OnlineKeys::open(folder.path(), &rng, &known).unwrap_err();
            assert!(matches!(&other, DataDirError::KeyReplaced { path, .. } if *path == file), "{other}");
            fs::write(&file, good).unwrap();
        }
    }
}
