//! Whether a release that everybody signed may be installed on *this* device.

use thiserror::Error;

use crate::release::ReleaseEntry;

/// What a device knows of itself, never of the server.
#[derive(Debug, Clone, Copy)]
pub struct DeviceFacts<'a> {
    /// Its product.
    pub product: &'a str,
    /// Its hardware model.
    pub hardware: &'a str,
    /// Counter of the release it runs; 0 when it was never updated.
    pub installed: u64,
    /// Counter below which it never goes.
    pub floor: u64,
}

/// Why a well-signed release is not for this device.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A release of another product.
    #[error("{release} is not a release of the product {product}")]
    ForeignProduct {
        /// The release.
        release: String,
        /// The device's product.
        product: String,
    },
    /// The publishers did not sign it for this hardware.
    #[error("{release} is for the hardware {signed}, this device is {hardware}")]
    Hardware {
        /// The release.
        release: String,
        /// Models it is for, comma separated.
        signed: String,
        /// The device's model.
        hardware: String,
    },
    /// Security rollback: below what the device has committed to.
    #[error("{release} has the counter {counter}, below this device's floor {floor}")]
    BelowFloor {
        /// The release.
        release: String,
        /// Its counter.
        counter: u64,
        /// The device's floor.
        floor: u64,
    },
    /// Another release has to be installed on the way.
    #[error("{release} needs counter {min_from} installed, this device runs {installed}")]
    SteppingStone {
        /// The release.
        release: String,
        /// Counter needed.
        min_from: u64,
        /// Counter installed.
        installed: u64,
    },
}

impl Refusal {
    /// Every code that [`Refusal::code`] can answer.
    pub const CODES: &'static [&'static str] =
        &["RELEASE_FOREIGN_PRODUCT", "HARDWARE_MISMATCH", "BELOW_FLOOR", "STEPPING_STONE_REQUIRED"];

    /// The stable reason, in SCREAMING_SNAKE_CASE.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ForeignProduct { .. } => "RELEASE_FOREIGN_PRODUCT",
            Self::Hardware { .. } => "HARDWARE_MISMATCH",
            Self::BelowFloor { .. } => "BELOW_FLOOR",
            Self::SteppingStone { .. } => "STEPPING_STONE_REQUIRED",
        }
    }
}

/// Refuses a release that is not for this device. Going back to an older one is allowed down to the
/// floor: that is an operator's right.
pub fn check_release(entry: &ReleaseEntry, device: &DeviceFacts<'_>) -> Result<(), Refusal> {
    let release = entry.path();
    if entry.product != device.product {
        return Err(Refusal::ForeignProduct { release, product: device.product.to_owned() });
    }
    if !entry.hardware.iter().any(|model| model == device.hardware) {
        let (signed, hardware) = (entry.hardware.join(", "), device.hardware.to_owned());
        return Err(Refusal::Hardware { release, signed, hardware });
    }
    if entry.counter < device.floor {
        return Err(Refusal::BelowFloor { release, counter: entry.counter, floor: device.floor });
    }
    // Going back needs no stepping stone: `min_from` is about the way up.
    if device.installed < entry.min_from {
        let (min_from, installed) = (entry.min_from, device.installed);
        return Err(Refusal::SteppingStone { release, min_from, installed });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    fn release(counter: u64, min_from: u64) -> ReleaseEntry {
        ReleaseEntry {
            product: "pump".to_owned(),
            version: format!("{counter}.0").parse().expect("a version"),
            length: 1,
            sha256: Sha256::of(b""),
            hardware: vec!["gw-a".to_owned(), "gw-b".to_owned()],
            counter,
            floor: 0,
            min_from,
        }
    }

    #[test]
    fn admits_what_fits_and_names_what_does_not() {
        let device = DeviceFacts { product: "pump", hardware: "gw-a", installed: 5, floor: 3 };
        let code = |entry: &ReleaseEntry, device: &DeviceFacts<'_>| {
            check_release(entry, device).map_err(|refusal| refusal.code())
        };
        for (entry, device, expected) in [
            (release(6, 0), device, Ok(())),
            (release(5, 0), device, Ok(())),
            (release(4, 0), device, Ok(())),
            (release(3, 0), device, Ok(())),
            (release(2, 0), device, Err("BELOW_FLOOR")),
            (release(9, 5), device, Ok(())),
            (release(9, 6), device, Err("STEPPING_STONE_REQUIRED")),
            (release(4, 2), DeviceFacts { installed: 0, floor: 0, ..device }, Err("STEPPING_STONE_REQUIRED")),
            (release(6, 0), DeviceFacts { hardware: "gw-c", ..device }, Err("HARDWARE_MISMATCH")),
            (release(6, 0), DeviceFacts { product: "gateway", ..device }, Err("RELEASE_FOREIGN_PRODUCT")),
        ] {
            assert_eq!(code(&entry, &device), expected, "{entry:?} on {device:?}");
        }
    }
}
