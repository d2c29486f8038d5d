//! The domain: values and every decision as a pure function of (snapshot, now).
//!
//! Nothing here knows tokio, SQL, gRPC or the clock.

pub mod address;
pub mod admission;
pub mod advance;
pub mod alert;
pub mod alert_raise;
pub(crate) mod alert_text;
pub mod anomaly;
pub mod anomaly_rules;
pub mod archive;
pub mod bucket;
pub mod circumstances;
pub mod claim;
pub mod condition;
pub mod cross_section;
pub mod delivery;
pub mod device;
pub mod enrolment;
pub mod event;
pub mod facts;
pub mod filter;
pub mod fix;
pub mod fleet;
pub mod fleet_shift;
pub mod gate;
pub mod glob;
pub mod id;
pub mod label;
pub mod learned;
pub mod learned_alert;
pub mod life;
pub mod limit;
pub mod obstacle;
pub mod outage;
pub mod page;
pub mod plan;
pub mod range;
pub mod reading;
pub mod refusal;
pub mod release;
pub mod renewal;
pub mod rollout;
#[cfg(test)]
pub(crate) mod rollout_fixtures;
pub mod selector;
pub mod silence;
pub mod specification;
pub mod stepping_stone;
pub mod text;
pub mod time;
pub mod token;
pub mod trust;
pub mod update;
pub mod wave;
pub mod webhook;
