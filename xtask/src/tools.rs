//! Programs of the machine that a command needs: found where they usually are, installed where we may, else named in
//! one line with the way to get them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::workspace;

/// A program and the package it comes in.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// Name of the executable.
    pub program: &'static str,
    /// Debian package that holds it.
    pub debian: &'static str,
    /// What to do on another system, one line.
    pub elsewhere: &'static str,
}

/// `mkfs.ext4`, which also fills the file system it makes.
pub const MKFS: Tool = Tool {
    program: "mkfs.ext4",
    debian: "e2fsprogs",
    elsewhere: "install e2fsprogs (`dnf install e2fsprogs`, `apk add e2fsprogs-extra`, `brew install e2fsprogs`)",
};

/// `debugfs`, which reads and edits an ext4 image without mounting it.
pub const DEBUGFS: Tool = Tool { program: "debugfs", ..MKFS };

/// `swtpm`, a TPM 2.0 in software.
pub const SWTPM: Tool = Tool {
    program: "swtpm",
    debian: "swtpm",
    elsewhere: "install swtpm (`dnf install swtpm`, `brew install swtpm`)",
};

impl Tool {
    /// The program's path, if the machine has it.
    pub fn find(&self) -> Option<PathBuf> {
        find(self.program)
    }

    /// The program's path; installs its package first where that is possible.
    pub fn require(&self) -> Result<PathBuf> {
        if let Some(path) = self.find() {
            return Ok(path);
        }
        install(&[self.debian])?;
        match self.find() {
            Some(path) => Ok(path),
            None if has_apt() => {
                bail!("{} is missing: apt-get install {} (as root)", self.program, self.debian)
            }
            None => bail!("{} is missing: {}", self.program, self.elsewhere),
        }
    }
}

/// Looks for a program in `PATH` and in the directories of system programs that a user's `PATH` leaves out.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

/// Is this a machine whose packages come by apt?
pub fn has_apt() -> bool {
    find("apt-get").is_some() && Path::new("/etc/apt").is_dir()
}

/// Do we run as root?
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Installs Debian packages when we are root on a machine with apt; does nothing elsewhere, because the caller then
/// says what is missing.
pub fn install(packages: &[&str]) -> Result<()> {
    if !is_root() || !has_apt() {
        return Ok(());
    }
    eprintln!("installing {}", packages.join(" "));
    if !apt_install(packages)? {
        // A machine that was just made has no package lists yet.
        workspace::run(Command::new("apt-get").args(["update", "-qq"]).stdout(Stdio::null()))?;
        if !apt_install(packages)? {
            bail!("apt-get install {} failed", packages.join(" "));
        }
    }
    Ok(())
}

fn apt_install(packages: &[&str]) -> Result<bool> {
    let status = Command::new("apt-get")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(["-o", "DPkg::Lock::Timeout=300"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    Ok(status.success())
}
