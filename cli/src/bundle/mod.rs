//! A release in one file: gathered from what the server gives out, verified as a device would, and written
//! so that an interrupted run goes on.

pub mod file;
pub mod gather;
