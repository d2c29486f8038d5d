//! What an operator can see of webhooks from outside.

use std::{sync::atomic::AtomicI64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Counters of deliveries.
#[derive(Clone, Debug)]
pub struct WebhookMetrics {
    attempts: Family<OutcomeLabels, Counter>,
    seconds: Histogram,
    given_up: Counter,
    disabled: Counter,
    endpoints: Family<HealthLabels, Gauge<i64, AtomicI64>>,
    waiting: Gauge<i64, AtomicI64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HealthLabels {
    health: &'static str,
}

impl WebhookMetrics {
    /// All at zero, shown by `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = WebhookMetrics {
            attempts: Family::default(),
            // From a receiver next door to the longest attempt.
            seconds: Histogram::new([0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 15.0]),
            given_up: Counter::default(),
            disabled: Counter::default(),
            endpoints: Family::default(),
            waiting: Gauge::default(),
        };
        registry.register(
            "webhook_attempts",
            "Events sent to webhooks, by outcome",
            metrics.attempts.clone(),
        );
        registry.register("webhook_attempt_seconds", "Time of an attempt", metrics.seconds.clone());
        registry.register(
            "webhook_given_up",
            "Events given up after their last attempt",
            metrics.given_up.clone(),
        );
        registry.register(
            "webhook_disabled",
            "Webhooks that were disabled because nothing got through",
            metrics.disabled.clone(),
        );
        registry.register("webhooks", "Webhooks, by health", metrics.endpoints.clone());
        registry.register(
            "webhook_deliveries_waiting",
            "Events put down for a webhook and not taken yet",
            metrics.waiting.clone(),
        );
        metrics
    }

    /// One attempt was made.
    pub fn attempt(&self, is_taken: bool, took: Duration) {
        let outcome = if is_taken { "taken" } else { "failed" };
        self.attempts.get_or_create(&OutcomeLabels { outcome }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// An event was given up.
    pub fn given_up(&self) {
        self.given_up.inc();
    }

    /// A webhook was disabled.
    pub fn disabled(&self) {
        self.disabled.inc();
    }

    /// How many webhooks work, fail and are disabled, and how many events wait.
    pub fn stand(&self, [working, failing, disabled]: [i64; 3], waiting: i64) {
        for (health, count) in [("working", working), ("failing", failing), ("disabled", disabled)] {
            self.endpoints.get_or_create(&HealthLabels { health }).set(count);
        }
        self.waiting.set(waiting);
    }
}
