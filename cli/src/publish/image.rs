//! The image: read once to cut it, and again segment by segment to send what is missing. It may be
//! far larger than memory.

use std::{
    convert::Infallible,
    fs::{File, Metadata},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use slipway_payload::{Cut, CutError, Segment, cut};
use slipway_trust::Sha256;

use crate::{error::Failure, progress::Progress};

/// An image that is being published.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    file: File,
    size: u64,
    modified: Option<SystemTime>,
}

impl Image {
    /// Opens a regular file that is not empty.
    ///
    /// # Errors
    /// No such file, something that is no file, nothing in it.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let unreadable = |error: io::Error| Failure::file("read the image", path, &error);
        // Asked by path first: opening a pipe would wait for its writer.
        let kind = std::fs::metadata(path).map_err(unreadable)?;
        if !kind.is_file() {
            let what = if kind.is_dir() { "a directory" } else { "not a regular file" };
            return Err(Failure::new(format!("the image {} is {what}", path.display()))
                .hint("it is read more than once: write it to a file first")
                .reason("IMAGE_NOT_A_FILE"));
        }
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.len() == 0 {
            return Err(empty(path));
        }
        Ok(Self { path: path.to_owned(), size: metadata.len(), modified: modified(&metadata), file })
    }

    /// Size in bytes, when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads it from start to end and cuts it into segments.
    ///
    /// # Errors
    /// What the file system says; an image that is not what it was when it was opened.
    pub fn cut(&self, progress: &mut Progress) -> Result<Cut, Failure> {
        let made = cut(&self.file, |segment, _| {
            progress.add(u64::from(segment.len()));
            Ok::<(), Infallible>(())
        });
        let made = match made {
            Ok(made) => made,
            Err(CutError::Empty) => return Err(empty(&self.path)),
            Err(CutError::Read(error)) => return Err(Failure::file("read the image", &self.path, &error)),
            Err(error @ CutError::TooLarge) => {
                return Err(Failure::new(format!(
                    "the image {} cannot be cut: {error}",
                    self.path.display()
                ))
                .hint("publish it in several components")
                .reason("IMAGE_TOO_LARGE"));
            }
            Err(CutError::Sink(never)) => match never {},
        };
        if made.size == self.size { Ok(made) } else { Err(self.changed()) }
    }

    /// Reads one segment again and compares it with its digest.
    ///
    /// # Errors
    /// What the file system says; bytes that are not those that were cut.
    pub fn read(&self, segment: &Segment) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; segment.len() as usize];
        match self.file.read_exact_at(&mut bytes, segment.offset()) {
            Ok(()) if Sha256::of(&bytes) == segment.digest() => Ok(bytes),
            Ok(()) => Err(self.changed()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.changed()),
            Err(error) => Err(Failure::file("read the image", &self.path, &error)),
        }
    }

    /// Refuses when somebody wrote to the image since it was opened.
    ///
    /// # Errors
    /// Another size or another time of change.
    pub fn check_unchanged(&self) -> Result<(), Failure> {
        let now =
            self.file.metadata().map_err(|error| Failure::file("read the image", &self.path, &error))?;
        match now.len() == self.size && modified(&now) == self.modified {
            true => Ok(()),
            false => Err(self.changed()),
        }
    }

    fn changed(&self) -> Failure {
        Failure::new(format!("the image {} changed while it was being published", self.path.display()))
            .hint("nothing was published; wait until the build is done and run the command again")
            .reason("IMAGE_CHANGED")
    }
}

fn empty(path: &Path) -> Failure {
    Failure::new(format!("the image {} is empty", path.display()))
        .hint("did the build fail?")
        .reason("IMAGE_EMPTY")
}

/// A file system that keeps no times has only the size to tell by.
fn modified(metadata: &Metadata) -> Option<SystemTime> {
    metadata.modified().ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;
    use crate::{
        clock::Clock,
        output::{Console, Format},
    };

    fn progress() -> Progress {
        Progress::new(
            &Console::to_writers(io::sink(), io::sink(), Format::Table, Clock::Fixed(0)),
            "reading",
            0,
        )
    }

    fn reason(failure: Failure) -> String {
        failure.reason_code().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        assert!(Image::open(&path).unwrap_err().to_string().starts_with("error: cannot read the image "));
        assert_eq!(reason(Image::open(dir.path()).unwrap_err()), "IMAGE_NOT_A_FILE");
        fs::write(&path, b"").unwrap();
        assert_eq!(reason(Image::open(&path).unwrap_err()), "IMAGE_EMPTY");
    }

    #[test]
    fn an_image_that_changes_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        fs::write(&path, vec![7; 1_500_000]).unwrap();
        let image = Image::open(&path).unwrap();
        let artifact = image.cut(&mut progress()).unwrap().into_artifact("system", vec!["gw-a".into()]);
        let segments = slipway_payload::segments(&artifact).unwrap();
        assert_eq!(segments.len(), 2);
        assert_eq!(image.read(&segments[1]).unwrap().len(), 1_500_000 - 1_048_576);
        image.check_unchanged().unwrap();

        let writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
        writer.write_all_at(b"x", 1_200_000).unwrap();
        assert!(image.read(&segments[0]).is_ok());
        assert_eq!(reason(image.read(&segments[1]).unwrap_err()), "IMAGE_CHANGED");
        writer.set_len(1_100_000).unwrap();
        assert_eq!(reason(image.read(&segments[1]).unwrap_err()), "IMAGE_CHANGED");
        assert_eq!(reason(image.check_unchanged().unwrap_err()), "IMAGE_CHANGED");
    }

    #[test]
    fn an_image_that_grows_while_it_is_cut_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        fs::write(&path, b"firmware").unwrap();
        let image = Image::open(&path).unwrap();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        assert_eq!(reason(image.cut(&mut progress()).unwrap_err()), "IMAGE_CHANGED");
    }
}
