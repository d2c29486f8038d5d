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
    "usr/lib/*/gconv",
    "usr/lib/modules/*/kernel/arch/x86/kvm",
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/zoneinfo/posix",
    "usr/share/zoneinfo/right",
];

/// Parts of the kernel package that a device has no use for, below the directory of its modules.
const MODULES_LEFT_OUT: &[&str] = &[
    "drivers/comedi",
    "drivers/gpu",
    "drivers/hid",
    "drivers/infiniband",
    "drivers/md",
    "drivers/media",
    "drivers/net/ethernet",
    "drivers/nvdimm",
    "drivers/scsi",
    "drivers/staging",
    "drivers/target",
    "fs/btrfs",
    "fs/ceph",
    "fs/cifs",
    "fs/f2fs",
    "fs/gfs2",
    "fs/jfs",
    "fs/nfs",
    "fs/nfsd",
    "fs/ocfs2",
    "fs/reiserfs",
    "fs/smb",
    "fs/ubifs",
    "fs/xfs",
    "net/bluetooth",
    "net/ceph",
    "net/mac80211",
    "net/openvswitch",
    "net/rds",
    "net/sctp",
    "net/smc",
    "net/sunrpc",
    "net/tipc",
    "net/wireless",
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
        let mut apt = Apt::open(dir.join("apt"))?;
        let kernels = apt.kernels()?;
        let packages: Vec<&str> = [BASE, MQTT, FIREWALL]
            .into_iter()
            .flatten()
            .flat_map(|names| names.split('|'))
            .chain(kernels.iter().map(String::as_str))
            .collect();
        apt.look_up(&packages)?;
        note("downloading packages, once");
        Ok(Self { apt, kernels })
    }

    fn add(&self, packages: &[&str], age: Age, tree: &Path) -> Result<()> {
        let wanted: Vec<_> = packages.iter().map(|names| self.apt.pick(names, age)).collect::<Result<_>>()?;
        for deb in self.apt.download(&wanted)? {
            unpack(&deb, tree)?;
        }
        Ok(())
    }
}

impl Source for Debian {
    fn name(&self) -> &'static str {
        "Debian packages"
    }

    fn fill(&self, version: &str, tree: &Path) -> Result<String> {
        let newest = self.kernels.first().context("no kernel is on offer")?;
        let (age, kernel, added) = match version {
            "1.0.0" => (Age::Oldest, self.kernels.get(1).unwrap_or(newest), &[][..]),
            _ => (Age::Newest, newest, MQTT),
        };
        let mut packages = vec![kernel.as_str()];
        packages.extend(BASE.iter().chain(added));
        self.add(&packages, age, tree)?;
        for pattern in LEFT_OUT {
            leave_out(tree, pattern)?;
        }
        for part in MODULES_LEFT_OUT {
            leave_out(tree, &format!("usr/lib/modules/*/kernel/{part}"))?;
        }
        Ok(format!("kernel {}", kernel.trim_start_matches("linux-image-")))
    }

    fn extend(&self, tree: &Path) -> Result<()> {
        self.add(FIREWALL, Age::Newest, tree)?;
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
            Ok(entries) => entries.map(|entry| Ok(entry?.path().join(rest))).collect::<Result<_>>()?,
        },
    };
    for path in candidates {
        if path.is_dir() {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}
