//! A release in one file, for devices without a network: a plain tar archive with one possible layout.
//!
//! ```text
//! metadata/1.root.json … metadata/N.root.json     every root from the first
//! metadata/timestamp.json, metadata/snapshot.json, metadata/targets.json, metadata/<product>.json
//! assignments/<device>.json                       any number, by name
//! manifest.json                                   of the release
//! segments/<sha256>                               zstd frames as stored, in the order of the manifest, each once
//! ```
//!
//! Each entry is a ustar header of 512 bytes, the content, and zeros up to the next 512; two blocks of
//! zeros end the file. A header is a function of a name and a size, and nothing else than what that
//! function makes is read: no owners, no dates, no links, no paths. Equal contents make equal bytes.

use std::{
    collections::BTreeSet,
    io::{self, Read, Seek, SeekFrom},
};

use slipway_trust::{Manifest, Sha256, limits};
use thiserror::Error;

use crate::segment::{LayoutError, Segment, segments};

/// Bytes of a header, and of what everything is rounded up to.
pub const BLOCK: usize = 512;
/// Name of the release manifest.
pub const MANIFEST: &str = "manifest.json";
/// Most assignments in one bundle: a stick for a site, not for a fleet.
pub const ASSIGNMENTS: usize = 1_000;
/// A name of ustar without its prefix field. The longest here has 81: an assignment.
const NAME: usize = 100;
/// Where the size stands: eleven octal digits, up to 8 GiB.
const SIZE: std::ops::Range<usize> = 124..135;
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Name of a root.
pub fn root_name(version: u64) -> String {
    format!("metadata/{version}.root.json")
}

/// Name of the document of a role.
pub fn metadata_name(role: &str) -> String {
    format!("metadata/{role}.json")
}

/// Name of the assignment of a device.
pub fn assignment_name(device: &str) -> String {
    format!("assignments/{device}.json")
}

/// Name of a segment.
pub fn segment_name(digest: &Sha256) -> String {
    format!("segments/{digest}")
}

/// Every segment of a release, each digest once, in the order in which a bundle has them.
pub fn segment_order(manifest: &Manifest) -> Result<Vec<Segment>, LayoutError> {
    let mut seen = BTreeSet::new();
    let mut order = Vec::new();
    for artifact in &manifest.artifacts {
        order.extend(segments(artifact)?.into_iter().filter(|segment| seen.insert(segment.digest())));
    }
    Ok(order)
}

/// The header of an entry; none for a name or a size that no header holds.
pub fn header(name: &str, size: u64) -> Option<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    if name.is_empty() || name.len() > NAME || size >= 1 << 33 {
        return None;
    }
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[108..115].copy_from_slice(b"0000000");
    block[116..123].copy_from_slice(b"0000000");
    block[SIZE].copy_from_slice(&octal::<11>(size));
    block[136..147].copy_from_slice(b"00000000000");
    block[156] = b'0';
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[329..336].copy_from_slice(b"0000000");
    block[337..344].copy_from_slice(b"0000000");
    block[CHECKSUM].fill(b' ');
    let sum = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..154].copy_from_slice(&octal::<6>(sum));
    block[154] = 0;
    Some(block)
}

/// How many zeros follow a content of `size` bytes.
pub fn padding(size: u64) -> usize {
    // Below the block, so that it fits.
    (size.wrapping_neg() % BLOCK as u64) as usize
}

fn octal<const N: usize>(mut value: u64) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' | (value & 7) as u8;
        value >>= 3;
    }
    digits
}

/// Why a file is no bundle.
#[derive(Debug, Error)]
pub enum BundleError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is not what a bundle is.
    #[error("at byte {at}: {what}")]
    Invalid {
        /// Where, in bytes from the start.
        at: u64,
        /// What is wrong there.
        what: String,
    },
}

/// One entry: what its header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name. Compared with what is expected, never used as a path.
    pub name: String,
    /// Bytes of its content.
    pub size: usize,
    /// Where its content starts.
    pub at: u64,
}

/// Reads a bundle from its start to its end, once. Holds no more than one entry.
pub struct Reader<R> {
    file: R,
    at: u64,
}

