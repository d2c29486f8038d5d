//! Wear models: how parts are followed whose end is foretold by what several sensors said of others until they failed.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};
use slipway_insight::{Side, cohort::Cohort};
use slipway_trust::Sha256;

use super::{
    alert::Severity,
    limit::{MAX_HORIZON, MAX_PART, MAX_SOURCE, is_id, is_word},
    reading::{MAX_UNIT, is_component, is_metric},
    selector::Selector,
    text::{is_hidden, quoted},
    time::{DAY, Timestamp, span_millis},
};

/// How the cause of an alert begins that came of a wear model; its id follows.
pub const CAUSE: &str = "wear/";
/// Each is asked of every device that reports, and kept in memory.
pub const MAX_MODELS: usize = 100;
/// Sensors of one model. What is remembered of a part grows with them: 1,500 bytes.
pub const MAX_SENSORS: usize = 32;
/// A shorter step is no step: readings come once a minute.
const MIN_STEP: Duration = Duration::from_secs(60);
/// With a longer one a part is over before anything is known of it.
const MAX_STEP: Duration = DAY.saturating_mul(30);
/// Steps that a model looks ahead.
const HORIZON: std::ops::RangeInclusive<u32> = 10..=10_000;
/// A part is told of when it may fail within this part of the horizon, if its spare does not take longer.
const NEAR: i64 = 5;
/// Steps in a row after which what was said of a part is over.
pub const CALM_STEPS: u8 = 5;

/// A metric that is read of the part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sensor {
    /// Metric.
    pub metric: String,
    /// UCUM unit; empty takes any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
}

/// What an operator says of a wear model.
#[derive(Clone, Debug)]
pub struct WearTerms {
    /// Chosen by whoever made it.
    pub id: String,
    /// Which devices.
    pub selector: Selector,
    /// Which part of them.
    pub component: String,
    /// What is read of it, in the order of the lives.
    pub sensors: Vec<Sensor>,
    /// How far apart the rows of the lives are.
    pub step: Duration,
    /// How far to look ahead, in steps.
    pub horizon: u32,
    /// What the part is called for people; empty means the component.
    pub part: String,
    /// What goes wrong, in a word; empty when not known.
    pub failure_mode: String,
    /// How long getting a spare part takes.
    pub lead_time: Duration,
    /// The most urgent that its alerts are.
    pub severity: Severity,
    /// Where the lives come from, for people.
    pub source: String,
}

/// A wear model.
#[derive(Clone, Debug)]
pub struct WearModel {
    /// What an operator says of it.
    pub terms: WearTerms,
    /// The lives that it learned from.
    pub digest: Sha256,
    /// How many rows they have.
    pub rows: u32,
    /// What they taught.
    pub cohort: Cohort,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Who changed it.
    pub updated_by: String,
}

impl WearTerms {
    /// Everything that no wear model may be, each with the field at fault.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |field: &str, wrong: String| faults.push((format!("wear_model.{field}"), wrong));
        if !is_id(&self.id) {
            let wrong =
                format!("{} is no name for a wear model: use 1 to 63 of a-z, 0-9 and '-'", quoted(&self.id));
            fault("name", wrong);
        }
        if !is_component(&self.component) {
            let wrong = format!("component {} is no name of a part", quoted(&self.component));
            fault("component", wrong);
        }
        if self.sensors.is_empty() || self.sensors.len() > MAX_SENSORS {
            fault("sensors", format!("{} sensors, where there are 1 to {MAX_SENSORS}", self.sensors.len()));
        }
        let mut known = BTreeSet::new();
        for (at, Sensor { metric, unit }) in self.sensors.iter().enumerate() {
            if !is_metric(metric) {
                fault(&format!("sensors[{at}].metric"), format!("metric {} is no name", quoted(metric)));
            } else if !known.insert(metric) {
                fault(&format!("sensors[{at}].metric"), format!("metric {metric} is there twice"));
            }
            if unit.len() > MAX_UNIT || !unit.bytes().all(|byte| byte.is_ascii_graphic()) {
                fault(&format!("sensors[{at}].unit"), format!("{} is no unit", quoted(unit)));
            }
        }
        if !(MIN_STEP..=MAX_STEP).contains(&self.step) || !self.step.as_millis().is_multiple_of(1000) {
            fault("step", "a step has whole seconds, and is a minute to 30 days long".to_owned());
        }
        if !HORIZON.contains(&self.horizon) {
            fault("horizon", format!("{} steps: look ahead by 10 to 10,000", self.horizon));
        } else if self.step <= MAX_STEP && self.looks_ahead() > span_millis(MAX_HORIZON) {
            fault("horizon", "nothing is foretold for more than five years".to_owned());
        } else if span_millis(self.lead_time) > self.looks_ahead() / 2 {
            let wrong = "the lead time is longer than half of what the model looks ahead: parts that are new would be told of";
            fault("lead_time", wrong.to_owned());
        }
        if !self.failure_mode.is_empty() && !is_word(&self.failure_mode) {
            let wrong = format!("failure mode {} is no word of a-z, 0-9 and '_'", quoted(&self.failure_mode));
            fault("failure_mode", wrong);
        }
        if self.part.len() > MAX_PART || self.part.chars().any(is_hidden) {
            fault("part", format!("the part's name does not fit a sentence: use at most {MAX_PART} bytes"));
        }
        if self.source.len() > MAX_SOURCE || self.source.chars().any(is_hidden) {
            fault("source", format!("the source does not fit a line or two: use at most {MAX_SOURCE} bytes"));
        }
        faults
    }

    /// A step, in ms.
    pub fn step_ms(&self) -> i64 {
        span_millis(self.step)
    }

    /// How far it looks ahead, in ms.
    fn looks_ahead(&self) -> i64 {
        self.step_ms().saturating_mul(i64::from(self.horizon))
    }

    /// So many steps, in ms.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "spans of at most five years"
    )]
    pub fn millis(&self, steps: f64) -> i64 {
        (steps * self.step_ms() as f64) as i64
    }

    /// A part that one in ten would outlive by less than this is told of.
    fn near_ms(&self) -> i64 {
        span_millis(self.lead_time).max(self.looks_ahead() / NEAR)
    }

    /// Whether a part is to be told of, one in ten of which ends within so many steps.
    pub fn is_near(&self, p10: f64) -> bool {
        self.millis(p10) <= self.near_ms()
    }

    /// Whether it is so far from that that what was said of it may be over.
    pub fn is_calm(&self, p10: f64) -> bool {
        self.millis(p10) > self.near_ms() / 2 * 3
    }

    /// The cause of its alerts.
    pub fn cause(&self) -> String {
        format!("{CAUSE}{}", self.id)
    }

    /// Whether both follow parts in the same way, so that what is remembered of one by this is good for the other.
    pub fn follows_same(&self, other: &WearTerms) -> bool {
        self.component == other.component && self.step == other.step && self.sensors == other.sensors
    }

    /// Whether both say the same.
    pub fn says_same(&self, other: &WearTerms) -> bool {
        self.follows_same(other)
            && self.id == other.id
            && self.selector.as_str() == other.selector.as_str()
            && self.horizon == other.horizon
            && self.part == other.part
            && self.failure_mode == other.failure_mode
            && self.lead_time == other.lead_time
            && self.severity == other.severity
            && self.source == other.source
    }
}

