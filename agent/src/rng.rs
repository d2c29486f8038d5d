//! Randomness: the only place that asks the machine for it.

use std::{fs::File, io, io::Read as _};

use rand::{SeedableRng as _, rngs::StdRng};

/// A generator seeded by the kernel.
///
/// # Errors
/// When `/dev/urandom` cannot be read.
pub fn from_kernel() -> io::Result<StdRng> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(StdRng::from_seed(seed))
}
