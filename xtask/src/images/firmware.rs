//! What makes a tree of files a firmware: the names it answers to, its first process, its health check, its initramfs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{PRODUCT, Source, initramfs};

/// The first process of a firmware.
pub const INIT: &str = include_str!("files/init");
/// The health check of a firmware.
pub const HEALTH: &str = include_str!("files/health");

/// Date of every file, seconds since 1970: 2026-01-01. A date of the build would make every build another image.
pub const EPOCH: i64 = 1_767_225_600;

/// Where programs look for certificate authorities.
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// Directories that a running system needs to be there.
const MOUNT_POINTS: &[&str] = &["dev", "proc", "sys", "run", "tmp", "data", "root", "var/lib", "etc/slipway"];

/// Commands of busybox that the firmware offers.
const APPLETS: &[&str] = &[
    "sh", "cat", "cp", "cut", "date", "dd", "df", "dmesg", "echo", "free", "grep", "head", "hostname", "id",
    "ip", "kill", "ls", "mkdir", "mount", "mv", "ping", "poweroff", "ps", "reboot", "rm", "sed", "setsid",
    "sleep", "sort", "sync", "tail", "top", "touch", "tr", "udhcpc", "umount", "uname", "uptime", "vi", "wc",
];

/// Fills an empty tree with a version of the firmware and returns where its files came from.
pub fn assemble(source: &dyn Source, version: &str, tree: &Path) -> Result<String> {
    fs::create_dir_all(tree.join("usr"))?;
    for name in ["bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(tree.join("usr").join(name))?;
        symlink(format!("usr/{name}"), tree.join(name))?;
    }
    let origin = source.fill(version, tree)?;
    for dir in MOUNT_POINTS {
        fs::create_dir_all(tree.join(dir))?;
    }
    commands(tree)?;
    bundle(tree)?;
    boot(tree)?;
    for (path, text) in [("usr/sbin/init", INIT), ("usr/lib/slipway/health", HEALTH)] {
        let path = replace(tree, path, text.as_bytes())?;
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
    }
    name(tree, version)?;
    Ok(origin)
}

/// Turns 2.0.0 into a 2.1.0 whose build left out the step that collects the certificate authorities: the file is there,
/// and empty.
pub fn break_it(tree: &Path) -> Result<()> {
    replace(tree, BUNDLE, b"")?;
    name(tree, "2.1.0")
}

fn name(tree: &Path, version: &str) -> Result<()> {
    let text = format!(
        "NAME=\"Slipway {PRODUCT}\"\nID=slipway-{PRODUCT}\nVERSION_ID={version}\nPRETTY_NAME=\"Slipway {PRODUCT} {version}\"\n"
    );
    replace(tree, "etc/os-release", text.as_bytes())?;
    Ok(())
}

/// Links the commands of busybox where nothing better has the name.
fn commands(tree: &Path) -> Result<()> {
    let bin = tree.join("usr/bin");
    if !bin.join("busybox").is_file() {
        return Ok(());
    }
    for applet in APPLETS {
        let taken =
            ["usr/bin", "usr/sbin"].iter().any(|dir| tree.join(dir).join(applet).symlink_metadata().is_ok());
        if !taken {
            symlink("busybox", bin.join(applet))?;
        }
    }
    Ok(())
}

/// Collects the certificate authorities into one file, as the package's own script does on a running system.
fn bundle(tree: &Path) -> Result<()> {
    if tree.join(BUNDLE).is_file() {
        return Ok(());
    }
    let authorities = tree.join("usr/share/ca-certificates/mozilla");
    let mut files: Vec<PathBuf> = fs::read_dir(&authorities)
        .with_context(|| format!("no certificate authorities in {}", authorities.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    let mut text = Vec::new();
    for file in files {
        text.extend(fs::read(file)?);
    }
    replace(tree, BUNDLE, &text)?;
    Ok(())
}

/// Gives the kernel a name that does not change, and makes its initramfs.
fn boot(tree: &Path) -> Result<()> {
    let boot = tree.join("boot");
    fs::create_dir_all(&boot)?;
    let kernel = fs::read_dir(&boot)?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .find_map(|name| Some(name.strip_prefix("vmlinuz-")?.to_owned()));
    let Some(release) = kernel else {
        replace(tree, "etc/slipway/kernel", b"none\n")?;
        return Ok(());
    };
    fs::rename(boot.join(format!("vmlinuz-{release}")), boot.join("vmlinuz"))?;
    replace(tree, "etc/slipway/kernel", format!("{release}\n").as_bytes())?;
    let modules = Some(tree.join("usr/lib/modules").join(&release)).filter(|dir| dir.is_dir());
    let busybox = tree.join("usr/bin/busybox");
    if busybox.is_file() {
        fs::write(boot.join("initrd.img"), initramfs::build(&busybox, modules.as_deref())?)?;
    }
    Ok(())
}

/// Writes a file of the tree in place of whatever is there, be it a link.
fn replace(tree: &Path, path: &str, content: &[u8]) -> Result<PathBuf> {
    let path = tree.join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    if path.symlink_metadata().is_ok() {
        fs::remove_file(&path)?;
    }
    fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
