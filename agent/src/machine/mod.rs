//! One update at a time, from intent to outcome: pure.
//!
//! [`step()`] takes what is known (a [`Snapshot`]), one [`Event`] and the time, and returns what is
//! known next and what to do. The shell makes the new snapshot durable *before* it does anything.
//! Whatever is done is idempotent, because a power cut may have it done twice.
//!
//! After every start the outcome of what was done is read from the world, not from memory: that is
//! [`judge()`].

mod bitmap;
mod event;
mod judge;
mod memory;
mod state;
mod step;

pub use bitmap::Bitmap;
pub use event::{Effect, Event, Offer, World};
pub use judge::judge;
pub use memory::{ATTEMPTS, Failures, Memory, QUARANTINE, Report, Snapshot, Step};
pub use state::{Installed, Progress, Reason, Release, Slot, State, Work};
pub use step::{Unexpected, step};

#[cfg(test)]
mod model;
#[cfg(test)]
mod table;
