//! Limits: the bounds that series are forecast against.

use std::time::Duration;

use slipway_insight::{Bound, Side};

use super::{
    alert::Severity,
    learned::Learned,
    reading::{is_component, is_metric},
    refusal::{Reason, Refusal},
    selector::Selector,
    text::{is_hidden, quoted},
    time::{DAY, Timestamp, span_millis},
};

/// Looked ahead when the operator does not say.
pub const DEFAULT_HORIZON: Duration = DAY.saturating_mul(90);
/// A shorter look ahead is no forecast.
const MIN_HORIZON: Duration = Duration::from_secs(3600);
/// A longer one is no forecast either.
pub(super) const MAX_HORIZON: Duration = DAY.saturating_mul(5 * 366);
/// A spare part that takes longer is bought before it wears.
const MAX_LEAD_TIME: Duration = DAY.saturating_mul(366);
/// Every limit is held against every series of its metric: a fleet needs tens.
pub const MAX_LIMITS: usize = 1000;
/// Longest part name, in bytes: it stands in a sentence.
pub(super) const MAX_PART: usize = 63;
/// Longest source, in bytes: a title with a page, or an address.
pub(super) const MAX_SOURCE: usize = 500;

/// A bound that a metric should not cross.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Chosen by whoever made it; the cause of its alerts.
    pub id: String,
    /// Which devices.
    pub selector: Selector,
    /// Component; empty means any.
    pub component: String,
    /// Metric.
    pub metric: String,
    /// The bound, in the metric's unit; 0 of one that is learned.
    pub value: f64,
    /// How the bound is learned, and what was; none of one that somebody gave.
    pub learned: Option<Learned>,
    /// The bad side.
    pub side: Side,
    /// Whether it is the stock of something that is used up.
    pub consumable: bool,
    /// How long getting a spare part takes.
    pub lead_time: Duration,
    /// How far to look ahead.
    pub horizon: Duration,
    /// What the part is called for people; empty means the component.
    pub part: String,
    /// The unit that `value` is in: a series in another is not judged. Empty takes any.
    pub unit: String,
    /// What goes wrong when it is crossed, in a word; empty when not known.
    pub failure_mode: String,
    /// Of an alert whose limit is crossed.
    pub severity: Severity,
    /// Where the value comes from, for people.
    pub source: String,
    /// The specification file it was applied from, by its name; empty for one set by hand.
    pub managed_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}

