//! The initial RAM file system: busybox, the modules a root disk needs, and a script, as a cpio archive (newc).

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace;

/// The script that mounts the slot.
pub const INIT: &str = include_str!("files/initramfs-init");

/// What a virtual machine's disk and file system need, on every bus; a kernel that has one built in has no such file.
const MODULES: &[&str] = &["virtio_pci", "virtio_mmio", "virtio_blk", "ext4"];

/// Makes the archive: `busybox` is a static one, `modules` the kernel's module directory if it has one.
pub fn build(busybox: &Path, modules: Option<&Path>) -> Result<Vec<u8>> {
    let mut archive = Cpio::default();
    for dir in ["bin", "dev", "lib", "lib/modules", "proc", "slot", "sys"] {
        archive.dir(dir)?;
    }
    archive.file("bin/busybox", 0o755, &fs::read(busybox)?)?;
    archive.file("init", 0o755, INIT.as_bytes())?;
    // The kernel opens it for /init before /init can mount anything.
    archive.console()?;
    let mut order = String::new();
    if let Some(dir) = modules {
        let all = index(dir)?;
        let mut wanted = Vec::new();
        for module in MODULES {
            with_dependencies(module, &all, &mut wanted)?;
        }
        for name in wanted {
            archive.file(&format!("lib/modules/{name}.ko"), 0o644, &read_module(&all[&name])?)?;
            order.push_str(&name);
            order.push_str(".ko\n");
        }
    }
    archive.file("lib/modules/order", 0o644, order.as_bytes())?;
    archive.finish()
}

/// Every module below a directory, by its name as the kernel spells it (`_` for `-`).
fn index(dir: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut all = BTreeMap::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            } else if let Some((stem, _)) = name.split_once(".ko") {
                all.insert(stem.replace('-', "_"), entry.path());
            }
        }
    }
    Ok(all)
}

/// Appends a module after everything it depends on. A name that is no file is built into the kernel.
fn with_dependencies(name: &str, all: &BTreeMap<String, PathBuf>, wanted: &mut Vec<String>) -> Result<()> {
    let name = name.replace('-', "_");
    if wanted.contains(&name) {
        return Ok(());
    }
    let Some(path) = all.get(&name) else {
        return Ok(());
    };
    for dependency in dependencies(&read_module(path)?) {
        with_dependencies(&dependency, all, wanted)?;
    }
    wanted.push(name);
    Ok(())
}

/// The names after `depends=` in a module's information section.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = module[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn read_module(path: &Path) -> Result<Vec<u8>> {
    let program = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(path).with_context(|| format!("cannot read {}", path.display())),
    };
    workspace::output_bytes(Command::new(program).arg("-dcq").arg(path))
}

/// Writes the archive format that the kernel unpacks. Every date is 0 and every owner root, so that the same files make
/// the same archive.
#[derive(Default)]
struct Cpio {
    bytes: Vec<u8>,
    inode: u32,
}

impl Cpio {
    fn dir(&mut self, name: &str) -> Result<()> {
        self.entry(name, 0o040_755, (0, 0), &[])
    }

    fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.entry(name, 0o100_000 | mode, (0, 0), content)
    }

    fn console(&mut self) -> Result<()> {
        self.entry("dev/console", 0o020_600, (5, 1), &[])
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        Ok(self.bytes)
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> Result<()> {
        self.inode += 1;
        let size = u32::try_from(content.len()).context("a file of 4 GiB in an initramfs")?;
        let name_size = u32::try_from(name.len() + 1)?;
        write!(self.bytes, "070701")?;
        let (major, minor) = device;
        for field in [self.inode, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0] {
            write!(self.bytes, "{field:08X}")?;
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_end_with_the_trailer() {
        let mut archive = Cpio::default();
        archive.file("init", 0o755, b"12345").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(&bytes[..6], b"070701");
        // Header and name take 110 + 5 bytes, padded to 116; the content 5, padded to 8.
        assert_eq!(&bytes[116..121], b"12345");
        assert_eq!(&bytes[124..130], b"070701");
        assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
        assert!(bytes.len().is_multiple_of(4));
    }

    #[test]
    fn a_module_names_what_it_depends_on() {
        let module = b"\x7fELF\0license=GPL\0depends=virtio,virtio-ring\0name=x\0";
        assert_eq!(dependencies(module), ["virtio", "virtio-ring"]);
        assert!(dependencies(b"\0depends=\0").is_empty());
    }
}
