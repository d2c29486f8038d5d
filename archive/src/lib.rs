//! Readings as Parquet files: written, read, merged.
