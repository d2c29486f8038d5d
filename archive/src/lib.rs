//! Readings as Parquet files, which any engine for data opens.
//!
//! A file has the columns `device`, `component`, `metric`, `unit` (text), `time` (milliseconds UTC), `value` (double)
//! and `boot_id` (text); one for people has `class` as well, which stored ones have in their names. Stored files are
//! sorted by device, component, metric and time, so that the readings of one series lie together.
//!
//! The same rows in the same order are the same bytes: what was interrupted is written again, not twice.

mod error;
mod read;
mod row;
mod write;

pub use error::Error;
pub use read::{Footer, Group, TAIL, Wanted, footer_length};
pub use row::{Names, Row};
pub use write::{Columns, GROUP, Summary, Writer};
