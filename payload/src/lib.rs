//! How an artifact travels: cut into segments, each encoded on its own, verified before it is used.
//!
//! An artifact is cut into segments of 1 MiB ([`segment`]); each travels as one zstd frame
//! ([`encode`](mod@encode), [`decode`](mod@decode)). What comes out of a decoder is a
//! [`VerifiedSegment`]: the only thing that a slot may be written from, and nothing else makes one.
//! A [`bundle`] is a whole release in one file, for devices without a network.
//! Later encodings (a delta against what the device has) end in the same type, and what they yield is
//! checked against the same digests; nobody but this crate knows that there is more than one.

pub mod bundle;
pub mod cut;
pub mod decode;
pub mod encode;
pub mod segment;

pub use cut::{Cut, CutError, cut};
pub use decode::{DecodeError, VerifiedSegment, check_frame, decode, matches, verify_plain};
pub use encode::{EncodeError, encode};
pub use segment::{FRAME_MAX, LayoutError, SEGMENT_SIZE, Segment, segments};