impl Limit {
    /// Refuses what no limit may be, naming the first field at fault.
    pub fn check(&self) -> Result<(), Refusal> {
        self.faults().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that no limit may be, each naming its field.
    pub fn faults(&self) -> Vec<Refusal> {
        let mut faults = Vec::new();
        let mut refuse = |field: &str, wrong: String, hint: &str| {
            faults.push(Refusal::new(Reason::LimitInvalid, wrong, hint).field(format!("limit.{field}")));
        };
        if !is_id(&self.id) {
            let hint = "name it limits/ID with an id of 1 to 63 of a-z, 0-9 and '-'";
            refuse("name", format!("{} is no name for a limit", quoted(&self.id)), hint);
        }
        if !self.component.is_empty() && !is_component(&self.component) {
            let hint = "use 1 to 63 of a-z, 0-9, '-', '_', '.' and '/', or leave it empty for any";
            refuse("component", format!("component {} is no name", quoted(&self.component)), hint);
        }
        if !is_metric(&self.metric) {
            let hint = "name the metric as the device sends it: 1 to 128 of a-z, 0-9, '_', '.' and '/'";
            refuse("metric", format!("metric {} is no name", quoted(&self.metric)), hint);
        }
        if !self.value.is_finite() {
            refuse("value", format!("{} cannot be crossed", self.value), "give a finite number");
        }
        if let Some(learned) = &self.learned {
            if self.value != 0.0 {
                let hint = "leave the value out, or do not have it learned";
                refuse("value", "a limit whose bound is learned has no value of its own".to_owned(), hint);
            }
            if let Some((field, wrong, hint)) = learned.fault() {
                refuse(field, wrong, hint);
            }
            if self.consumable {
                let hint = "give the stock at which it is to be reordered";
                refuse("consumable", "what others have left says nothing of a stock".to_owned(), hint);
            }
            if self.severity == Severity::Critical {
                let hint = "leave the severity out, or say warning or info";
                refuse("severity", "to be unlike the others is never critical".to_owned(), hint);
            }
        }
        if self.lead_time > MAX_LEAD_TIME {
            refuse("lead_time", "the lead time is more than a year".to_owned(), "give at most a year");
        }
        if !(MIN_HORIZON..=MAX_HORIZON).contains(&self.horizon) {
            let hint = "give one hour to five years, or nothing for 90 days";
            refuse("horizon", format!("nothing is forecast {} s ahead", self.horizon.as_secs()), hint);
        }
        if !self.failure_mode.is_empty() && !is_word(&self.failure_mode) {
            let hint = "use one word of 1 to 63 of a-z, 0-9 and '_', such as storage_wear, or leave it empty";
            let wrong = format!("failure mode {} is no word", quoted(&self.failure_mode));
            refuse("failure_mode", wrong, hint);
        }
        if self.unit.len() > MAX_PART || self.unit.chars().any(is_hidden) {
            let hint = "write the UCUM unit as the metric has it, such as Cel, s or 1, or leave it empty";
            refuse("unit", format!("{} is no unit", quoted(&self.unit)), hint);
        }
        if self.source.len() > MAX_SOURCE || self.source.chars().any(is_hidden) {
            let hint = "use at most 500 bytes, all of them of characters that can be seen";
            refuse("source", "the source does not fit a line or two".to_owned(), hint);
        }
        if self.part.len() > MAX_PART || self.part.chars().any(is_hidden) {
            let hint = "use at most 63 bytes, all of them of characters that can be seen";
            refuse("part", "the part's name does not fit a sentence".to_owned(), hint);
        }
        faults
    }

    /// Whether it is about this series; whether about the device is for its selector to say.
    pub fn is_about(&self, component: &str, metric: &str) -> bool {
        self.metric == metric && (self.component.is_empty() || self.component == component)
    }

    /// Whether it is an exception: one that names its devices, on which it takes the place of those that do not.
    pub fn is_exception(&self) -> bool {
        self.selector.names_devices()
    }

    /// Whether its value can be held against readings in this unit.
    pub fn takes_unit(&self, unit: &str) -> bool {
        self.unit.is_empty() || self.unit == unit
    }

    /// Whether both judge the same series in the same direction, so that alerts of one are the other's.
    pub fn judges_same(&self, other: &Limit) -> bool {
        self.selector.as_str() == other.selector.as_str()
            && self.component == other.component
            && self.metric == other.metric
            && self.side == other.side
            && self.unit == other.unit
            && self.learned.is_some() == other.learned.is_some()
    }

    /// What it asks of a series, in words: the same words, the same question.
    pub fn aim(&self) -> String {
        let side = if self.side == Side::Above { "above" } else { "below" };
        format!("{} {side} {}", self.metric, self.value)
    }

    /// What the forecaster is asked.
    pub fn bound(&self) -> Bound {
        Bound { value: self.value, side: self.side, horizon_ms: span_millis(self.horizon) }
    }
}

/// Whether the text is a word that selectors ask for: a failure mode.
pub fn is_word(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Whether the text may name a limit, or a wear model.
pub(super) fn is_id(id: &str) -> bool {
    (1..=63).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The direction in which a series wears, when all limits about it agree. To be unlike the others is no wear.
pub fn wear<'a>(limits: impl IntoIterator<Item = &'a Limit>) -> Option<Side> {
    let mut sides = limits.into_iter().filter(|limit| limit.learned.is_none()).map(|limit| limit.side);
    let first = sides.next()?;
    sides.all(|side| side == first).then_some(first)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn filter_limit() -> Limit {
        Limit {
            id: "filter".to_owned(),
            selector: Selector::default(),
            component: "filter".to_owned(),
            metric: "filter.pressure_drop".to_owned(),
            value: 250.0,
            learned: None,
            side: Side::Above,
            consumable: false,
            lead_time: DAY.saturating_mul(3),
            horizon: DEFAULT_HORIZON,
            part: "air filter".to_owned(),
            unit: String::new(),
            failure_mode: String::new(),
            severity: Severity::Critical,
            source: String::new(),
            managed_by: String::new(),
            created_at: Timestamp::from_millis(0),
            created_by: "tests".to_owned(),
        }
    }

    fn learned() -> Limit {
        let learned = Some(Learned::default());
        Limit { value: 0.0, learned, severity: Severity::Warning, ..filter_limit() }
    }

    #[test]
    fn names_the_field_at_fault() {
        assert_eq!(filter_limit().check(), Ok(()));
        assert_eq!(learned().check(), Ok(()));
        let good = filter_limit;
        let cases = [
            ("name", Limit { id: "A".to_owned(), ..good() }),
            ("component", Limit { component: "a b".to_owned(), ..good() }),
            ("metric", Limit { metric: String::new(), ..good() }),
            ("value", Limit { value: f64::INFINITY, ..good() }),
            ("lead_time", Limit { lead_time: DAY.saturating_mul(400), ..good() }),
            ("horizon", Limit { horizon: Duration::ZERO, ..good() }),
            ("part", Limit { part: "a\nb".to_owned(), ..good() }),
            ("value", Limit { learned: Some(Learned::default()), severity: Severity::Info, ..good() }),
            ("learned", Limit { learned: Some(Learned::by(0.5)), ..learned() }),
            ("learned", Limit { learned: Some(Learned::by(f64::NAN)), ..learned() }),
            ("consumable", Limit { consumable: true, ..learned() }),
            ("severity", Limit { severity: Severity::Critical, ..learned() }),
        ];
        for (field, limit) in cases {
            let refusal = limit.check().unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some(format!("limit.{field}").as_str()));
        }
    }

    #[test]
    fn limits_on_both_sides_say_nothing_of_wear() {
        let up = filter_limit();
        let down = Limit { side: Side::Below, ..filter_limit() };
        assert_eq!(wear([&up, &up]), Some(Side::Above));
        assert_eq!(wear([&up, &down]), None);
        assert_eq!(wear([]), None);
        let learned = Limit { learned: Some(Learned::default()), ..down };
        assert_eq!(wear([&up, &learned]), Some(Side::Above));
    }
}
