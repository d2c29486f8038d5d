//! What the targets share: a repository with its keys, a device that believes it, and the check that a body
//! reads back as it was written.

use std::sync::OnceLock;

use serde_json::Value;
use slipway_trust::fake::{self, Fake};
use slipway_trust::signed::Authority;
use slipway_trust::{Date, Error, TrustedSet};

/// When everything was signed.
pub const NOW: Date = Date::from_unix(1_795_305_600);

/// The repository, signed once.
pub fn repository() -> &'static Fake {
    static FAKE: OnceLock<Fake> = OnceLock::new();
    FAKE.get_or_init(|| Fake::new(NOW))
}

/// A device that believes the repository.
pub fn device() -> TrustedSet {
    static DEVICE: OnceLock<TrustedSet> = OnceLock::new();
    DEVICE.get_or_init(|| repository().device()).clone()
}

/// Who may sign the next root.
pub fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let set = device();
        let root = &set.root().body;
        root.authority(&root.root)
    })
}

/// Signs a body that was read, reads it, and finds the same body.
pub fn again(body: Value, read: impl Fn(&[u8]) -> Result<Value, Error>) {
    let written = fake::signed_value(body.clone(), &[&repository().keys.stranger]);
    assert_eq!(read(&written), Ok(body));
}
