//! One segment as one zstd frame.

use thiserror::Error;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use crate::segment::SEGMENT_SIZE;

/// Level 3: within some percent of the best for images, at a hundred times its speed.
const LEVEL: i32 = 3;
/// A window of one segment, 2^20: what a device allocates to decode.
const WINDOW_LOG: u32 = SEGMENT_SIZE.trailing_zeros();

/// Why a segment was not encoded.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// Empty, or more than 1 MiB.
    #[error("a segment of {0} bytes is not between 1 and 1,048,576")]
    Length(usize),
    /// The compressor failed, which takes a lack of memory.
    #[error("the compressor failed")]
    Compressor(#[source] std::io::Error),
}

/// The frame of a segment. The same bytes and the same build give the same frame.
pub fn encode(decoded: &[u8]) -> Result<Vec<u8>, EncodeError> {
    if decoded.is_empty() || decoded.len() > SEGMENT_SIZE as usize {
        return Err(EncodeError::Length(decoded.len()));
    }
    let mut compressor = Compressor::new(LEVEL).map_err(EncodeError::Compressor)?;
    compressor.set_parameter(CParameter::WindowLog(WINDOW_LOG)).map_err(EncodeError::Compressor)?;
    // The digest of the content is in the signed manifest: a checksum of zstd's would add nothing.
    compressor.set_parameter(CParameter::ChecksumFlag(false)).map_err(EncodeError::Compressor)?;
    compressor.compress(decoded).map_err(EncodeError::Compressor)
}
