//! What devices of one version or one hardware model have in common: one alert instead of a thousand.

use std::collections::{BTreeMap, BTreeSet};

use slipway_insight::fleet::{Share, is_excess_told};

use super::{
    alert::{Alert, Evidence, Health, Kind, Severity},
    alert_raise::Raised,
    time::Timestamp,
};

/// What fleet alerts are about, as a part: all of the device.
pub const COMPONENT: &str = "fleet";

/// One device, as far as cohorts go. Empty words are not known, and no cohort.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its product: cohorts are compared within one.
    pub product: &'a str,
    /// Version of its system.
    pub version: &'a str,
    /// Its hardware model.
    pub hardware: &'a str,
}

/// By what devices are a cohort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    Version,
    Hardware,
}

/// Devices of one product that share a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cohort<'a> {
    product: &'a str,
    by: By,
    value: &'a str,
}

impl Cohort<'_> {
    fn selector(&self) -> String {
        format!("product = \"{}\" AND {} = \"{}\"", self.product, self.by.field(), self.value)
    }

    fn cause(&self, trouble: &str) -> String {
        format!("fleet/{}/{}/{}/{trouble}", self.product, self.by.field(), self.value)
    }

    /// "12 of 40 devices of pump with version 2.1.0".
    fn words(&self) -> String {
        match self.by {
            By::Version => format!("devices of {} with version {}", self.product, self.value),
            By::Hardware => format!("devices of {} on hardware {}", self.product, self.value),
        }
    }
}

impl By {
    fn field(self) -> &'static str {
        match self {
            By::Version => "version",
            By::Hardware => "hardware",
        }
    }
}

/// Devices with one sort of trouble.
#[derive(Debug, Default)]
struct Trouble<'a> {
    devices: BTreeSet<&'a str>,
    worst: Option<Severity>,
}

/// What makes the alerts of different devices the same trouble: the metric, or what their cause says.
fn trouble_of(alert: &Alert) -> Option<&str> {
    if alert.device_id.is_empty() || alert.kind == Kind::Fleet {
        return None;
    }
    let metric = alert.evidence.metric.as_str();
    Some(if metric.is_empty() { alert.cause.as_str() } else { metric })
}

/// The findings about a fleet with these `members`: `alerts` are those that are not resolved. What is among them a
/// finding already stays one until it is clearly none.
pub fn findings(members: &[Member], alerts: &[Alert], now: Timestamp) -> Vec<FleetFinding> {
    let seats: BTreeMap<&str, &Member> = members.iter().map(|member| (member.id, member)).collect();
    let mut sizes: BTreeMap<Cohort, u32> = BTreeMap::new();
    let mut fleets: BTreeMap<&str, u32> = BTreeMap::new();
    for member in members {
        *fleets.entry(member.product).or_default() += 1;
        for cohort in cohorts(member) {
            *sizes.entry(cohort).or_default() += 1;
        }
    }
    let mut troubles: BTreeMap<&str, Trouble> = BTreeMap::new();
    for alert in alerts {
        let Some(trouble) = trouble_of(alert) else { continue };
        let trouble = troubles.entry(trouble).or_default();
        if seats.contains_key(alert.device_id.as_str()) {
            trouble.devices.insert(&alert.device_id);
            trouble.worst = trouble.worst.max(Some(alert.severity));
        }
    }
    let told: BTreeSet<&str> = alerts
        .iter()
        .filter(|alert| alert.kind == Kind::Fleet && alert.is_living())
        .map(|alert| alert.cause.as_str())
        .collect();

    let mut findings = Vec::new();
    for (name, trouble) in &troubles {
        let mut affected: BTreeMap<Cohort, u32> = BTreeMap::new();
        let mut of_product: BTreeMap<&str, u32> = BTreeMap::new();
        for member in trouble.devices.iter().filter_map(|id| seats.get(id)) {
            *of_product.entry(member.product).or_default() += 1;
            for cohort in cohorts(member) {
                *affected.entry(cohort).or_default() += 1;
            }
        }
        for (cohort, count) in affected {
            let size = sizes.get(&cohort).copied().unwrap_or_default();
            let all = fleets.get(cohort.product).copied().unwrap_or_default();
            let all_affected = of_product.get(cohort.product).copied().unwrap_or_default();
            let share = Share { affected: count, devices: size };
            let others = Share { affected: all_affected - count, devices: all - size };
            let cause = cohort.cause(name);
            if is_excess_told(share, others, told.contains(cause.as_str())) {
                let severity = trouble.worst.unwrap_or(Severity::Warning).max(Severity::Warning);
                findings.push(FleetFinding::new(&cohort, name, share, others, severity, now));
            }
        }
    }
    findings
}

fn cohorts<'a>(member: &Member<'a>) -> impl Iterator<Item = Cohort<'a>> + use<'a> {
    let product = member.product;
    [(By::Version, member.version), (By::Hardware, member.hardware)]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(move |(by, value)| Cohort { product, by, value })
}

/// What a cohort has that the others have not, or not as often.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetFinding {
    /// `fleet/PRODUCT/version/VALUE/METRIC`, or as `fleet_shift` has it.
    pub cause: String,
    pub(super) selector: String,
    pub(super) severity: Severity,
    pub(super) summary: String,
    pub(super) recommendation: String,
    pub(super) evidence: Evidence,
}

