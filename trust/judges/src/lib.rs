//! Nothing of its own: the judges are its tests and its binaries.
