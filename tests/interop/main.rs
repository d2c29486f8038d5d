//! Foreign tools against a running server: whoever knows TUF reads what it serves, and signs what it takes;
//! whoever knows OpenTelemetry hands in metrics.

mod archive;
mod desk;
mod judges;
mod metrics;
mod reading;
mod signing;
mod webhooks;