impl FleetFinding {
    fn new(
        cohort: &Cohort,
        trouble: &str,
        share: Share,
        others: Share,
        severity: Severity,
        now: Timestamp,
    ) -> Self {
        let what = trouble.replace(['_', '.'], " ");
        let summary = format!(
            "{} of {} {} have alerts about {what}; of the {} others, {} have.",
            share.affected,
            share.devices,
            cohort.words(),
            others.devices,
            others.affected
        );
        let recommendation = match cohort.by {
            By::Version => format!(
                "Give version {} to no more devices until it is clear what it does to {what}: pause its rollout, \
                 and look at what changed.",
                cohort.value
            ),
            By::Hardware => format!(
                "Look at what hardware {} has in common that changes {what}: a part, a batch, a place.",
                cohort.value
            ),
        };
        FleetFinding {
            cause: cohort.cause(trouble),
            selector: cohort.selector(),
            severity,
            summary,
            recommendation,
            evidence: Evidence {
                metric: trouble.to_owned(),
                unit: "1".to_owned(),
                value: share.part(),
                at_ms: now.millis(),
                limit: others.part(),
                slope_per_day: 0.0,
                readings: share.devices,
            },
        }
    }

    /// As an alert says it.
    pub fn raised(&self) -> Raised<'_> {
        Raised {
            device_id: "",
            selector: &self.selector,
            component: COMPONENT,
            cause: &self.cause,
            kind: Kind::Fleet,
            failure_mode: "",
            severity: self.severity,
            health: Health::MaintenanceRequired,
            summary: self.summary.clone(),
            recommendation: self.recommendation.clone(),
            act_by: None,
            forecast: None,
            evidence: self.evidence.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert_raise::raise;

    const NOW: Timestamp = Timestamp::from_seconds(1_772_323_200);
    const METRIC: &str = "slipway.disk.write_latency";

    struct Park {
        ids: Vec<String>,
        new: usize,
    }

    impl Park {
        /// So many devices, the first `new` of them with version 2.1.0, every second one on hardware gw-b.
        fn of(devices: usize, new: usize) -> Self {
            Park { ids: (0..devices).map(|n| format!("pump-{n}")).collect(), new }
        }

        fn members(&self) -> Vec<Member<'_>> {
            self.ids
                .iter()
                .enumerate()
                .map(|(n, id)| Member {
                    id,
                    product: "pump",
                    version: if n < self.new { "2.1.0" } else { "2.0.0" },
                    hardware: if n % 2 == 0 { "gw-a" } else { "gw-b" },
                })
                .collect()
        }

        fn slow(&self, devices: impl Iterator<Item = usize>) -> Vec<Alert> {
            devices.map(|n| slow(&self.ids[n])).collect()
        }
    }

    fn slow(device_id: &str) -> Alert {
        let seen = Raised {
            device_id,
            selector: "",
            component: "mmcblk0",
            cause: "anomaly/slipway.disk.write_latency",
            kind: Kind::Anomaly,
            failure_mode: "",
            severity: Severity::Info,
            health: Health::MaintenanceRequired,
            summary: String::new(),
            recommendation: String::new(),
            act_by: None,
            forecast: None,
            evidence: Evidence {
                metric: METRIC.to_owned(),
                unit: "s".to_owned(),
                value: 0.2,
                at_ms: NOW.millis(),
                limit: 0.01,
                slope_per_day: 0.0,
                readings: 300,
            },
        };
        raise(None, &seen, device_id.to_owned(), NOW).unwrap()
    }

    #[test]
    fn a_version_that_makes_disks_slow_is_one_finding() {
        let park = Park::of(200, 40);
        let found = findings(&park.members(), &park.slow((0..31).chain([100, 151])), NOW);
        assert_eq!(found.len(), 1, "{found:?}");
        let raised = found[0].raised();
        assert_eq!(raised.cause, "fleet/pump/version/2.1.0/slipway.disk.write_latency");
        assert_eq!(raised.selector, "product = \"pump\" AND version = \"2.1.0\"");
        assert_eq!(
            raised.summary,
            "31 of 40 devices of pump with version 2.1.0 have alerts about slipway disk write latency; of the 160 \
             others, 2 have."
        );
        assert_eq!(raised.severity, Severity::Warning);
    }

    #[test]
    fn a_trouble_that_chooses_no_version_is_none() {
        let park = Park::of(200, 40);
        assert_eq!(findings(&park.members(), &park.slow((0..200).step_by(7)), NOW), []);
        assert_eq!(
            findings(&park.members(), &park.slow(0..200), NOW),
            [],
            "all of them: no cohort stands out"
        );
    }

    #[test]
    fn hardware_is_a_cohort_too() {
        let park = Park::of(200, 0);
        let found = findings(&park.members(), &park.slow((0..120).step_by(2)), NOW);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].cause, "fleet/pump/hardware/gw-a/slipway.disk.write_latency");
    }

    #[test]
    fn several_alerts_of_a_device_count_once_and_those_of_strangers_not() {
        let park = Park::of(40, 20);
        let mut alerts = park.slow(0..2);
        for n in 0..50 {
            alerts.push(Alert { id: format!("again-{n}"), component: format!("sd{n}"), ..slow("pump-0") });
            alerts.push(slow(&format!("gone-{n}")));
        }
        assert_eq!(findings(&park.members(), &alerts, NOW), []);
    }

    #[test]
    fn what_was_told_stays_while_it_is_not_clearly_over() {
        let park = Park::of(200, 40);
        let told = findings(&park.members(), &park.slow(0..31), NOW);
        let alert = raise(None, &told[0].raised(), "fleet".to_owned(), NOW).unwrap();
        let mut fewer = park.slow((0..8).chain([100, 151]));
        assert_eq!(findings(&park.members(), &fewer, NOW), []);
        fewer.push(alert.clone());
        assert_eq!(findings(&park.members(), &fewer, NOW).len(), 1);
        assert_eq!(findings(&park.members(), &[slow("pump-0"), alert], NOW), []);
    }
}
