//! The file, written beside its name until it is whole. What an interrupted run left is gone on with.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use slipway_payload::{
    FRAME_MAX, Segment,
    bundle::{BLOCK, Reader, header, padding, segment_name},
};

use crate::error::Failure;

/// A bundle that is being written.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    part: PathBuf,
    file: File,
    /// Everything before is as it has to be.
    at: u64,
    /// There may be more of an earlier run.
    is_old: bool,
}

impl Output {
    /// Begins with these entries, or goes on behind them where an earlier run wrote the same.
    ///
    /// # Errors
    /// A file that cannot be written; one that another run writes.
    pub fn open(path: &Path, head: &[(String, Vec<u8>)]) -> Result<Self, Failure> {
        let fail = |error: &io::Error| Failure::file("write", path, error);
        let mut name: OsString =
            path.file_name().ok_or_else(|| fail(&io::ErrorKind::InvalidInput.into()))?.into();
        name.push(".part");
        let part = path.with_file_name(name);
        // A stick is anybody's: what lies there under this name may lead elsewhere, or be no file.
        let is_foreign = |found: fs::Metadata| !found.is_file();
        if fs::symlink_metadata(&part).is_ok_and(is_foreign) {
            return Err(Failure::new(format!("{} is no file", part.display()))
                .hint("remove it, or write the bundle somewhere else")
                .reason("FILE_UNUSABLE"));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&part)
            .map_err(|error| fail(&error))?;
        if file.try_lock().is_err() {
            return Err(Failure::new(format!("another slipway writes {}", part.display()))
                .hint("wait for it, or name another file")
                .reason("FILE_UNUSABLE"));
        }
        let mut bytes = Vec::new();
        for (name, content) in head {
            append(&mut bytes, name, content)?;
        }
        let mut output = Self { path: path.to_path_buf(), part, file, at: 0, is_old: true };
        output.begin(&bytes).map_err(|error| fail(&error))?;
        Ok(output)
    }

    fn begin(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut old = Vec::new();
        (&self.file).take(bytes.len() as u64).read_to_end(&mut old)?;
        if old != bytes {
            self.is_old = false;
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(bytes)?;
        }
        self.at = bytes.len() as u64;
        Ok(())
    }

    /// Whether an earlier run wrote this segment, which is the next one; then it is passed over.
    pub fn has(&mut self, segment: &Segment) -> bool {
        self.is_old = self.is_old && self.kept(segment).is_some();
        self.is_old
    }

    fn kept(&mut self, segment: &Segment) -> Option<()> {
        self.file.seek(SeekFrom::Start(self.at)).ok()?;
        let mut reader = Reader::new(&self.file);
        let entry = reader.entry().ok().filter(|entry| entry.name == segment_name(&segment.digest()))?;
        let frame = reader.take(&entry, FRAME_MAX).ok()?;
        slipway_payload::decode(segment, &frame).ok()?;
        self.at += (BLOCK + frame.len() + padding(frame.len() as u64)) as u64;
        Some(())
    }

    /// Writes the next segment, which was verified.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&mut self, segment: &Segment, frame: &[u8]) -> Result<(), Failure> {
        let mut bytes = Vec::with_capacity(frame.len() + 2 * BLOCK);
        append(&mut bytes, &segment_name(&segment.digest()), frame)?;
        self.put(&bytes).map_err(|error| self.fail(&error))
    }

    /// Ends it, and gives it its name; says how many bytes it has.
    ///
    /// # Errors
    /// What the file system says.
    pub fn finish(mut self) -> Result<u64, Failure> {
        let done = self.put(&[0; 2 * BLOCK]).and_then(|()| {
            self.file.set_len(self.at)?;
            self.file.sync_all()?;
            fs::rename(&self.part, &self.path)?;
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        });
        done.map(|()| self.at).map_err(|error| self.fail(&error))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.is_old = false;
        self.file.seek(SeekFrom::Start(self.at))?;
        self.file.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn fail(&self, error: &io::Error) -> Failure {
        Failure::file("write", &self.part, error)
    }
}

fn append(bytes: &mut Vec<u8>, name: &str, content: &[u8]) -> Result<(), Failure> {
    let block = header(name, content.len() as u64)
        .ok_or_else(|| Failure::bug(format!("{name} does not fit into a bundle")))?;
    bytes.extend(block);
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len() + padding(content.len() as u64), 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn image() -> (Vec<Segment>, Vec<Vec<u8>>) {
        let image = [vec![1; 1 << 20], vec![2; 1 << 20], vec![3; 9]].concat();
        let (mut segments, mut frames) = (Vec::new(), Vec::new());
        slipway_payload::cut(io::Cursor::new(&image), |segment, bytes| {
            segments.push(*segment);
            frames.push(slipway_payload::encode(bytes).unwrap());
            Ok::<(), Infallible>(())
        })
        .unwrap();
        (segments, frames)
    }

    /// Writes it; says how many segments were not there yet.
    fn write(path: &Path, head: &[(String, Vec<u8>)]) -> usize {
        let (segments, frames) = image();
        let mut output = Output::open(path, head).unwrap();
        let mut written = 0;
        for (segment, frame) in segments.iter().zip(&frames) {
            if !output.has(segment) {
                output.write(segment, frame).unwrap();
                written += 1;
            }
        }
        output.finish().unwrap();
        written
    }

    #[test]
    fn a_run_that_was_cut_anywhere_is_gone_on_with_and_ends_in_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (path, part) = (folder.path().join("b.tar"), folder.path().join("b.tar.part"));
        let head = vec![("metadata/1.root.json".to_owned(), b"a root".to_vec())];
        assert_eq!(write(&path, &head), 3);
        let whole = fs::read(&path).unwrap();
        assert!(!part.exists());
        let mut fewest = 3;
        for cut in (0..=whole.len()).step_by(97) {
            fs::write(&part, &whole[..cut]).unwrap();
            fewest = fewest.min(write(&path, &head));
            assert!(fs::read(&path).unwrap() == whole, "cut at {cut}");
        }
        assert_eq!(fewest, 0, "nothing is fetched twice");
        // Damage in what was written is written anew, and another head begins again.
        let mut damaged = whole.clone();
        damaged[2 * BLOCK + BLOCK + 20] ^= 1;
        fs::write(&part, &damaged).unwrap();
        assert_eq!(write(&path, &head), 3);
        assert!(fs::read(&path).unwrap() == whole);
        fs::write(&part, &whole).unwrap();
        let other = vec![("metadata/1.root.json".to_owned(), b"another".to_vec())];
        assert_eq!(write(&path, &other), 3);
    }

    #[test]
    fn one_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.tar");
        let _first = Output::open(&path, &[]).unwrap();
        let second = Output::open(&path, &[]).unwrap_err();
        assert!(second.to_string().contains("another slipway writes"), "{second}");
    }

    #[test]
    fn what_lies_on_a_stick_under_the_name_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let precious = dir.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, dir.path().join("b.tar.part")).unwrap();
        let refused = Output::open(&dir.path().join("b.tar"), &[]).unwrap_err();
        assert!(refused.to_string().contains("is no file"), "{refused}");
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
    }
}
