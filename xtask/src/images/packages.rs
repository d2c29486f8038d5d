//! Debian packages, fetched with apt into a corner of our own: no root, and nothing of the machine is changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Which of the versions that the archive offers at the moment a firmware takes: a point release is the same packages,
/// newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// The oldest still on offer.
    Oldest,
    /// The newest.
    Newest,
}

/// apt with directories of its own.
#[derive(Debug)]
pub struct Apt {
    dir: PathBuf,
    /// Debian's name of the machine's architecture (`amd64`, `arm64`).
    architecture: String,
    /// Versions on offer, newest first, of every package that was looked up.
    offers: BTreeMap<String, Vec<String>>,
}

impl Apt {
    /// Prepares the directories below `dir` and fetches the package lists of the machine's sources into them.
    pub fn open(dir: PathBuf) -> Result<Self> {
        for part in ["state/lists/partial", "cache/archives/partial", "debs"] {
            fs::create_dir_all(dir.join(part))?;
        }
        let architecture =
            workspace::output(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned();
        let apt = Self { dir, architecture, offers: BTreeMap::new() };
        // One unreachable source among several is no reason to stop: what is missing then shows when it is looked up.
        if let Err(error) = workspace::output(apt.command("apt-get").args(["update", "-qq"])) {
            eprintln!("apt-get update: {error:#}");
        }
        Ok(apt)
    }

    /// Asks the lists for the versions of packages, all in one go: apt reads every list for each question.
    pub fn look_up(&mut self, packages: &[&str]) -> Result<()> {
        let table = workspace::output(self.command("apt-cache").arg("madison").args(packages))?;
        for line in table.lines() {
            let mut columns = line.split('|').map(str::trim);
            if let (Some(name), Some(version), Some(source)) =
                (columns.next(), columns.next(), columns.next())
                && !source.ends_with("Sources")
            {
                let versions = self.offers.entry(name.to_owned()).or_default();
                if !versions.iter().any(|known| known == version) {
                    versions.push(version.to_owned());
                    versions.sort_by(|a, b| compare(b, a));
                }
            }
        }
        Ok(())
    }

    /// Picks a version of the first of the names (`a|b`) that the archive has; the names of libraries differ between
    /// Debian's releases. The packages must have been looked up.
    pub fn pick(&self, names: &str, age: Age) -> Result<(String, String)> {
        for name in names.split('|') {
            let versions = self.offers.get(name).map(Vec::as_slice).unwrap_or_default();
            let version = match age {
                Age::Oldest => versions.last(),
                Age::Newest => versions.first(),
            };
            if let Some(version) = version {
                return Ok((name.to_owned(), version.clone()));
            }
        }
        bail!("the package sources of this machine offer none of {names}")
    }

    /// The kernel packages of the machine's Debian release, newest first: a name carries the kernel's own version, so
    /// the one that is current is what the meta package depends on, and its predecessors bear the same name with
    /// smaller numbers.
    pub fn kernels(&mut self) -> Result<Vec<String>> {
        let [cloud, full] =
            ["linux-image-cloud", "linux-image"].map(|stem| format!("{stem}-{}", self.architecture));
        self.look_up(&[&cloud, &full])?;
        let (meta, _) = self.pick(&format!("{cloud}|{full}"), Age::Newest)?;
        let depends = workspace::output(self.command("apt-cache").args(["depends", &meta]))?;
        let current = depends
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .find(|name| name.starts_with("linux-image-"))
            .with_context(|| format!("{meta} depends on no kernel"))?
            .to_owned();
        let Some((series, flavour)) = split_release(&current) else {
            return Ok(vec![current]);
        };
        let pattern = format!("^{}", series.replace('.', "\\.").replace('+', "\\+"));
        let listed = workspace::output(self.command("apt-cache").args(["search", "--names-only", &pattern]))?;
        let mut kernels: Vec<String> = listed
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| split_release(name) == Some((series, flavour)))
            .map(str::to_owned)
            .collect();
        kernels.sort_by(|a, b| compare(b, a));
        kernels.retain(|name| compare(name, &current).is_le());
        if kernels.first() != Some(&current) {
            kernels.insert(0, current);
        }
        Ok(kernels)
    }

