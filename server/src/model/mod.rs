//! The domain: values and every decision as a pure function of (snapshot, now).
//!
//! Nothing here knows tokio, SQL, gRPC or the clock.

pub mod claim;
pub mod device;
pub mod filter;
pub mod id;
pub mod label;
pub mod page;
pub mod refusal;
pub mod selector;
pub mod time;
pub mod token;
