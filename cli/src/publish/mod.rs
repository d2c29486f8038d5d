//! Publishing a release: what happens on the publisher's machine.
//!
//! [`image`] reads the image twice, once to cut it and once to send what is missing; [`current`]
//! verifies what the server says is published, because the new signature vouches for all of it;
//! [`sign`] writes the new documents; [`upload`] sends segments.

pub mod current;
pub mod image;
pub mod sign;
pub mod upload;
