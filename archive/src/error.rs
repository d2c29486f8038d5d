//! Why a file could not be written or read.

/// See the variants.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The writer below, or values that cannot be written.
    #[error("the file cannot be written")]
    Write(#[source] parquet::errors::ParquetError),
    /// Not a Parquet file, or a damaged one.
    #[error("the file is damaged")]
    Damaged(#[source] parquet::errors::ParquetError),
    /// A Parquet file, and not one of readings.
    #[error("the file holds no readings: {0}")]
    Foreign(String),
}
