//! A release as its publishers list it in the product's role, and its name.

use crate::digest::Sha256;
use crate::error::Error;
use crate::limits;
use crate::read::Fields;
use crate::targets::{Target, Targets, target_path};
use crate::version::Version;

/// Names that a product may not take: they name roles or folders of the repository, or the file that a
/// device keeps beside the one of its product.
const RESERVED: [&str; 7] =
    ["root", "targets", "snapshot", "timestamp", "director", "assignments", "assignment"];

/// One release in `<product>.json`: everything a device decides by, signed by the publishers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseEntry {
    /// The product, which is also the name of the role that signed it.
    pub product: String,
    /// For people.
    pub version: Version,
    /// Length of the manifest in bytes.
    pub length: u64,
    /// Digest of the manifest.
    pub sha256: Sha256,
    /// Hardware models it is for.
    pub hardware: Vec<String>,
    /// Order among the product's releases, from 1.
    pub counter: u64,
    /// After running this release a device never goes below this counter.
    pub floor: u64,
    /// Needs at least this counter installed; 0 when it needs nothing.
    pub min_from: u64,
}

impl ReleaseEntry {
    /// `<product>/<version>.json`, its target path.
    pub fn path(&self) -> String {
        release_path(&self.product, &self.version)
    }

    /// `assignments/<product>/<version>.json`, as a director names it.
    pub fn assignment_path(&self) -> String {
        format!("assignments/{}", self.path())
    }

    /// Reads the entry that the role of `product` lists under `path`.
    pub fn read(product: &str, path: &str, target: &Target) -> Result<Self, Error> {
        let document = format!("role {product}");
        let bad = |field: &str, problem: &str| Error::Field {
            document: document.clone(),
            field: format!("{path} {field}"),
            problem: problem.to_owned(),
        };
        target_path(path)?;
        let custom = Fields::of(&document, path, &target.custom)?;
        let version: Version = custom
            .string("version")?
            .parse()
            .map_err(|error| bad("version", &format!("is none: {error}")))?;
        if release_path(product, &version) != path {
            return Err(bad("version", "does not belong to this path"));
        }
        let hardware = read_hardware(&custom)?;
        let (counter, floor) = (custom.version("counter")?, custom.integer("floor")?);
        let min_from = custom.integer("min_from")?;
        if floor > counter {
            return Err(bad("floor", "is above the release's own counter"));
        }
        if min_from >= counter {
            return Err(bad("min_from", "is not below the release's own counter"));
        }
        let sha256 = target.sha256.ok_or_else(|| bad("hashes", "has no sha256"))?;
        let length = target.length;
        Ok(Self { product: product.to_owned(), version, length, sha256, hardware, counter, floor, min_from })
    }
}

impl Targets {
    /// Every release of this file, taken as the role of `product`, by counter.
    pub fn releases(&self, product: &str) -> Result<Vec<ReleaseEntry>, Error> {
        let entries = self.targets.iter().map(|(path, target)| ReleaseEntry::read(product, path, target));
        let mut releases = entries.collect::<Result<Vec<_>, Error>>()?;
        releases.sort_by_key(|release| release.counter);
        Ok(releases)
    }
}

/// `<product>/<version>.json`.
pub fn release_path(product: &str, version: &Version) -> String {
    format!("{product}/{version}.json")
}

/// Refuses what is no product name: `[a-z0-9][a-z0-9-]{0,31}`, and not the name of a role.
pub fn product_name(name: &str) -> Result<(), Error> {
    let problem = if name.is_empty() || name.len() > 32 {
        "it has to have 1 to 32 characters"
    } else if name.starts_with('-') {
        "it starts with '-'"
    } else if name.bytes().any(|b| !(b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')) {
        "it may only have a-z, 0-9 and '-'"
    } else if RESERVED.contains(&name) {
        "it is the name of a role"
    } else {
        return Ok(());
    };
    Err(Error::ProductName { name: name.to_owned(), problem })
}

/// Whether `name` can name a component or a hardware model: `[A-Za-z0-9][A-Za-z0-9._-]{0,62}`.
pub fn plain_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    name.len() <= limits::NAME_BYTES
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(plain)
}

/// The list of hardware models, which may not be empty: a release for nobody is a mistake.
pub(crate) fn read_hardware(fields: &Fields<'_>) -> Result<Vec<String>, Error> {
    let models = fields.strings("hardware")?;
    if models.is_empty() || models.len() > limits::HARDWARE_MODELS {
        return Err(fields.error("hardware", format!("has to name 1 to {} models", limits::HARDWARE_MODELS)));
    }
    if let Some(bad) = models.iter().find(|model| !plain_name(model)) {
        return Err(fields.error("hardware", format!("names {bad:?}, which is no model name")));
    }
    Ok(models.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_names() {
        for good in ["pump", "p", "7", "gateway-2", &"x".repeat(32)] {
            assert_eq!(product_name(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "-pump",
            "Pump",
            "pump_1",
            "pump/x",
            "root",
            "director",
            "assignments",
            "assignment",
            &"x".repeat(33),
        ] {
            assert!(product_name(bad).is_err(), "{bad}");
        }
    }
}
