//! Files that somebody names on the command line: read up to a limit, because a wrong name may lead to a
//! device or an image.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use crate::{error::Failure, human};

/// Longest key, token, profile, root or CA file: all of them are a few kilobytes.
pub const SMALL: u64 = 1 << 20;

/// The file at `path`, if it has at most `limit` bytes.
///
/// # Errors
/// A file that cannot be read, or is longer.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    bytes(path, limit).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => {
            Failure::new(format!("{} is longer than {}", path.display(), human::bytes(limit)))
                .hint("is it the file that you mean?")
        }
        _ => Failure::file("read", path, &error),
    })
}

/// As [`read`], for those who say by themselves what the file was to be.
///
/// # Errors
/// Any I/O error; `FileTooLarge` beyond the limit.
pub fn bytes(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// As [`bytes`], of text.
///
/// # Errors
/// As [`bytes`]; `InvalidData` for what is no UTF-8.
pub fn text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(bytes(path, limit)?).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The same of text.
///
/// # Errors
/// As [`read`]; bytes that are no UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String, Failure> {
    String::from_utf8(read(path, limit)?).map_err(|_| {
        Failure::new(format!("{} is not text in UTF-8", path.display())).hint("save it as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let error = read(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert!(error.to_string().contains("/dev/zero is longer than 1.0 MiB"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, [b'a'; 10]).unwrap();
        assert_eq!(read_text(&path, 10).unwrap(), "aaaaaaaaaa");
        assert!(read(&path, 9).is_err());
        std::fs::write(&path, [0xff]).unwrap();
        assert!(read_text(&path, 10).unwrap_err().to_string().contains("UTF-8"));
    }
}
