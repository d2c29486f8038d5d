//! The data directory: what stands in it, whose it is, and that only one process uses it.
//!
//! Every file is made by writing a temporary one, syncing it, renaming it and syncing the
//! directory, and everything that is missing is made at the next start: a first start that was
//! killed at any point is completed by the second.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use slipway_trust::Date;

use crate::{chain::is_full, model::time::Timestamp};

mod authorities;

/// The layout this program writes and the newest it reads.
pub const FORMAT: u32 = 1;

/// No clock that is right shows less: the year in which this program was made, 2026. What an earlier one dates
/// ends before anybody could use it.
const MADE: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// Refuses a clock that is evidently wrong, as one of a machine that does not know the time yet.
pub fn check_clock(now: Timestamp) -> Result<(), DataDirError> {
    not_before(now, MADE, "the year in which this slipwayd was made")
}

fn not_before(now: Timestamp, earliest: Timestamp, event: &'static str) -> Result<(), DataDirError> {
    let date = |at: Timestamp| Date::from_millis(at.millis());
    match now < earliest {
        true => Err(DataDirError::Clock { now: date(now), earliest: date(earliest), event }),
        false => Ok(()),
    }
}

/// An open data directory; the lock is held until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    made: Vec<String>,
    _lock: Lock,
}

#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    /// To close the file is not enough: a process that was forked a moment ago and is not another program yet
    /// holds it too.
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error("{} is in use by another slipwayd (process {holder})", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process id it left.
        holder: String,
    },
    /// A newer program wrote it.
    #[error(
        "{} has format {found}, and this slipwayd reads up to {FORMAT}: it was written by a newer version",
        path.display()
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// There is something else in it.
    #[error("{} is not empty and is not a data directory of slipwayd", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// A file in it cannot be understood.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A key is not there that the fleet relies on.
    #[error("{} is gone; the fleet relies on key {expected}, which cannot be made again", path.display())]
    KeyGone {
        /// The file.
        path: PathBuf,
        /// Id of the key.
        expected: String,
    },
    /// Another key is there than the one that the fleet relies on.
    #[error("{} holds key {found}; the fleet relies on key {expected}", path.display())]
    KeyReplaced {
        /// The file.
        path: PathBuf,
        /// Id of the right key.
        expected: String,
        /// Id of the one that is there.
        found: String,
    },
    /// There is no server here whose authority could be followed by another.
    #[error("{} is not the data directory of a server that was started once", path.display())]
    NoServer {
        /// The directory.
        path: PathBuf,
    },
    /// The clock is evidently wrong.
    #[error("the clock of this machine shows {now}, which is before {earliest}, {event}")]
    Clock {
        /// What it shows.
        now: Date,
        /// What it shows at least if it is right.
        earliest: Date,
        /// What was then.
        event: &'static str,
    },
    /// The generations of the server's authority are not such that this could be done.
    #[error("{problem}")]
    Generation {
        /// What is in the way.
        problem: String,
    },
    /// The operating system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

impl DataDirError {
    /// The page of `docs/errors/` about it, when it has one.
    pub fn page(&self) -> Option<&'static str> {
        match self {
            DataDirError::InUse { .. } => Some("DATA_DIRECTORY_IN_USE"),
            DataDirError::Newer { .. } => Some("DATA_DIRECTORY_NEWER"),
            DataDirError::KeyGone { .. } | DataDirError::KeyReplaced { .. } => Some("SERVER_KEY_LOST"),
            DataDirError::Io { source, .. } if is_full(source) => Some("STORAGE_FULL"),
            DataDirError::Clock { .. } => Some("CLOCK_WRONG"),
            DataDirError::Foreign { .. }
            | DataDirError::Damaged { .. }
            | DataDirError::NoServer { .. }
            | DataDirError::Generation { .. }
            | DataDirError::Io { .. } => None,
        }
    }

    /// What the operator can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            DataDirError::InUse { .. } => "stop the other one, or give this one its own --data directory",
            DataDirError::Newer { .. } => {
                "run the newer slipwayd, or restore a backup from before the upgrade"
            }
            DataDirError::Foreign { .. } => "name an empty or a new directory with --data",
            DataDirError::Damaged { .. } => "restore the file from a backup; slipwayd does not guess",
            DataDirError::KeyGone { .. } | DataDirError::KeyReplaced { .. } => {
                "put the file back from a backup of this data directory, or copy keys/ and the *-ca.pem beside it \
                 from another replica; nothing was made or changed"
            }
            DataDirError::NoServer { .. } => "name with --data what `slipwayd serve` is given",
            DataDirError::Clock { .. } => {
                "set the clock, or wait until this machine got the time from the network, and try again; nothing \
                 was made or changed"
            }
            DataDirError::Generation { .. } => "nothing was made or changed",
            DataDirError::Io { .. } => "check the path, its owner and the room on its disk",
        }
    }
}

