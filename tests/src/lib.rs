//! The real thing for tests: a server on a real port with real TLS, real databases, real agents.

pub mod bare;
pub mod call_log;
pub mod clock;
pub mod cpu;
pub mod desk;
pub mod drawer;
pub mod fleet;
pub mod member;
pub mod operator;
pub mod postgres;
pub mod processes;
pub mod proof;
pub mod raw;
pub mod receiver;
pub mod relay;
pub mod s3;
pub mod swtpm;
pub mod world;
