//! A directory as an ext4 image, without root and without mounting: the same directory makes the same bytes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::tools;

/// Identity of the file system. The same in every version, because a slot's boot loader entry may name it, and because
/// two versions should differ only where their files do.
const UUID: &str = "5112a7e0-0000-4000-8000-736c69707761";

/// Block size of the file system, bytes.
const BLOCK: u64 = 4096;

/// Files and directories below a directory, itself left out, in the order of their names; paths begin with `/`.
fn listing(tree: &Path) -> Result<Vec<(String, fs::Metadata)>> {
    let mut all = Vec::new();
    let mut pending = vec![String::new()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(tree.join(dir.trim_start_matches('/')))? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().with_context(|| format!("a file name below {dir}/ is not UTF-8"))?;
            let path = format!("{dir}/{name}");
            let metadata = entry.path().symlink_metadata()?;
            if metadata.is_dir() {
                pending.push(path.clone());
            }
            all.push((path, metadata));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

/// How large an image must be for this directory, bytes: its blocks, room for the file system's own tables, a little
/// to spare; a multiple of 4 MiB.
pub fn size_for(tree: &Path) -> Result<u64> {
    let mut blocks = 0;
    let mut inodes = 0;
    for (_, metadata) in listing(tree)? {
        inodes += 1;
        blocks += metadata.len().div_ceil(BLOCK).max(1);
    }
    let bytes = blocks * BLOCK + inodes * 512;
    let step = 4 << 20;
    Ok((bytes + bytes / 32).div_ceil(step) * step)
}

/// Writes the image: `size` bytes, every file root's, every date `epoch` (seconds).
pub fn make(tree: &Path, image: &Path, size: u64, epoch: i64) -> Result<()> {
    let mkfs = tools::MKFS.require()?;
    let files = listing(tree)?;
    let time = Timespec { tv_sec: epoch, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    for (path, _) in &files {
        let path = tree.join(path.trim_start_matches('/'));
        utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW)
            .with_context(|| format!("cannot date {}", path.display()))?;
    }
    utimensat(CWD, tree, &times, AtFlags::empty())?;

    let _ = fs::remove_file(image);
    crate::workspace::output(
        Command::new(mkfs)
            .args(["-q", "-F", "-b", &BLOCK.to_string(), "-m", "0"])
            .args(["-U", UUID, "-L", "slipway"])
            .args(["-N", &(files.len() + 256).to_string()])
            // A slot is mounted read-only: a journal would be 4 MiB of nothing.
            .args(["-O", "^has_journal,^resize_inode"])
            .args(["-E", &format!("hash_seed={UUID},root_owner=0:0,lazy_itable_init=0")])
            .arg("-d")
            .arg(tree)
            .arg(image)
            .arg(format!("{}k", size / 1024))
            .env("E2FSPROGS_FAKE_TIME", epoch.to_string())
            .env("SOURCE_DATE_EPOCH", epoch.to_string()),
    )?;
    settle(image, &files, epoch)
}

/// Sets what no one can set on a file before it is copied: the time of its last change of status, and, for a user who
/// is not root, its owner.
fn settle(image: &Path, files: &[(String, fs::Metadata)], epoch: i64) -> Result<()> {
    let mut script = String::new();
    let paths = files.iter().map(|(path, _)| path.as_str());
    for path in std::iter::once("/").chain(paths) {
        for (field, value) in [
            ("ctime", format!("@{epoch}")),
            ("ctime_extra", "0".to_owned()),
            ("uid", "0".to_owned()),
            ("gid", "0".to_owned()),
        ] {
            script.push_str(&format!("set_inode_field \"{path}\" {field} {value}\n"));
        }
    }
    let mut debugfs = Command::new(tools::DEBUGFS.require()?)
        .args(["-w", "-f", "-"])
        .arg(image)
        .env("E2FSPROGS_FAKE_TIME", epoch.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start debugfs")?;
    debugfs.stdin.take().context("debugfs has no input")?.write_all(script.as_bytes())?;
    let status = debugfs.wait()?;
    if !status.success() {
        bail!("debugfs could not edit {}: {status}", image.display());
    }
    Ok(())
}

/// Copies a file out of an image.
pub fn extract(image: &Path, path: &str, to: &Path) -> Result<()> {
    let bytes = crate::workspace::output_bytes(
        Command::new(tools::DEBUGFS.require()?).args(["-R", &format!("cat {path}")]).arg(image),
    )?;
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
}
