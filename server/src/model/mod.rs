//! The domain: values and every decision as a pure function of (snapshot, now).
//!
//! Nothing here knows tokio, SQL, gRPC or the clock.

pub mod id;
pub mod refusal;
pub mod time;
