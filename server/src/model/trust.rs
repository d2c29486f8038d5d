//! Signed files as the server holds and hands them out. What they say is `slipway_trust`'s business.

use bytes::Bytes;

use super::time::Timestamp;

/// One signed file, byte for byte.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedFile {
    /// Its role: `root`, `targets`, `snapshot`, `timestamp`, `director` or a product.
    pub role: String,
    /// Its version.
    pub version: u64,
    /// The bytes as signed.
    pub bytes: Bytes,
    /// When it expires.
    pub expires_at: Timestamp,
    /// When the server took or signed it.
    pub created_at: Timestamp,
}

/// What a device does not hold yet. Shares the server's copy of the bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// Roots following the device's, in order.
    pub roots: Vec<Bytes>,
    /// Newer timestamp.
    pub timestamp: Option<Bytes>,
    /// Newer snapshot.
    pub snapshot: Option<Bytes>,
    /// Newer top-level targets.
    pub targets: Option<Bytes>,
    /// Newer metadata of the device's product.
    pub product: Option<Bytes>,
    /// Newer assignment of the device.
    pub assignment: Option<Bytes>,
}

impl Delta {
    /// Whether there is nothing new.
    pub fn is_empty(&self) -> bool {
        *self == Delta::default()
    }
}

/// What one device shall run, signed with the server's director key.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The device it is for, and for no other.
    pub device: String,
    /// Grows with each signature for this device.
    pub version: u64,
    /// `releases/{product}/{version}`; none means that the device shall stay as it is.
    pub release: Option<String>,
    /// The document as signed.
    pub bytes: Bytes,
    /// When it expires.
    pub expires_at: Timestamp,
    /// When it was signed.
    pub created_at: Timestamp,
}

impl Assignment {
    /// Whether half of its life is over: time to sign it anew when the device asks next.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now >= self.due_at()
    }

    /// When half of its life is over.
    pub fn due_at(&self) -> Timestamp {
        self.created_at.after(self.expires_at.since(self.created_at) / 2)
    }
}