impl DataDir {
    /// Opens `root`, making it when it is not there, and locks it.
    pub fn open(root: &Path) -> Result<Self, DataDirError> {
        make_dir(root)?;
        refuse_foreign(root)?;
        let lock = take_lock(root)?;
        let mut dir = DataDir { root: root.to_owned(), made: Vec::new(), _lock: lock };
        match dir.read("version")? {
            Some(text) => {
                let found = text.trim().parse::<u32>().map_err(|_| DataDirError::Damaged {
                    path: dir.path("version"),
                    problem: format!("{:?} is not a format number", text.trim()),
                })?;
                if found > FORMAT {
                    return Err(DataDirError::Newer { path: root.to_owned(), found });
                }
            }
            None => {
                dir.write("version", format!("{FORMAT}\n").as_bytes(), 0o644)?;
                dir.made.push(format!("{} (data directory)", root.display()));
            }
        }
        make_dir(&dir.path("keys"))?;
        make_dir(&dir.path("objects"))?;
        Ok(dir)
    }

    /// Opens `root`, which a server made, and locks it.
    pub fn existing(root: &Path) -> Result<Self, DataDirError> {
        match root.join("version").is_file() {
            true => Self::open(root),
            false => Err(DataDirError::NoServer { path: root.to_owned() }),
        }
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// What was made since it was opened, for people.
    pub fn made(&self) -> &[String] {
        &self.made
    }

    /// Remembers something that was made, for [`DataDir::made`].
    pub fn note_made(&mut self, name: &str, what: &str) {
        self.made.push(format!("{} ({what})", self.path(name).display()));
    }

    /// The text of a file in it; none when there is none.
    pub fn read(&self, name: &str) -> Result<Option<String>, DataDirError> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DataDirError::Io { action: "read", path, source }),
        }
    }

    /// Writes a file in it, whole or not at all; durable when this returns.
    pub fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), DataDirError> {
        write_durably(&self.path(name), bytes, mode)
    }

    /// Reads a secret, or makes it with `make` and keeps it with mode 0600.
    pub fn secret<E>(
        &mut self,
        name: &str,
        what: &str,
        make: impl FnOnce() -> Result<String, E>,
    ) -> Result<Result<String, E>, DataDirError> {
        if let Some(text) = self.read(name)? {
            return Ok(Ok(text));
        }
        let text = match make() {
            Ok(text) => text,
            Err(error) => return Ok(Err(error)),
        };
        self.write(name, text.as_bytes(), 0o600)?;
        self.note_made(name, what);
        Ok(Ok(text))
    }
}

/// Writes a file, whole or not at all, and syncs it and its directory.
pub fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DataDirError> {
    let io = |action, source| DataDirError::Io { action, path: path.to_owned(), source };
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = parent.join(name);
    // A leftover of a start that was killed may have another mode.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("replace", error)),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .map_err(|error| io("write", error))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| io("write", error))?;
    fs::rename(&temporary, path).map_err(|error| io("write", error))?;
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(|error| io("sync the directory of", error))
}

fn make_dir(path: &Path) -> Result<(), DataDirError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| DataDirError::Io {
        action: "make",
        path: path.to_owned(),
        source,
    })
}

/// Somebody's home directory is not ours to fill.
fn refuse_foreign(root: &Path) -> Result<(), DataDirError> {
    if root.join("lock").exists() || root.join("version").exists() {
        return Ok(());
    }
    let mut entries = fs::read_dir(root).map_err(|source| DataDirError::Io {
        action: "read",
        path: root.to_owned(),
        source,
    })?;
    // A fresh file system has this one.
    let foreign = entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "lost+found"));
    if foreign { Err(DataDirError::Foreign { path: root.to_owned() }) } else { Ok(()) }
}

fn take_lock(root: &Path) -> Result<Lock, DataDirError> {
    let path = root.join("lock");
    let io = |action, source| DataDirError::Io { action, path: path.clone(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| io("open", error))?;
    if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(io("lock", error.into()));
        }
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        return Err(DataDirError::InUse { path: root.to_owned(), holder: holder.trim().to_owned() });
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(|error| io("write", error))?;
    Ok(Lock(file))
}

#[cfg(test)]
#[path = "data_dir_tests.rs"]
mod tests;
