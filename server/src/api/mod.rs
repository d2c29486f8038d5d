//! gRPC and HTTP: authenticate, convert, map refusals to status. Nothing else.

pub mod status;