    /// Downloads versions of packages, those that are not here yet, and returns the files in the same order.
    pub fn download(&self, wanted: &[(String, String)]) -> Result<Vec<PathBuf>> {
        let debs = self.dir.join("debs");
        // apt writes a colon in a version as %3a.
        let stem =
            |(package, version): &(String, String)| format!("{package}_{}_", version.replace(':', "%3a"));
        let mut missing = Vec::new();
        for package in wanted {
            if starting_with(&debs, &stem(package))?.is_none() {
                missing.push(format!("{}={}", package.0, package.1));
            }
        }
        if !missing.is_empty() {
            workspace::output(
                self.command("apt-get").args(["download", "-qq"]).args(missing).current_dir(&debs),
            )?;
        }
        wanted
            .iter()
            .map(|package| {
                starting_with(&debs, &stem(package))?
                    .with_context(|| format!("apt-get download left no {}*.deb", stem(package)))
            })
            .collect()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let option = |name: &str, value: &Path| format!("{name}={}", value.display());
        command
            .args(["-o", &option("Dir::State", &self.dir.join("state"))])
            .args(["-o", "Dir::State::status=/dev/null"])
            .args(["-o", &option("Dir::Cache", &self.dir.join("cache"))])
            .args(["-o", "APT::Sandbox::User=root"])
            .args(["-o", "Acquire::Languages=none"])
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }
}

/// Unpacks a package into a tree, as the user who runs this: the image gives every file to root anyway.
pub fn unpack(deb: &Path, tree: &Path) -> Result<()> {
    let mut reader = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start dpkg-deb")?;
    let stdout = reader.stdout.take().context("dpkg-deb has no output")?;
    // A package may ship /bin/x where the tree has /bin as a link to usr/bin: the link stays.
    let unpacked = Command::new("tar")
        .args(["-x", "-p", "--no-same-owner", "--keep-directory-symlink"])
        .arg("-C")
        .arg(tree)
        .stdin(stdout)
        .status()
        .context("cannot start tar")?;
    let read = reader.wait()?;
    if !unpacked.success() || !read.success() {
        bail!("cannot unpack {}", deb.display());
    }
    Ok(())
}

/// `linux-image-6.1.0-56-cloud-amd64` is kernel 56 of the series `linux-image-6.1.0-` in the flavour `-cloud-amd64`.
fn split_release(package: &str) -> Option<(&str, &str)> {
    let rest = package.strip_prefix("linux-image-")?;
    let start = "linux-image-".len() + rest.find('-')? + 1;
    let number = package[start..].find(|c: char| !c.is_ascii_digit()).filter(|length| *length > 0)?;
    Some((&package[..start], &package[start + number..]))
}

/// Orders two versions as far as versions of one package differ: runs of digits as numbers, the rest as text, `~`
/// before everything.
fn compare(a: &str, b: &str) -> std::cmp::Ordering {
    fn keys(text: &str) -> Vec<(u8, u64)> {
        let mut keys = Vec::new();
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            if byte.is_ascii_digit() {
                let mut number = u64::from(byte - b'0');
                while let Some(next) = bytes.next_if(u8::is_ascii_digit) {
                    number = number.saturating_mul(10).saturating_add(u64::from(next - b'0'));
                }
                keys.push((2, number));
            } else if byte == b'~' {
                keys.push((0, 0));
            } else {
                keys.push((3, u64::from(byte)));
            }
        }
        keys.push((1, 0));
        keys
    }
    keys(a).cmp(&keys(b))
}

fn starting_with(dir: &Path, stem: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(stem) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_order_as_debian_orders_them() {
        for (older, newer) in [
            ("3.0.9-1", "3.0.17-1"),
            ("2025b-0+deb12u2", "2026b-0+deb12u1"),
            ("20250419~deb12u2", "20250419"),
            ("20230311+deb12u1", "20250419~deb12u2"),
            ("linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64"),
        ] {
            assert!(compare(older, newer).is_lt(), "{older} < {newer}");
        }
    }

    #[test]
    fn a_kernel_name_splits_around_its_number() {
        assert_eq!(
            split_release("linux-image-6.1.0-56-cloud-amd64"),
            Some(("linux-image-6.1.0-", "-cloud-amd64"))
        );
        assert_eq!(split_release("linux-image-6.12.117+deb12-cloud-amd64"), None);
        assert_eq!(split_release("linux-image-cloud-amd64"), None);
    }
}