impl WearModel {
    /// What the same lives taught, if that is all the same for `terms`.
    pub fn taught(&self, terms: &WearTerms, digest: Sha256) -> Option<&Cohort> {
        let is_same = self.digest == digest
            && self.terms.horizon == terms.horizon
            && self.terms.sensors.len() == terms.sensors.len();
        is_same.then_some(&self.cohort)
    }

    /// The sensors that show the wear, with what they say of a new part.
    pub fn signs(&self) -> impl Iterator<Item = (&Sensor, Side, f64)> {
        self.cohort.shows().filter_map(|shows| {
            let side = if shows.rises { Side::Above } else { Side::Below };
            Some((self.terms.sensors.get(shows.place)?, side, shows.new))
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn fan() -> WearTerms {
        let sensor = |metric: &str, unit: &str| Sensor { metric: metric.to_owned(), unit: unit.to_owned() };
        WearTerms {
            id: "fan".to_owned(),
            selector: Selector::default(),
            component: "fan".to_owned(),
            sensors: vec![sensor("fan.current", "A"), sensor("fan.speed", ""), sensor("fan.vibration", "")],
            step: Duration::from_secs(3600),
            horizon: 100,
            part: "exhaust fan".to_owned(),
            failure_mode: "bearing".to_owned(),
            lead_time: Duration::ZERO,
            severity: Severity::Critical,
            source: String::new(),
        }
    }

    #[test]
    fn names_every_field_at_fault() {
        assert_eq!(fan().faults(), []);
        let with = |sensors: &[(&str, &str)]| WearTerms {
            sensors: sensors.iter().map(|(m, u)| Sensor { metric: (*m).into(), unit: (*u).into() }).collect(),
            ..fan()
        };
        let years = DAY * 366;
        for (field, terms) in [
            ("name", WearTerms { id: "Fan".to_owned(), ..fan() }),
            ("component", WearTerms { component: String::new(), ..fan() }),
            ("sensors", with(&[])),
            ("sensors", with(&[("x", ""); 33])),
            ("sensors[1].metric", with(&[("a", ""), ("A b", "")])),
            ("sensors[2].metric", with(&[("a", ""), ("b", ""), ("a", "K")])),
            ("sensors[0].unit", with(&[("a", "far too long a unit")])),
            ("step", WearTerms { step: Duration::from_secs(59), ..fan() }),
            ("step", WearTerms { step: Duration::from_millis(60_500), ..fan() }),
            ("step", WearTerms { step: years, ..fan() }),
            ("horizon", WearTerms { horizon: 9, ..fan() }),
            ("horizon", WearTerms { horizon: 10_000, step: DAY, ..fan() }),
            ("lead_time", WearTerms { lead_time: Duration::from_secs(51 * 3600), ..fan() }),
            ("failure_mode", WearTerms { failure_mode: "a b".to_owned(), ..fan() }),
            ("part", WearTerms { part: "a\nb".to_owned(), ..fan() }),
            ("source", WearTerms { source: "x".repeat(501), ..fan() }),
        ] {
            let faults = terms.faults();
            let named = faults.iter().any(|(at, _)| *at == format!("wear_model.{field}"));
            assert!(named, "{field}: {faults:?}");
        }
    }

    #[test]
    fn near_is_a_fifth_of_the_horizon_or_the_lead_time() {
        let fan = fan();
        assert!(fan.is_near(20.0) && !fan.is_near(20.1) && !fan.is_calm(30.0) && fan.is_calm(30.1));
        let slow = WearTerms { lead_time: Duration::from_secs(40 * 3600), ..fan.clone() };
        assert!(slow.is_near(40.0) && !slow.is_near(40.1) && !slow.is_calm(60.0) && slow.is_calm(60.1));
        assert!(WearTerms { lead_time: Duration::from_secs(3600), ..fan }.is_near(20.0));
    }
}
