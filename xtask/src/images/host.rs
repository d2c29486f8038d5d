//! A firmware from the files of this machine, where there is no apt: its kernel, its shell and commands with the
//! libraries they load, its time zones and certificate authorities.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Source;
use crate::{tools, workspace};

/// Commands that every version has.
const BASE: &[&str] = &[
    "sh", "cat", "cp", "date", "dd", "df", "echo", "grep", "head", "hostname", "id", "kill", "ls", "mkdir",
    "mount", "mv", "poweroff", "ps", "rm", "sed", "setsid", "sleep", "sort", "sync", "tail", "touch", "tr",
    "umount", "uname", "wc",
];

/// Modules that a virtual machine needs.
const MODULES: &[&str] =
    &["drivers/block", "drivers/virtio", "drivers/net/virtio_net.ko", "fs/ext4", "fs/jbd2", "lib", "crypto"];

/// Commands that 2.0.0 adds, those of them that the machine has.
const ADDED: &[&str] = &["openssl", "curl", "awk", "find", "tar", "gzip", "xz"];

/// Commands that 2.1.0 adds.
const FIREWALL: &[&str] = &["nft", "iptables", "ip", "ss"];

/// Where systems keep the certificate authorities, all in one file.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The machine itself.
pub struct Host;

impl Source for Host {
    fn name(&self) -> &'static str {
        "files of this machine"
    }

    fn fill(&self, version: &str, tree: &Path) -> Result<String> {
        let kernel = kernel(&rustix::system::uname().release().to_string_lossy());
        if let Some((path, release)) = &kernel {
            copy(path, &tree.join(format!("boot/vmlinuz-{release}")))?;
            let modules = Path::new("/lib/modules").join(release).join("kernel");
            for part in MODULES {
                let to = tree.join("usr/lib/modules").join(release).join("kernel").join(part);
                copy_all(&modules.join(part), &to)?;
            }
        }
        if let Some(busybox) = tools::find("busybox") {
            copy(&busybox, &tree.join("usr/bin/busybox"))?;
        }
        commands(BASE, tree)?;
        if version != "1.0.0" {
            commands(ADDED, tree)?;
        }
        copy_all(Path::new("/usr/share/zoneinfo"), &tree.join("usr/share/zoneinfo"))?;
        let bundle = BUNDLES
            .iter()
            .map(Path::new)
            .find(|path| path.is_file())
            .context("this machine has no certificate authorities: install ca-certificates")?;
        copy(bundle, &tree.join("etc/ssl/certs/ca-certificates.crt"))?;
        Ok(kernel.map_or_else(
            || "without a kernel, because this machine's cannot be read: the images do not boot".to_owned(),
            |(_, release)| format!("kernel {release}"),
        ))
    }

    fn extend(&self, tree: &Path) -> Result<()> {
        commands(FIREWALL, tree)
    }
}

/// The kernel that runs, or the newest that can be read, with its version. In a container there may be none.
fn kernel(running: &str) -> Option<(PathBuf, String)> {
    let mut candidates = vec![
        (PathBuf::from(format!("/boot/vmlinuz-{running}")), running.to_owned()),
        (PathBuf::from(format!("/usr/lib/modules/{running}/vmlinuz")), running.to_owned()),
    ];
    let mut others: Vec<_> = fs::read_dir("/boot")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let release = name.strip_prefix("vmlinuz-")?.to_owned();
            Some((path, release))
        })
        .collect();
    others.sort();
    candidates.extend(others.into_iter().rev());
    candidates.into_iter().find(|(path, _)| fs::File::open(path).is_ok())
}

/// Copies commands of the machine, those that it has, with the libraries that they load.
fn commands(names: &[&str], tree: &Path) -> Result<()> {
    let mut libraries = BTreeSet::new();
    for name in names {
        let Some(path) = tools::find(name) else {
            continue;
        };
        copy(&path, &tree.join("usr/bin").join(name))?;
        // A script or a static program has none.
        if let Ok(list) = workspace::output(Command::new("ldd").arg(&path)) {
            libraries.extend(list.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
        }
    }
    for library in libraries {
        let below_root = library.strip_prefix("/").unwrap_or(&library);
        copy(&library, &tree.join(below_root))?;
    }
    Ok(())
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_all(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else if from.is_file() {
        copy(from, to)?;
    }
    Ok(())
}

/// Copies what a path leads to, links followed.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let _ = fs::remove_file(to);
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}
