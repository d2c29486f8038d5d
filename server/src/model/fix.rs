//! Fixes: which release is said to end a failure mode.

use slipway_trust::Version;

use super::{filter::Subject, selector::Selector, time::Timestamp};

/// All of them are looked at for every alert that changes.
pub const MAX_FIXES: usize = 1000;

/// A release that ends a failure mode, and every later one with it.
#[derive(Clone, Debug)]
pub struct Fix {
    /// Chosen by whoever made it.
    pub id: String,
    /// What it ends.
    pub failure_mode: String,
    /// The product of the release.
    pub product: String,
    /// The first version that has the fix.
    pub version: Version,
    /// Which devices it helps; empty means all that run something older.
    pub selector: Selector,
    /// The specification file it was applied from, by its name.
    pub managed_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}

impl Fix {
    /// The release, `releases/PRODUCT/VERSION`.
    pub fn release(&self) -> String {
        format!("releases/{}/{}", self.product, self.version)
    }

    /// Whether it helps this device with this failure mode. A device that has not said what it runs, or
    /// runs what has no version, is not told to update: nobody knows that it would.
    pub fn helps(&self, failure_mode: &str, device: &impl Subject) -> bool {
        let runs = device.field("version").and_then(|version| version.parse::<Version>().ok());
        self.failure_mode == failure_mode
            && device.field("product").is_some_and(|product| product == self.product.as_str())
            && runs.is_some_and(|version| version < self.version)
            && self.selector.matches(device)
    }
}
