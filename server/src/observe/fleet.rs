//! How the fleet stands, for whoever watches the server.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::model::{alert::Severity, condition::AlertCount, device::DeviceState, time::Timestamp};

/// How old the gauges may be: who scrapes more often reads the same again.
const FRESH: Duration = Duration::from_secs(15);

/// Gauges of devices and alerts.
#[derive(Clone, Debug)]
pub struct FleetMetrics {
    devices: Family<StateLabels, Gauge<i64, AtomicI64>>,
    alerts: Family<AlertLabels, Gauge<i64, AtomicI64>>,
    /// When they were counted last, in milliseconds.
    counted_at: Arc<AtomicI64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlertLabels {
    severity: &'static str,
    suppressed: &'static str,
}

impl FleetMetrics {
    /// Shown by `registry`, empty until they were counted.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = FleetMetrics {
            devices: Family::default(),
            alerts: Family::default(),
            counted_at: Arc::new(AtomicI64::new(i64::MIN)),
        };
        registry.register("devices", "Devices, by state", metrics.devices.clone());
        registry.register(
            "alerts",
            "Alerts that are not resolved, by severity; suppressed ones wake nobody",
            metrics.alerts.clone(),
        );
        metrics
    }

    /// Whether it is time to count again; then whoever asked does it, and nobody else for a while.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let due = now.before(FRESH).millis();
        let counted = |at| (at <= due || at > now.millis()).then_some(now.millis());
        self.counted_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted).is_ok()
    }

    /// How many there are.
    pub fn stand(&self, devices: &[(DeviceState, usize)], alerts: &[AlertCount]) {
        for (state, count) in devices {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.devices.get_or_create(&StateLabels { state: state.as_str() }).set(count);
        }
        for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
            for (suppressed, is_suppressed) in [("false", false), ("true", true)] {
                let found =
                    alerts.iter().find(|one| one.severity == severity && one.is_suppressed == is_suppressed);
                let labels = AlertLabels { severity: severity.as_str(), suppressed };
                self.alerts.get_or_create(&labels).set(found.map_or(0, |one| one.count));
            }
        }
    }
}