impl<R: Read + Seek> Reader<R> {
    /// Reads from where the file stands, which has to be its start.
    pub fn new(file: R) -> Self {
        Self { file, at: 0 }
    }

    /// The header of the next entry. Its content has to be taken or passed over before the one after it.
    ///
    /// # Errors
    /// Anything else than the header of a plain file; the end.
    pub fn entry(&mut self) -> Result<Entry, BundleError> {
        let start = self.at;
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        let invalid = |what: &str| BundleError::Invalid { at: start, what: what.to_owned() };
        let end = block[..NAME].iter().position(|byte| *byte == 0).unwrap_or(NAME);
        let name = str::from_utf8(&block[..end]).map_err(|_| invalid("a name is no text"))?;
        if name.is_empty() {
            return Err(invalid("there is no further entry"));
        }
        let digits = str::from_utf8(&block[SIZE]).ok();
        let size = digits.and_then(|digits| u64::from_str_radix(digits, 8).ok());
        let expected = size.and_then(|size| header(name, size));
        let (Some(size), true) = (size, expected == Some(block)) else {
            return Err(invalid("this is no header of a plain file"));
        };
        let size = usize::try_from(size).map_err(|_| invalid("an entry is too large"))?;
        Ok(Entry { name: name.to_owned(), size, at: self.at })
    }

    /// The content of an entry, of at most `limit` bytes.
    ///
    /// # Errors
    /// A longer one; a file that ends before it does.
    pub fn take(&mut self, entry: &Entry, limit: usize) -> Result<Vec<u8>, BundleError> {
        self.check_size(entry, limit)?;
        let mut content = vec![0; entry.size];
        self.fill(&mut content)?;
        self.pad(entry)?;
        Ok(content)
    }

    /// Passes over the content of an entry, of at most `limit` bytes.
    ///
    /// # Errors
    /// A longer one; a file that ends before it does.
    pub fn pass(&mut self, entry: &Entry, limit: usize) -> Result<(), BundleError> {
        self.check_size(entry, limit)?;
        self.at = self.file.seek(SeekFrom::Start(entry.at + entry.size as u64))?;
        self.pad(entry)
    }

    /// Refuses anything but the end.
    ///
    /// # Errors
    /// Another entry, or bytes behind the end.
    pub fn finish(&mut self) -> Result<(), BundleError> {
        let mut end = [0; 2 * BLOCK];
        let at = self.at;
        self.fill(&mut end)?;
        if end != [0; 2 * BLOCK] {
            let what = "there is more than the release's segments".to_owned();
            return Err(BundleError::Invalid { at, what });
        }
        let at = self.at;
        match self.file.read(&mut end)? {
            0 => Ok(()),
            _ => Err(BundleError::Invalid { at, what: "it goes on behind its end".to_owned() }),
        }
    }

    fn check_size(&self, entry: &Entry, limit: usize) -> Result<(), BundleError> {
        if entry.size == 0 || entry.size > limit {
            let what = format!("{} has {} bytes; it may have 1 to {limit}", entry.name, entry.size);
            return Err(BundleError::Invalid { at: self.at, what });
        }
        Ok(())
    }

