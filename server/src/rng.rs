//! The only file that seeds randomness.

use std::sync::{Arc, Mutex, PoisonError};

use rand::{Rng as _, SeedableRng as _, TryRng as _, rngs::StdRng};

/// A shared source of random bytes: from the system, or seeded by a test.
#[derive(Clone, Debug)]
pub struct Rng(Arc<Mutex<StdRng>>);

impl Rng {
    /// Seeded by the operating system; fails where it has no randomness to give.
    pub fn system() -> std::io::Result<Self> {
        let mut seed = [0; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut seed).map_err(std::io::Error::other)?;
        Ok(Rng(Arc::new(Mutex::new(StdRng::from_seed(seed)))))
    }

    /// Always the same, for tests.
    pub fn seeded(seed: u64) -> Self {
        Rng(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// `N` random bytes, good enough for secrets.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut out);
        out
    }

    /// Uniform in [0, 1).
    pub fn unit(&self) -> f64 {
        let bits = u64::from_le_bytes(self.bytes()) >> 11;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
        let numerator = bits as f64;
        numerator / 9_007_199_254_740_992.0
    }
}
