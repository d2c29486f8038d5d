//! Reading the kernel's files below a root, so that a test can be a machine.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

/// No file of /proc or /sys that is read here is longer.
const LIMIT: u64 = 256 << 10;

/// `/`, or a folder that stands for it.
#[derive(Debug, Clone)]
pub struct Sysroot(PathBuf);

impl Sysroot {
    /// The root at `path`.
    pub fn new(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// A path below the root; a leading slash means the root.
    pub fn path(&self, below: &str) -> PathBuf {
        self.0.join(below.trim_start_matches('/'))
    }

    /// The text of a file without the line end; nothing when it is not there or cannot be read, as
    /// for a sensor that is asleep.
    pub fn text(&self, below: &str) -> Option<String> {
        let mut text = String::new();
        File::open(self.path(below)).ok()?.take(LIMIT).read_to_string(&mut text).ok()?;
        text.truncate(text.trim_end().len());
        Some(text)
    }

    /// A file that holds one number.
    pub fn number(&self, below: &str) -> Option<f64> {
        self.text(below)?.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Names in a folder, sorted; none when it is not there.
    pub fn names(&self, below: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(below)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Names in a folder that are `prefix` and a number, by number.
    pub fn numbered(&self, below: &str, prefix: &str) -> Vec<String> {
        let number = |name: &String| name.strip_prefix(prefix)?.parse::<u32>().ok();
        let mut names: Vec<String> =
            self.names(below).into_iter().filter(|name| number(name).is_some()).collect();
        names.sort_by_key(number);
        names
    }

    /// The last part of where a link leads.
    pub fn link_name(&self, below: &str) -> Option<String> {
        let target = std::fs::read_link(self.path(below)).ok()?;
        target.file_name()?.to_str().map(str::to_owned)
    }

    /// Whether something is there.
    pub fn exists(&self, below: &str) -> bool {
        self.path(below).exists()
    }
}
