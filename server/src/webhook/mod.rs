//! The way out: events signed by Standard Webhooks, posted to addresses that customers chose.

mod connect;
mod metrics;
mod post;
mod sign;

pub use connect::{Outbound, OutboundError, Resolver};
pub use metrics::WebhookMetrics;
pub use sign::{public_key, secret_text, signatures};
