//! Files that survive a power cut: written beside, synced, renamed, and the folder synced.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Bytes that this process wrote to its state folder. What a file system writes beside is not in it.
pub fn written() -> u64 {
    WRITTEN.load(Ordering::Relaxed)
}

/// Somebody wrote so many bytes by himself, appending or unsynced.
pub fn wrote(bytes: usize) {
    WRITTEN.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// Mode of files that hold a secret.
pub const SECRET: u32 = 0o600;
/// Mode of files that do not.
pub const PLAIN: u32 = 0o644;

/// Replaces `path` with `bytes`: afterwards, and after a power cut at any moment, the file holds
/// either what it held or all of `bytes`. A folder that stands in its place (a file system that was
/// repaired badly) is moved aside, to the same name with `.damaged` behind it.
///
/// # Errors
/// Any I/O error; the old file is then still there.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    #[cfg(test)]
    power::spend()?;
    let beside = named(path, ".new");
    let written = write_new(&beside, bytes, mode).and_then(|()| match fs::rename(&beside, path) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            let aside = named(path, ".damaged");
            // Of several, the last is kept.
            let _ = fs::remove_dir_all(&aside);
            fs::rename(path, &aside).and_then(|()| fs::rename(&beside, path))
        }
        renamed => renamed,
    });
    if let Err(error) = written {
        // On a full disk the half-written file would keep the space that the next try needs.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    sync_folder(path)
}

/// Removes `path` for good; a file that is not there is fine.
///
/// # Errors
/// Any I/O error except "not found".
pub fn remove(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    power::spend()?;
    match fs::remove_file(path) {
        Ok(()) => sync_folder(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a folder that only its owner can enter, with its parents; one that is there is fine.
///
/// # Errors
/// Any I/O error.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    sync_folder(path)
}

/// Reads a file that may be missing, refusing one longer than `limit` bytes.
///
/// # Errors
/// Any I/O error except "not found"; `FileTooLarge` beyond the limit, `IsADirectory` for a folder.
pub fn read_optional(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let text = format!("{} is a folder", path.display());
            return Err(io::Error::new(io::ErrorKind::IsADirectory, text));
        }
        // Nobody may ever write what would be waited for.
        Ok(metadata) if metadata.file_type().is_fifo() => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is a pipe", path.display())));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    // A wrong name may lead to a device, which has no length and no end.
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{} is longer than the {limit} bytes that are read", path.display()),
        ));
    }
    Ok(Some(bytes))
}

/// Whether a write failed for want of space: of the disk, of a quota, or of what a file may have.
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Makes a rename or removal inside the folder of `path` durable.
///
/// # Errors
/// Any I/O error.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // A leftover of an earlier power cut may have another mode: never write a secret into it.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    wrote(bytes.len());
    file.sync_all()
}

fn named(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(ending);
    path.with_file_name(name)
}

/// Power cuts, for tests of what is stored in several steps.
#[cfg(test)]
pub mod power {
    use std::{cell::Cell, io};

    thread_local! {
        static LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
    }

    /// Nothing that this thread does is durable any more after so many steps.
    pub fn lasts_for(steps: u32) {
        LEFT.set(steps);
    }

    /// It is back, for good.
    pub fn returns() {
        lasts_for(u32::MAX);
    }

    pub(super) fn spend() -> io::Result<()> {
        match LEFT.get() {
            u32::MAX => Ok(()),
            0 => Err(io::Error::other("the power is gone")),
            left => {
                LEFT.set(left - 1);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let told = read_optional(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(told.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn replaces_whole_files_and_keeps_their_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        replace(&path, b"one", SECRET).unwrap();
        fs::write(named(&path, ".new"), b"left by a power cut").unwrap();
        replace(&path, b"two", SECRET).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SECRET);
        assert!(!named(&path, ".new").exists());
    }

    #[test]
    fn reads_nothing_beyond_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(read_optional(&path, 4).unwrap(), None);
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read_optional(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_optional(&path, 5).unwrap().unwrap(), b"12345");
        remove(&path).unwrap();
        remove(&path).unwrap();
    }
}
