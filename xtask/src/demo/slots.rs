//! What is really in a device's slots, read from its disk: not what anybody says about it.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::images::Image;

/// Which slot a device boots from, and which one it keeps for the next update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boots {
    /// `a` or `b`.
    pub default: char,
    /// The other one.
    pub spare: char,
}

/// Reads the boot loader's variables.
pub fn boots(disk: &Path) -> Result<Boots> {
    let path = disk.join("boot.env");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(str::trim)
            .unwrap_or_default()
    };
    let (default, running) = (value("default"), value("running"));
    if default != running {
        bail!("{} boots slot {default} by default, but runs {running}", path.display());
    }
    match default {
        "a" => Ok(Boots { default: 'a', spare: 'b' }),
        "b" => Ok(Boots { default: 'b', spare: 'a' }),
        other => bail!("{} names no slot: default={other}", path.display()),
    }
}

/// Compares a slot with an image byte for byte; returns how many bytes were compared.
pub fn compare(disk: &Path, slot: char, image: &Image) -> Result<u64> {
    let path = disk.join(format!("slot-{slot}.img"));
    let open = |path: &Path| -> Result<File> {
        File::open(path).with_context(|| format!("cannot open {}", path.display()))
    };
    let slot_file = open(&path)?;
    let length = slot_file.metadata()?.len();
    if length != image.bytes {
        bail!("{} has {length} bytes, firmware {} has {}", path.display(), image.version, image.bytes);
    }
    let mut slot_bytes = BufReader::with_capacity(1 << 20, slot_file);
    let mut image_bytes = BufReader::with_capacity(1 << 20, open(&image.path)?);
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut at = 0;
    while at < length {
        let size = usize::try_from((length - at).min(1 << 20))?;
        slot_bytes.read_exact(&mut left[..size])?;
        image_bytes.read_exact(&mut right[..size])?;
        if left[..size] != right[..size] {
            let within = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
            bail!(
                "{} differs from firmware {} at byte {}",
                path.display(),
                image.version,
                at + within as u64
            );
        }
        at += size as u64;
    }
    Ok(length)
}
