//! The packages that a firmware is made of.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Source;
use super::packages::{Age, Apt, unpack};

/// What every version has. A library's name differs between Debian releases: the first that exists is taken.
const BASE: &[&str] = &[
    "base-files",
    "busybox-static",
    "ca-certificates",
    "e2fsprogs",
    "libblkid1",
    "libc6",
    "libcom-err2",
    "libext2fs2t64|libext2fs2",
    "libgcc-s1",
    "libmodbus5",
    "libss2",
    "libssl3t64|libssl3",
    "libuuid1",
    "netbase",
    "openssl",
    "tzdata",
    "zlib1g",
];

/// What 2.0.0 adds: the tools to talk MQTT.
const MQTT: &[&str] = &["libcjson1", "libmosquitto1", "mosquitto-clients"];

/// What 2.1.0 adds: a firewall.
const FIREWALL: &[&str] = &[
    "libedit2",
    "libgmp10",
    "libjansson4",
    "libmnl0",
    "libnftables1",
    "libnftnl11",
    "libxtables12",
    "nftables",
];

/// Parts of the packages that a device has no use for.
const LEFT_OUT: &[&str] = &[
    "usr/lib/modules/*/kernel/drivers/gpu",
    "usr/lib/modules/*/kernel/drivers/infiniband",
    "usr/lib/modules/*/kernel/drivers/media",
    "usr/lib/modules/*/kernel/drivers/net/ethernet",
    "usr/lib/modules/*/kernel/drivers/staging",
    "usr/lib/modules/*/kernel/drivers/target",
    "usr/lib/modules/*/kernel/fs/btrfs",
    "usr/lib/modules/*/kernel/fs/ceph",
    "usr/lib/modules/*/kernel/fs/cifs",
    "usr/lib/modules/*/kernel/fs/f2fs",
    "usr/lib/modules/*/kernel/fs/gfs2",
    "usr/lib/modules/*/kernel/fs/jfs",
    "usr/lib/modules/*/kernel/fs/nfs",
    "usr/lib/modules/*/kernel/fs/nfsd",
    "usr/lib/modules/*/kernel/fs/ocfs2",
    "usr/lib/modules/*/kernel/fs/reiserfs",
    "usr/lib/modules/*/kernel/fs/smb",
    "usr/lib/modules/*/kernel/fs/ubifs",
    "usr/lib/modules/*/kernel/fs/xfs",
    "usr/lib/modules/*/kernel/net/bluetooth",
    "usr/lib/modules/*/kernel/net/mac80211",
    "usr/lib/modules/*/kernel/net/wireless",
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
];

/// Debian's archive, as the machine's sources name it.
pub struct Debian {
    apt: Apt,
    kernels: Vec<String>,
}

impl Debian {
    /// Reads the package lists.
    pub fn open(dir: &Path, note: &dyn Fn(&str)) -> Result<Self> {
        note("reading the package lists");
        let apt = Apt::open(dir.join("apt"))?;
        let kernels = apt.kernels()?;
        note(&format!(
            "downloading packages for {} (once)",
            apt.architecture()
        ));
        Ok(Self { apt, kernels })
    }

    fn add(&self, package: &str, age: Age, tree: &Path) -> Result<()> {
        let name = self.apt.first_known(package)?;
        let versions = self.apt.versions(&name)?;
        let version = match age {
            Age::Oldest => versions.last(),
            Age::Newest => versions.first(),
        };
        let version = version.with_context(|| format!("no version of {name} is on offer"))?;
        unpack(&self.apt.download(&name, version)?, tree)
    }
}

impl Source for Debian {
    fn fill(&self, version: &str, tree: &Path) -> Result<String> {
        let newest = self.kernels.first().context("no kernel is on offer")?;
        let (age, kernel, added) = match version {
            "1.0.0" => (Age::Oldest, self.kernels.get(1).unwrap_or(newest), &[][..]),
            _ => (Age::Newest, newest, MQTT),
        };
        self.add(kernel, Age::Newest, tree)?;
        for package in BASE.iter().chain(added) {
            self.add(package, age, tree)?;
        }
        for pattern in LEFT_OUT {
            leave_out(tree, pattern)?;
        }
        Ok(format!("Debian packages with {kernel}"))
    }

    fn extend(&self, tree: &Path) -> Result<()> {
        for package in FIREWALL {
            self.add(package, Age::Newest, tree)?;
        }
        leave_out(tree, "usr/share/doc")?;
        leave_out(tree, "usr/share/man")
    }
}

/// Removes a directory of the tree; one `*` in its path stands for any name.
fn leave_out(tree: &Path, pattern: &str) -> Result<()> {
    let candidates = match pattern.split_once("/*/") {
        None => vec![tree.join(pattern)],
        Some((parent, rest)) => match fs::read_dir(tree.join(parent)) {
            Err(_) => Vec::new(),
            Ok(entries) => entries
                .map(|entry| Ok(entry?.path().join(rest)))
                .collect::<Result<_>>()?,
        },
    };
    for path in candidates {
        if path.is_dir() {
            fs::remove_dir_all(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}
