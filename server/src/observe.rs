//! What an operator can see from outside: log lines and metrics.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use tracing_subscriber::{
    Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{config::LogFormat, model::time::Timestamp, webhook::WebhookMetrics};

mod fleet;

pub use fleet::FleetMetrics;

/// Sends log lines to stderr. Does nothing when a subscriber is there already (in tests).
pub fn init_logging(filter: &str, format: LogFormat) {
    // The configuration has checked the filter.
    let targets: Targets =
        filter.parse().unwrap_or_else(|_| Targets::new().with_default(tracing::Level::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // One filter for all: what is switched off is decided once for each place in the code.
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
}

/// Counters of this process, for Prometheus.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    seconds: Family<MethodLabels, Histogram, fn() -> Histogram>,
    connections: Gauge<i64, AtomicI64>,
    handshakes: Family<OutcomeLabels, Counter>,
    statements: Gauge<u64, AtomicU64>,
    storage_full: Counter,
    otlp_rejected: Family<ReasonLabels, Counter>,
    /// When the log was told last that data points were rejected, as below.
    rejected_said_at: AtomicI64,
    forged: Counter,
    lives: Family<RoleLabels, Gauge<i64, AtomicI64>>,
    webhooks: WebhookMetrics,
    fleet: FleetMetrics,
    /// When the log was told last that a disk is full, in milliseconds; 0 for never.
    full_said_at: AtomicI64,
}

/// What is refused call by call is said in the log so often: a full disk, data points of a collector.
const SAY_EVERY: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    method: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabels {
    role: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("slipwayd");
        let calls = Family::default();
        let seconds: Family<MethodLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(call_histogram);
        let connections = Gauge::default();
        let handshakes = Family::default();
        let statements = Gauge::default();
        let storage_full = Counter::default();
        registry.register("calls", "Calls answered, by method and status", calls.clone());
        registry.register("call_seconds", "Time to the head of the answer", seconds.clone());
        registry.register("connections", "Open connections", connections.clone());
        registry.register("handshakes", "TLS handshakes, by outcome", handshakes.clone());
        registry.register(
            "storage_full_refusals",
            "Calls refused because a disk is full",
            storage_full.clone(),
        );
        let otlp_rejected = Family::default();
        registry.register(
            "otlp_rejected",
            "OTLP data points that were not taken, by reason",
            otlp_rejected.clone(),
        );
        let forged = Counter::default();
        registry.register(
            "forged_documents",
            "Times that a stored document was not the one that was signed, and was not served",
            forged.clone(),
        );
        let lives = Family::default();
        registry.register(
            "signature_seconds_left",
            "Time until the newest signed document of a role expires",
            lives.clone(),
        );
        registry.register("database_statements", "Statements since start", statements.clone());
        let webhooks = WebhookMetrics::register(&mut registry);
        let fleet = FleetMetrics::register(&mut registry);
        let full_said_at = AtomicI64::new(0);
        Metrics(Arc::new(Inner {
            registry,
            calls,
            seconds,
            connections,
            handshakes,
            statements,
            storage_full,
            otlp_rejected,
            rejected_said_at: AtomicI64::new(0),
            forged,
            lives,
            webhooks,
            fleet,
            full_said_at,
        }))
    }

    /// One call was answered.
    pub fn call(&self, method: &'static str, code: &'static str, took: Duration) {
        self.0.calls.get_or_create(&CallLabels { method, code }).inc();
        self.0.seconds.get_or_create(&MethodLabels { method }).observe(took.as_secs_f64());
    }

    /// Those of webhooks.
    pub fn webhooks(&self) -> &WebhookMetrics {
        &self.0.webhooks
    }

    /// Those of the fleet.
    pub fn fleet(&self) -> &FleetMetrics {
        &self.0.fleet
    }

    /// A call was refused because a disk is full; true when the log has not been told of late.
    pub fn storage_full(&self, now: Timestamp) -> bool {
        self.0.storage_full.inc();
        is_due(&self.0.full_said_at, now)
    }

    /// OTLP data points were rejected, by reason; true when the log has not been told of late.
    pub fn otlp_rejected(
        &self,
        counts: impl IntoIterator<Item = (&'static str, usize)>,
        now: Timestamp,
    ) -> bool {
        for (reason, points) in counts {
            let points = u64::try_from(points).unwrap_or(u64::MAX);
            self.0.otlp_rejected.get_or_create(&ReasonLabels { reason }).inc_by(points);
        }
        is_due(&self.0.rejected_said_at, now)
    }

    /// A stored document is not the one that was signed. It is not served, and somebody should know.
    pub fn forged(&self) {
        self.0.forged.inc();
    }

    /// How long the newest document of each signed role lives, in seconds; negative when it is over.
    pub fn lives(&self, roles: impl IntoIterator<Item = (String, i64)>) {
        self.0.lives.clear();
        for (role, seconds) in roles {
            self.0.lives.get_or_create(&RoleLabels { role }).set(seconds);
        }
    }

    /// A handshake ended: "ok", "failed" or "timeout".
    pub fn handshake(&self, outcome: &'static str) {
        self.0.handshakes.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// A connection opened; it counts until the value is dropped.
    pub fn connection(&self) -> OpenConnection {
        self.0.connections.inc();
        OpenConnection(self.0.connections.clone())
    }

    /// Everything in Prometheus's text format. `statements` is the store's own count.
    pub fn text(&self, statements: u64) -> String {
        self.0.statements.set(statements);
        let mut out = String::new();
        if encode(&mut out, &self.0.registry).is_err() {
            // Writing to a String does not fail.
            let _ = writeln!(out, "# encoding failed");
        }
        out
    }
}

/// Whether something that was said last at `said` is to be said again; then it counts as said now.
fn is_due(said: &AtomicI64, now: Timestamp) -> bool {
    let due = now.before(SAY_EVERY).millis();
    said.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
        (last == 0 || last <= due).then_some(now.millis())
    })
    .is_ok()
}

/// Counts one open connection.
#[derive(Debug)]
pub struct OpenConnection(Gauge<i64, AtomicI64>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn call_histogram() -> Histogram {
    // From a check-in that touches nothing (50 µs) to the longest call.
    Histogram::new([0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_said_once_a_minute_and_counted_each_time() {
        let metrics = Metrics::new();
        let said: Vec<bool> = [100, 101, 159, 160, 161]
            .map(|second| metrics.storage_full(Timestamp::from_seconds(second)))
            .into();
        assert_eq!(said, [true, false, false, true, false]);
        assert!(metrics.text(0).contains("slipwayd_storage_full_refusals_total 5"), "{}", metrics.text(0));
    }

    #[test]
    fn what_prometheus_reads() {
        let metrics = Metrics::new();
        metrics.call("FleetService/ListDevices", "OK", Duration::from_millis(2));
        let open = metrics.connection();
        let text = metrics.text(7);
        assert!(
            text.contains("slipwayd_calls_total{method=\"FleetService/ListDevices\",code=\"OK\"} 1"),
            "{text}"
        );
        assert!(text.contains("slipwayd_connections 1"), "{text}");
        assert!(text.contains("slipwayd_database_statements 7"), "{text}");
        drop(open);
        assert!(metrics.text(7).contains("slipwayd_connections 0"));
    }
}
