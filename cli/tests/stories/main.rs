//! Whole commands against a server that does what a test tells it: loses connections, lets another
//! publisher come first, keeps what it was sent. The real server is driven by the tests of `slipway-tests`.

mod alerts;
mod commands;
mod publish;
mod releases;
mod server;
