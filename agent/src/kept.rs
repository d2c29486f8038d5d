//! A number that outlives damage: kept twice in a small file, each copy with its checksum.
//!
//! ```text
//! file = line line          line = VALUE " " crc32c(VALUE) "\n"     (decimal, eight hex digits)
//! ```
//!
//! One bad copy costs nothing. With both bad the number is lost, and reading says so instead of guessing.

use std::{io, path::Path};

use crate::durable;

/// Two lines of at most 20 digits and a checksum.
const LIMIT: u64 = 128;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// There is no file.
    Missing,
    /// The number; the larger one, should the copies differ.
    Value(u64),
    /// There is something, and it is not the number: what is wrong with it.
    Damaged(String),
}

impl Kept {
    /// The number, if it is known.
    pub fn value(&self) -> Option<u64> {
        match self {
            Self::Value(value) => Some(*value),
            Self::Missing | Self::Damaged(_) => None,
        }
    }
}

/// Reads the number at `path`.
pub fn read(path: &Path) -> Kept {
    match durable::read_optional(path, LIMIT) {
        Ok(None) => Kept::Missing,
        Ok(Some(bytes)) => {
            // By line, and by half: the damage may be to the end of a line.
            let (first, second) = bytes.split_at(bytes.len() / 2);
            let halves = [first, second].map(|half| half.strip_suffix(b"\n").unwrap_or(half));
            let copies = bytes.split(|byte| *byte == b'\n').chain(halves).filter_map(parse);
            copies.max().map_or_else(|| Kept::Damaged("neither copy is whole".to_owned()), Kept::Value)
        }
        Err(error) => Kept::Damaged(error.to_string()),
    }
}

/// Replaces the number at `path`; it is durable when this returns.
///
/// # Errors
/// Any I/O error; the old number is then still there.
pub fn write(path: &Path, value: u64) -> io::Result<()> {
    let line = format!("{value} {:08x}\n", crc32c::crc32c(value.to_string().as_bytes()));
    durable::replace(path, line.repeat(2).as_bytes(), durable::PLAIN)
}

fn parse(line: &[u8]) -> Option<u64> {
    let (value, checksum) = str::from_utf8(line).ok()?.split_once(' ')?;
    let whole = checksum == format!("{:08x}", crc32c::crc32c(value.as_bytes()));
    value.parse().ok().filter(|_| whole)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn one_bad_copy_costs_nothing_and_two_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        assert_eq!(read(&path), Kept::Missing);
        write(&path, 7).unwrap();
        write(&path, u64::MAX).unwrap();
        let bytes = fs::read(&path).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            assert_eq!(read(&path), Kept::Value(u64::MAX), "bit {bit}");
        }
        for cut in 0..bytes.len() / 2 - 1 {
            fs::write(&path, &bytes[..cut]).unwrap();
            assert!(matches!(read(&path), Kept::Damaged(_)), "cut at {cut}");
        }
    }

    #[test]
    fn whatever_lies_there_it_can_be_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        fs::write(&path, vec![b'7'; 200]).unwrap();
        assert!(matches!(read(&path), Kept::Damaged(_)));
        write(&path, 1).unwrap();
        for _ in 0..2 {
            fs::remove_file(&path).unwrap();
            fs::create_dir_all(path.join("below")).unwrap();
            assert!(matches!(read(&path), Kept::Damaged(_)));
            write(&path, 2).unwrap();
            assert_eq!(read(&path), Kept::Value(2));
        }
    }
}
