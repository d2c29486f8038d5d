//! Firmware images of a small product, as its maker would build them: kernel, initramfs and root file system out of
//! Debian packages, or, where there is no apt, out of the files of this machine. They boot: `cargo xtask boot-test`.
//!
//! - 1.0.0: the oldest packages the archive still offers;
//! - 2.0.0: the same, brought up to date, with the previous kernel replaced and MQTT tools added;
//! - 2.1.0: adds a firewall, and forgets a step of its build, so that no certificate authority is installed. Its own
//!   health check notices.

mod debian;
pub mod ext4;
mod firmware;
mod host;
mod initramfs;
mod packages;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{tools, workspace};

/// Name of the product the images are for.
pub const PRODUCT: &str = "pump";

/// The versions, in the order in which they are published.
pub const VERSIONS: [&str; 3] = ["1.0.0", "2.0.0", "2.1.0"];

/// Counts changes of how images are made: images made another way are made again.
const RECIPE: u32 = 1;

/// The images, made.
#[derive(Clone, Debug)]
pub struct Firmware {
    /// One per version, in the order of [`VERSIONS`].
    pub images: Vec<Image>,
    /// What they were made from, for people.
    pub origin: String,
}

/// One image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Version, as in its `/etc/os-release`.
    pub version: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

impl Firmware {
    /// The image of a version.
    pub fn image(&self, version: &str) -> Result<&Image> {
        self.images
            .iter()
            .find(|image| image.version == version)
            .with_context(|| format!("there is no image of {version}"))
    }
}

/// Makes the images, or takes those that an earlier run made. `note` hears what is going on.
pub fn make(note: &dyn Fn(&str)) -> Result<Firmware> {
    let dir = workspace::scratch().join("images");
    fs::create_dir_all(&dir)?;
    let stamp = format!("recipe {RECIPE}\n{}{}{}", firmware::INIT, firmware::HEALTH, initramfs::INIT);
    if fs::read_to_string(dir.join("stamp")).is_ok_and(|made| made == stamp)
        && let Ok(firmware) = made(&dir)
    {
        note("firmware images of an earlier run");
        return Ok(firmware);
    }
    tools::MKFS.require()?;
    tools::DEBUGFS.require()?;
    let _ = fs::remove_file(dir.join("stamp"));
    let origin = from_packages_or_files(&dir, note)?;
    fs::write(dir.join("origin"), origin)?;
    fs::write(dir.join("stamp"), stamp)?;
    made(&dir)
}

fn from_packages_or_files(dir: &Path, note: &dyn Fn(&str)) -> Result<String> {
    if tools::has_apt() && tools::find("dpkg-deb").is_some() {
        match debian::Debian::open(dir, note).and_then(|source| build(dir, &source, note)) {
            Ok(origin) => return Ok(origin),
            Err(error) => note(&format!("no firmware from packages ({error:#})")),
        }
    }
    note("taking the files of this machine");
    build(dir, &host::Host, note)
}

/// Where the files of a firmware come from.
trait Source: Sync {
    /// What it is, for people.
    fn name(&self) -> &'static str;
    /// Fills an empty tree with the files of a version; says which kernel it took.
    fn fill(&self, version: &str, tree: &Path) -> Result<String>;
    /// Adds to the tree of 2.0.0 what 2.1.0 has more.
    fn extend(&self, tree: &Path) -> Result<()>;
}

fn build(dir: &Path, source: &dyn Source, note: &dyn Fn(&str)) -> Result<String> {
    let work = tempfile::Builder::new().prefix("work-").tempdir_in(dir)?;
    let [old, new] = ["1.0.0", "2.0.0"].map(|version| work.path().join(version));
    note("unpacking 1.0.0 and 2.0.0");
    // The two are independent, and unpacking is what takes the time.
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| firmware::assemble(source, "1.0.0", &old));
        let second = firmware::assemble(source, "2.0.0", &new);
        (other.join(), second)
    });
    let first = first.map_err(|_| anyhow::anyhow!("assembling 1.0.0 panicked"))??;
    let second = second?;

    // Every version fits the same slot, the later ones with room to grow.
    let size = ext4::size_for(&old)?.max(ext4::size_for(&new)?) + (4 << 20);
    note("writing the file system of 1.0.0");
    ext4::make(&old, &file(dir, "1.0.0"), size, firmware::EPOCH)?;
    note("writing the file system of 2.0.0");
    ext4::make(&new, &file(dir, "2.0.0"), size, firmware::EPOCH)?;
    source.extend(&new)?;
    firmware::break_it(&new)?;
    note("writing the file system of 2.1.0");
    ext4::make(&new, &file(dir, "2.1.0"), size, firmware::EPOCH)?;
    let kernels = if first == second { first } else { format!("{first} and {second}") };
    Ok(format!("{}, {kernels}", source.name()))
}

fn made(dir: &Path) -> Result<Firmware> {
    let mut images = Vec::new();
    for version in VERSIONS {
        let path = file(dir, version);
        let bytes = path.metadata()?.len();
        images.push(Image { version, path, bytes });
    }
    Ok(Firmware { images, origin: fs::read_to_string(dir.join("origin"))? })
}

fn file(dir: &Path, version: &str) -> PathBuf {
    dir.join(format!("{PRODUCT}-{version}.img"))
}