    fn pad(&mut self, entry: &Entry) -> Result<(), BundleError> {
        let mut rest = [0; BLOCK];
        let rest = &mut rest[..padding(entry.size as u64)];
        let at = self.at;
        self.fill(rest)?;
        if rest.iter().any(|byte| *byte != 0) {
            let what = format!("something stands behind {}", entry.name);
            return Err(BundleError::Invalid { at, what });
        }
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), BundleError> {
        match self.file.read_exact(buffer) {
            Ok(()) => {
                self.at += buffer.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(BundleError::Invalid { at: self.at, what: "it ends too early".to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// How much of each document may be read, by the name of its role; products like targets.
pub fn metadata_limit(role: &str) -> usize {
    match role {
        "timestamp" => limits::TIMESTAMP_BYTES,
        "snapshot" => limits::SNAPSHOT_BYTES,
        _ => limits::TARGETS_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in entries {
            bytes.extend(header(name, content.len() as u64).unwrap());
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len() + padding(content.len() as u64), 0);
        }
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        bytes
    }

    const ENTRIES: [(&str, &[u8]); 3] = [("a", b"one"), ("b/c.json", &[7; BLOCK]), ("d", &[8; BLOCK + 1])];

    /// Reads everything, every other entry without its content.
    fn read(bytes: Vec<u8>) -> Result<Vec<(String, Vec<u8>)>, BundleError> {
        let mut reader = Reader::new(Cursor::new(bytes));
        let mut found = Vec::new();
        for (index, _) in ENTRIES.iter().enumerate() {
            let entry = reader.entry()?;
            match index % 2 {
                0 => found.push((entry.name.clone(), reader.take(&entry, 2 * BLOCK)?)),
                _ => reader.pass(&entry, 2 * BLOCK)?,
            }
        }
        reader.finish()?;
        Ok(found)
    }

    #[test]
    fn what_is_written_is_read() {
        let found = read(archive(&ENTRIES)).unwrap();
        assert_eq!(found, [("a".to_owned(), b"one".to_vec()), ("d".to_owned(), vec![8; BLOCK + 1])]);
        let sizes: Vec<usize> = [0, 1, 511, 512, 513].map(padding).to_vec();
        assert_eq!(sizes, [0, 511, 1, 0, 511]);
        assert!(header(&"x".repeat(101), 1).is_none() && header("", 1).is_none());
        assert!(header("x", 1 << 33).is_none() && header("x", (1 << 33) - 1).is_some());
    }

    #[test]
    fn a_tar_program_would_say_the_same() {
        // `printf one > a; tar --format=ustar --owner=0 --group=0 --numeric-owner --mode=644 --mtime=@0 -c a`
        let block = header("a", 3).unwrap();
        let text = String::from_utf8_lossy(&block[100..160]).into_owned();
        assert_eq!(text, "0000644\x000000000\x000000000\x0000000000003\x0000000000000\x00007341\x00 0\0\0\0");
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        let digits: u64 = block[CHECKSUM].iter().map(|byte| u64::from(*byte)).sum();
        assert_eq!(sum - digits + 8 * u64::from(b' '), 0o7341);
    }

    #[test]
    fn a_cut_file_is_refused_wherever_it_was_cut() {
        let whole = archive(&ENTRIES);
        for cut in 0..whole.len() {
            let refused = read(whole[..cut].to_vec());
            assert!(matches!(refused, Err(BundleError::Invalid { .. })), "cut at {cut}: {refused:?}");
        }
    }

    #[test]
    fn every_changed_bit_is_refused_or_in_a_content() {
        let whole = archive(&ENTRIES);
        let good = read(whole.clone()).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let Ok(found) = read(changed) else { continue };
            let contents = found.iter().zip(&good).filter(|(found, good)| found.1 != good.1).count();
            let passed_over = (3 * BLOCK..4 * BLOCK).contains(&(bit / 8));
            assert!(contents == 1 || passed_over, "bit {bit} changed nothing that is looked at");
        }
    }

    #[test]
    fn what_goes_on_or_is_too_large_is_refused() {
        let mut longer = archive(&ENTRIES);
        longer.push(0);
        assert!(read(longer).unwrap_err().to_string().contains("goes on behind its end"));
        let more = archive(&[ENTRIES[0], ENTRIES[1], ENTRIES[2], ENTRIES[0]]);
        assert!(read(more).unwrap_err().to_string().contains("more than"));
        let large = archive(&[("a", &[1; 2 * BLOCK + 1])]);
        assert!(read(large).unwrap_err().to_string().contains("it may have 1 to 1024"));
        let empty = archive(&[("a", b"")]);
        assert!(read(empty).unwrap_err().to_string().contains("it may have 1 to 1024"));
        // A link, a folder, a device: other headers than the one of a plain file.
        for kind in *b"12345xgL\0" {
            let mut odd = archive(&ENTRIES);
            odd[156] = kind;
            let sum: u64 = odd[..BLOCK].iter().map(|byte| u64::from(*byte)).sum();
            let old: u64 = odd[CHECKSUM].iter().map(|byte| u64::from(*byte)).sum();
            odd[148..154].copy_from_slice(&octal::<6>(sum - old + 8 * u64::from(b' ')));
            assert!(read(odd).unwrap_err().to_string().contains("no header of a plain file"), "{kind}");
        }
    }
}
