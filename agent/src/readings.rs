//! The seam to the readings of the machine: the shell knows when to take and to send them, and nothing
//! else about them.

use std::time::Duration;

use slipway_proto::v1::{DataClass, SendTelemetryRequest};

use crate::machine::Reason;

/// Takes readings, keeps them until the server has them, and knows what its owner allows.
pub trait Readings: Send {
    /// How often to take readings.
    fn interval(&self) -> Duration;

    /// Takes readings now (milliseconds) and keeps them.
    ///
    /// # Errors
    /// When they cannot be kept, for example on a full disk; what was kept before stays.
    fn sample(&mut self, now: i64, boot_id: &str) -> Result<(), Reason>;

    /// The oldest batch that the server does not have yet; the same until it is acknowledged.
    fn batch(&mut self) -> Option<SendTelemetryRequest>;

    /// The server has every batch up to this sequence.
    fn acknowledge(&mut self, sequence: u64);

    /// The classes of data that may leave the device.
    fn consent(&self) -> Vec<DataClass>;

    /// The agent was asked to stop.
    fn stop(&mut self) {}
}
